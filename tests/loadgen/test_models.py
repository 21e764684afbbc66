"""Several models in one run: who was asked what, by what the server received."""

from collections import Counter

import pytest

import perfkit as pk
from perfkit.loadgen.choices import Choice
from perfkit.records import Prompt
from tests.measured import SMALL, stored
from tests.recording import recording
from tests.run_files import request, write_run

WEIGHTS = [("base", 2.0), ("lora-a", 1.0), ("lora-b", 1.0)]


@pytest.mark.processes
def test_each_request_asks_for_a_model_by_weight_and_its_row_says_which(tmp_path):
    given = {**SMALL, "model": ["base=2", "lora-a", "lora-b"], "number": 40, "preflight": True, "prompt_seed": 5}
    with recording() as server:
        runs = pk.run(server.url, db=str(tmp_path / "a.db"), **given)
    chosen = [Choice(WEIGHTS, 5, "model").of(number) for number in range(40)]
    # The preflight request asks for the first request's.
    asked = [chosen[0], *chosen]
    assert [each.body["model"] for each in server.received] == asked
    rows = stored(tmp_path / "a.db", "SELECT request_model FROM result ORDER BY seq")
    assert [row["request_model"] for row in rows] == chosen
    counts = Counter(chosen)
    assert 12 <= counts["base"] <= 28  # 20, give or take 2.5 standard deviations
    grouped = runs.requests.groupby("request_model").size()
    assert grouped.to_dict() == counts
    assert runs.table["model"].tolist() == ["base, lora-a, lora-b"]


@pytest.mark.processes
def test_a_conversation_stays_with_its_model(tmp_path):
    talks = [
        Prompt([{"role": "user", "content": f"{talk} {turn}"}], session_id=str(talk), turn=turn)
        for talk in range(6)
        for turn in (1, 2)
    ]
    given = {**SMALL, "prompt": None, "dataset": talks, "model": ["a", "b"], "number": 12}
    with recording() as server:
        pk.run(server.url, db=str(tmp_path / "a.db"), **given)
    first = {each.body["messages"][0]["content"].split()[0]: each.body["model"] for each in server.received}
    assert len(server.received) == 12
    assert set(first.values()) == {"a", "b"}
    assert all(each.body["model"] == first[each.body["messages"][0]["content"].split()[0]] for each in server.received)


@pytest.mark.processes
def test_without_a_model_each_record_asks_for_its_own(tmp_path):
    bodies = [{"model": name, "messages": [{"role": "user", "content": "hi"}]} for name in ("a", "b", "c")]
    given = {**SMALL, "prompt": None, "model": None, "dataset": bodies, "number": 3}
    with recording() as server:
        server.models += ["a", "b", "c"]
        pk.run(server.url, db=str(tmp_path / "a.db"), **given)
    rows = stored(tmp_path / "a.db", "SELECT request_model FROM result ORDER BY seq")
    assert [row["request_model"] for row in rows] == ["a", "b", "c"]


def test_the_model_in_the_path_of_a_request_is_its_own():
    from perfkit.apis.gemini import Gemini
    from perfkit.plugins import bind_api

    bound = bind_api(Gemini, pk.Arguments(model=["pro", "flash"]))
    assert "/models/pro:" in bound.url


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (["a", "a"], "model takes names that differ, got 'a' twice"),
        (["a=0", "b"], "the weight of 'a' must be above 0, got 0"),
        ([], "model is empty; give a name"),
        (["=1", "b"], "model takes names that differ, got '=1'"),
    ],
)
def test_models_that_cannot_share_are_refused(given, sentence):
    with pytest.raises(pk.PerfkitError) as refused:
        pk.Arguments(model=given)
    assert sentence in str(refused.value)


def test_requests_are_grouped_by_their_model_and_older_files_know_none(tmp_path):
    rows = [request(seq, float(seq), ttft=0.1 * (1 + seq % 2), request_model="ab"[seq % 2]) for seq in range(20)]
    runs = pk.open(write_run(tmp_path / "a.db", rows))
    found = runs.percentiles(["ttft"], [50], by="request_model")
    assert found.reset_index().set_index("request_model")["p50"].to_dict() == pytest.approx({"a": 0.1, "b": 0.2})
    assert runs.summary(by="request_model").rates["requests"].to_dict() == {"a": 10, "b": 10}
