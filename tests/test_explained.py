"""What a run says of itself: why requests failed, answers that came whole, chunks that came in bunches."""

import json
from pathlib import Path
from typing import Any

import pytest

import perfkit as pk
from perfkit.cli import main
from perfkit.validity.evidence import Evidence
from perfkit.validity.thresholds import GATEWAY
from perfkit.validity.verdict import verdict
from tests.bunching import bunching
from tests.replay import Reply, replay
from tests.scripted import BODY

pytestmark = pytest.mark.processes

CHAT = Reply(BODY, "application/json", pause=0.001)
BUSY = Reply(
    b'{"error": {"message": "busy\\u001b[2J now"}}', "application/json", status="503 Service Unavailable", pause=0
)


def measure(url: str, folder: Path, **given: Any) -> pk.Runs:
    options = {"model": "m", "prompt": "hi", "preflight": False, "workers": 0, "name": "a", **given}
    return pk.start(url, **options, db=str(folder / "a.db")).wait()


def test_a_run_that_asked_for_streams_says_how_many_answers_came_whole(tmp_path: Path) -> None:
    with replay(CHAT) as server:
        said = str(measure(server.url, tmp_path, number=3).summary())
    assert "a: a stream was asked for, but 3 of 3 answers came whole: they have no TTFT, ITL and TPOT" in said


def test_nothing_is_said_of_whole_answers_that_were_asked_for(tmp_path: Path) -> None:
    with replay(CHAT) as server:
        said = str(measure(server.url, tmp_path, number=3, stream=False).summary())
    assert "came whole" not in said


def test_a_summary_says_why_requests_failed_with_the_commonest_words(tmp_path: Path) -> None:
    other = Reply(b"", None, status="500 Internal Server Error", chunked=False, pause=0)
    with replay(BUSY, other, BUSY, CHAT) as server:
        runs = measure(server.url, tmp_path, number=4)
    summary = runs.summary()
    words = "a: 2 failed (http_status): HTTP 503: busy\N{REPLACEMENT CHARACTER}[2J now"
    assert words in str(summary).splitlines()
    assert words in summary._repr_html_()
    assert "a: 1 failed (http_status): HTTP 500" in str(summary).splitlines()
    assert [(row["status_code"], row["count"]) for row in summary.to_dict()["failures"]] == [(503, 2), (500, 1)]
    report = runs.report(tmp_path / "report.html", charts=[]).read_text(encoding="utf-8")
    assert words in report


def test_words_of_a_server_that_holds_the_key_are_scrubbed(tmp_path: Path) -> None:
    echo = Reply(b'{"error": {"message": "no key sk-secret-1234567890"}}', "application/json", status="401 No", pause=0)
    with replay(echo, CHAT) as server:
        said = str(measure(server.url, tmp_path, number=2, api_key="sk-secret-1234567890").summary())
    assert "1 failed (http_status): HTTP 401: no key" in said
    assert "1234567890" not in said


def test_the_command_tells_scripts_why_requests_failed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--model", "m", "--prompt", "hi", "-n", "2", "--no-preflight", "--db", str(tmp_path / "a.db"), "--json"]
    with replay(BUSY, CHAT) as server:
        assert main(["run", "--url", server.url, *options]) == 0
    (failure,) = json.loads(capsys.readouterr().out)["failures"]
    assert (failure["error_kind"], failure["count"], failure["share"]) == ("http_status", 1, 0.5)


def test_a_run_in_which_everything_failed_is_not_valid(tmp_path: Path) -> None:
    with replay(BUSY) as server:
        runs = measure(server.url, tmp_path, number=3)
    assert runs.table["verdict"].tolist() != ["VALID"]
    found = runs.verdicts["a"]
    assert found is not None
    assert "no request succeeded" in [check.sentence for check in found.checks]


def test_bunches_on_a_machine_without_an_idle_processor_are_not_put_down_to_a_gateway() -> None:
    busy = verdict(Evidence(requests=100, loop_lag=0.002, cpu_share=0.1, cpu_taken=0.99, censored_first=0.5))
    assert GATEWAY not in {check.remedy for check in busy.checks}


def test_bunches_under_an_idle_client_are_the_gateways() -> None:
    idle = verdict(Evidence(requests=100, loop_lag=0.002, cpu_share=0.1, censored_first=0.5))
    busy = verdict(Evidence(requests=100, loop_lag=0.002, cpu_share=0.85, censored_first=0.5))
    unknown = verdict(Evidence(requests=100, censored_first=0.5))
    assert idle.checks[0].remedy == GATEWAY
    assert [check.remedy for check in busy.checks if check.name == "censored first tokens"] != [GATEWAY]
    assert unknown.checks[0].remedy != GATEWAY


@pytest.mark.alone
def test_a_proxy_that_bunches_chunks_is_named_and_one_bunch_has_no_tpot(tmp_path: Path) -> None:
    remedies = []
    with pk.simulate(ttft=0.02, itl=0.02) as server, bunching(server.port) as url:
        while (
            GATEWAY not in remedies and len(remedies) < 5
        ):  # nothing is put down to a gateway while the client is busy
            folder = tmp_path / str(len(remedies))
            folder.mkdir()
            runs = measure(url, folder, number=4, max_tokens=5)  # 100 ms: all of an answer is one bunch
            rows = runs.requests
            assert rows["success"].all()
            assert rows[["tpot", "itl_mean", "decode_rate"]].isna().all(axis=None)
            assert runs.lens("tpot").table.xs("perfkit", level="definition")["n"].tolist() == [0]
            assert runs.lens("tpot").table.xs("vllm", level="definition")["n"].tolist() == [4]
            found = runs.verdicts["a"]
            assert found is not None
            remedies += [check.remedy for check in found.checks if check.name == "censored first tokens"]
            assert len(remedies) == int(folder.name) + 1
    assert remedies[-1] == GATEWAY


def _text(*texts: str, **usage: int) -> bytes:
    pieces = [{"choices": [{"index": 0, "delta": {"content": text}}]} for text in texts]
    last = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], **({"usage": usage} if usage else {})}
    return b"".join(b"data: %b\n\n" % json.dumps(each).encode() for each in [*pieces, last])


DONE = b"data: [DONE]\n\n"
COUNTED = _text("a", "b", prompt_tokens=7, completion_tokens=2)

# An answer, and what is said of it.
DOUBTFUL = {
    "zeros": (_text("a", "b", prompt_tokens=0, completion_tokens=0) + DONE, "have text and a usage of 0 tokens"),
    "too few": (_text("a", "b", "c", prompt_tokens=7, completion_tokens=1) + DONE, "the count cannot be right"),
    "late": (COUNTED + DONE + _text("more") + DONE, "went on after [DONE]"),
    "not JSON": (b"data: oops\n\n" + COUNTED + DONE, "hold events that are not JSON"),
}


@pytest.mark.parametrize("name", DOUBTFUL)
def test_a_summary_says_once_of_how_many_answers_something_is_wrong(name: str, tmp_path: Path) -> None:
    doubtful, words = DOUBTFUL[name]
    doubted, good = Reply(doubtful, pause=0.001), Reply(COUNTED + DONE, pause=0.001)
    with replay(doubted, good, doubted) as server:
        runs = measure(server.url, tmp_path, number=3)
    summary = runs.summary()
    (note,) = [note for note in summary.notes if words in note]
    assert note.startswith("a: 2 of 3 answers ")
    assert note in str(summary)
    assert note in summary.to_dict()["notes"]
    assert words in summary._repr_html_()
    assert words in runs.report(tmp_path / "report.html", charts=[]).read_text(encoding="utf-8")


def test_check_says_what_is_wrong_with_an_answer(capsys: pytest.CaptureFixture[str]) -> None:
    with replay(Reply(DOUBTFUL["too few"][0], pause=0.001)) as server:
        assert main(["check", server.url, "--model", "m", "--prompt", "hi"]) == 0
    assert "note        1 of 1 answers came in more pieces of text than the server counts tokens" in (
        capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ({"max_tokens": 64, "extra_args": {"ignore_eos": True}}, "64"),
        ({"max_tokens": 64, "min_tokens": 8}, "8"),
        ({"extra_args": {"sampling_params": {"max_new_tokens": 32, "ignore_eos": True}}}, "32"),
        ({"max_tokens": 16, "n_choices": 2, "extra_args": {"ignore_eos": True}}, "32"),
    ],
)
def test_answers_that_are_shorter_than_asked_are_told(given: dict[str, Any], asked: str, tmp_path: Path) -> None:
    with replay("short-answers-ignore-eos") as server:
        said = str(measure(server.url, tmp_path, number=2, **given).summary())
    assert f"a: 2 of 2 answers had 2 tokens where {asked} were asked with ignore_eos or min_tokens" in said


@pytest.mark.parametrize("given", [{"max_tokens": 64}, {"max_tokens": 2, "extra_args": {"ignore_eos": True}}])
def test_nothing_is_said_of_answers_of_the_length_asked(given: dict[str, Any], tmp_path: Path) -> None:
    with replay("short-answers-ignore-eos") as server:
        assert "were asked" not in str(measure(server.url, tmp_path, number=2, **given).summary())
