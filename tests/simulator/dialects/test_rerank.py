import json

import pytest

from tests.simulator.conversation import answer


@pytest.mark.parametrize("path", ["/rerank", "/v1/rerank"])
def test_documents_come_back_by_descending_score(server, path):
    whole = json.loads(answer(server, path, query="a b", documents=["c", "d e", "f"]))
    scores = [result["relevance_score"] for result in whole["results"]]
    assert scores == sorted(scores, reverse=True)
    assert sorted(result["index"] for result in whole["results"]) == [0, 1, 2]
    assert whole["usage"]["prompt_tokens"] == 3 * 2 + 4


def test_top_n_limits_the_results(server):
    whole = json.loads(answer(server, "/rerank", query="a", documents=["c", "d", "e"], top_n=1))
    assert len(whole["results"]) == 1
