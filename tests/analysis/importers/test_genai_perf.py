"""Profiles of perf_analyzer, from which genai-perf counts."""

import json
from pathlib import Path

import pytest

import perfkit as pk

CASE = Path(__file__).parents[2] / "fixtures/field/result-files-of-others/genai_perf.json"
START = 1_759_813_207_532_900_363  # ns


def opened(tmp_path: Path, outputs: list[dict], *, kind: str = "openai", times: int | None = None) -> pk.Runs:
    stamps = [START + (index + 1) * 10_000_000 for index in range(times if times is not None else len(outputs))]
    inputs = {"text_input": "hi"} if kind == "triton" else {"payload": '{"model": "m", "stream": true}'}
    request = {"timestamp": START, "request_inputs": inputs, "response_timestamps": stamps, "response_outputs": outputs}
    experiment = {"experiment": {"mode": "concurrency", "value": 2}, "requests": [request], "window_boundaries": []}
    path = tmp_path / "profile_export.json"
    path.write_text(
        json.dumps({"service_kind": kind, "endpoint": "", "experiments": [experiment], "version": "2.60.0"})
    )
    return pk.open(path)


def parts(*texts: str) -> list[dict]:
    return [{"response": text} for text in texts]


def event(text: str, **more: object) -> str:
    return f"data: {json.dumps({'choices': [{'index': 0, 'delta': {'content': text}}], **more})}\n\n"


@pytest.mark.slow
def test_the_case_from_the_field_is_read_with_a_time_for_each_chunk():
    runs = pk.open(CASE)
    requests = runs.decoded()
    assert requests["ttft"].tolist() == pytest.approx([0.01] * 3, abs=1e-9)
    assert requests["e2e"].tolist() == pytest.approx([0.04] * 3, abs=1e-9)
    assert requests["output_text"].tolist() == ["www"] * 3
    assert runs.summary().frame.loc[("genai_perf", "itl"), "n"] == 6
    assert requests["completion_tokens"].isna().all()
    assert runs.table[["model", "parallel", "source"]].values.tolist() == [["m", 2, "genai-perf"]]


def test_an_event_in_pieces_comes_when_its_last_piece_does_and_two_at_once_come_together(tmp_path):
    whole, usage = event("b"), {"prompt_tokens": 3, "completion_tokens": 4}
    texts = [event("a"), whole[:20], whole[20:] + event("c"), event("", usage=usage), "data: [DONE]\n\n"]
    (row,) = opened(tmp_path, parts(*texts)).decoded().to_dict("records")
    assert (row["output_text"], row["completion_tokens"], row["prompt_tokens"]) == ("abc", 4, 3)
    assert json.loads(row["inter_token_latencies"]) == pytest.approx([0.02, 0.0])
    assert row["tpot"] == pytest.approx(0.02 / 3)


def test_an_answer_that_was_not_streamed_has_no_time_to_first_token(tmp_path):
    body = {"object": "chat.completion", "choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]}
    (row,) = opened(tmp_path, parts(json.dumps(body))).decoded().to_dict("records")
    assert (row["output_text"], row["finish_reason"], row["e2e"]) == ("hi", "stop", pytest.approx(0.01))


def test_the_pieces_of_a_triton_model_are_chunks(tmp_path):
    (row,) = (
        opened(tmp_path, [{"text_output": "I"}, {"text_output": " like"}], kind="triton").decoded().to_dict("records")
    )
    assert (row["output_text"], row["ttft"], row["prompt"]) == ("I like", pytest.approx(0.01), "hi")


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        ([], "no answer"),
        (parts(""), "no answer"),
        (parts("data: [DONE]\n\n"), "no answer"),
        (parts('data: {"error": {"message": "too long"}}\n\n'), "too long"),
    ],
)
def test_a_request_without_an_answer_is_a_failure(outputs, said, tmp_path):
    (row,) = opened(tmp_path, outputs).decoded().to_dict("records")
    assert not row["success"]
    assert said in row["error"]
