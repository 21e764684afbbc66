import base64
import json
from array import array

import pytest

from tests.simulator.conversation import answer


def test_each_input_has_its_vector(server):
    whole = json.loads(answer(server, "/v1/embeddings", input=["a b", "c"]))
    assert [len(item["embedding"]) for item in whole["data"]] == [64, 64]
    assert whole["usage"] == {"prompt_tokens": 3, "total_tokens": 3}
    assert whole["data"][0]["embedding"] != whole["data"][1]["embedding"]


def test_base64_holds_the_same_numbers(server):
    plain, packed = (
        json.loads(answer(server, "/v1/embeddings", input="a", dimensions=8, encoding_format=encoding))
        for encoding in ("float", "base64")
    )
    numbers = array("f", base64.b64decode(packed["data"][0]["embedding"]))
    assert numbers.tolist() == pytest.approx(plain["data"][0]["embedding"])
