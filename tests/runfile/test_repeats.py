import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import pytest

import perfkit as pk
from perfkit.runfile.repeats import Repeats, cached_repeats, repeats
from perfkit.runfile.writer import Value
from tests.run_files import request, write_run

TARGET = "http://host/v1"


def run(path: Path, run_id: str, prompts: str, cached: Iterable[int] = (), target: str = TARGET, **more: str) -> None:
    """Add a run that sent one prompt per letter, the server having those at ``cached`` in its cache."""
    hits = set(cached)
    rows = [
        request(seq, seq, prompt_hash=letter, cached_tokens=8 if seq in hits else 0)
        for seq, letter in enumerate(prompts)
    ]
    if "preflight" in more:
        rows.append(request(None, -1, prompt_hash=more["preflight"], phase="preflight"))
    write_run(path, rows, name=f"run {run_id}", run_id=run_id, target=target)


def found(path: Path, run_id: str) -> Repeats:
    with closing(sqlite3.connect(path)) as file:
        return repeats(file, run_id)


def test_prompts_that_differ_repeat_nothing(tmp_path: Path) -> None:
    run(tmp_path / "a.db", "1", "abcd")
    assert found(tmp_path / "a.db", "1") == Repeats(4)


def test_the_first_time_a_prompt_is_sent_is_no_repeat(tmp_path: Path) -> None:
    run(tmp_path / "a.db", "1", "aaab", cached=[1, 2])
    assert found(tmp_path / "a.db", "1") == Repeats(4, repeated=2, within=2, cached=2)


def test_what_the_preflight_request_sent_is_known_to_the_server(tmp_path: Path) -> None:
    run(tmp_path / "a.db", "1", "ab", cached=[0], preflight="a")
    assert found(tmp_path / "a.db", "1") == Repeats(2, repeated=1, within=1, cached=1)


def test_prompts_of_earlier_runs_repeat_every_time_and_the_runs_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    run(path, "1", "ab")
    run(path, "2", "xy")
    run(path, "3", "aacc", cached=[0, 1, 3])
    told = found(path, "3")
    assert told == Repeats(4, repeated=3, within=1, cached=3, runs=("run 1",))
    assert told.where == "this run and of run 1"
    assert found(path, "1") == Repeats(2)  # what came after does not count


def test_another_server_knows_nothing_of_them(tmp_path: Path) -> None:
    run(tmp_path / "a.db", "1", "ab", target="http://other/v1")
    run(tmp_path / "a.db", "2", "ab")
    assert found(tmp_path / "a.db", "2") == Repeats(2)


def test_a_server_that_reports_no_cache_is_not_asked_further(tmp_path: Path) -> None:
    run(tmp_path / "a.db", "1", "aaaa")
    with closing(sqlite3.connect(tmp_path / "a.db")) as file:
        assert cached_repeats(file, "1") is None


def test_the_verdict_names_the_run_whose_prompts_came_again(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    run(path, "1", "abcd")
    run(path, "2", "abxy", cached=[0, 1])
    verdicts = pk.open(path).verdicts
    assert verdicts["run 1"].level == "VALID"
    assert verdicts["run 2"].reasons == [
        "50 % of the requests repeat prompts of run 1 and came from the server's cache; "
        "give more prompts, or others with dataset_offset"
    ]


LONG = "You are a helpful assistant that answers in one short sentence, always. "


def asked(path: Path, run_id: str, *prompts: str, cached: int = 0, turn: int = 1, **record: Value) -> None:
    """Add a run that sent these prompts of a hundred tokens, the server having ``cached`` of each in its cache."""
    columns: dict[str, Value] = {"prompt_tokens": 100, "cached_tokens": cached, "turn": turn}
    rows = [request(seq, seq, prompt_hash=text, prompt_text=text, **columns) for seq, text in enumerate(prompts)]
    write_run(path, rows, name=f"run {run_id}", run_id=run_id, target=TARGET, **record)


def test_cached_beginnings_of_new_prompts_are_no_repeats_but_told_as_what_they_are(tmp_path: Path) -> None:
    asked(tmp_path / "a.db", "1", LONG + "One?", LONG + "Two?", cached=16)
    assert found(tmp_path / "a.db", "1") == Repeats(2, prefixed=2, prefix_within=True)
    assert pk.open(tmp_path / "a.db").verdicts["run 1"].reasons == [
        "100 % of the requests begin as others of this run and came in part from the server's cache; "
        "give prompts that begin differently, unless that is what you measure"
    ]


def test_the_earlier_runs_are_named_whose_prompts_began_so(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    asked(path, "1", LONG + "One?")
    asked(path, "2", "Something else entirely, and long enough to be told apart from the rest of these?")
    asked(path, "3", LONG + "Three?", cached=16)
    assert found(path, "3") == Repeats(1, prefixed=1, prefix_runs=("run 1",))


def test_a_beginning_that_nobody_here_sent_is_told_too(tmp_path: Path) -> None:
    asked(tmp_path / "a.db", "1", "One?", "Two?", cached=16)
    assert found(tmp_path / "a.db", "1").prefix_where == "something that the server knew already"


@pytest.mark.parametrize(
    "given",
    [{"cached": 9}, {"cached": 16, "turn": 2}, {"cached": 16, "arguments": {"prefix_length": 16}}],
    ids=["less than a tenth", "a later turn", "asked for"],
)
def test_a_beginning_that_is_shared_by_nature_or_on_purpose_is_not_told(tmp_path: Path, given: dict[str, int]) -> None:
    asked(tmp_path / "a.db", "1", LONG + "One?", LONG + "Two?", **given)
    assert found(tmp_path / "a.db", "1").prefixed == 0
    assert pk.open(tmp_path / "a.db").verdicts["run 1"].level == "VALID"


@pytest.mark.processes
@pytest.mark.parametrize("workers", [0, 1])
def test_points_of_a_sweep_that_send_the_same_prompts_are_told(tmp_path: Path, workers: int) -> None:
    with pk.simulate(ttft=0.005, itl=0.001, cached_tokens=4) as server:
        given = {"parallel": [1, 2], "number": 6, "max_tokens": 3, "dataset": ["a", "b", "c", "d", "e", "f", "g"]}
        pk.start(server.url, **given, db=f"{tmp_path}/a.db", workers=workers).wait(30)
    with closing(sqlite3.connect(tmp_path / "a.db")) as file:
        ids = [run_id for (run_id,) in file.execute("SELECT run_id FROM run ORDER BY run_id")]
        reasons = [told for (told,) in file.execute("SELECT reasons FROM run ORDER BY run_id")]
    # The pump goes on where the first point stopped and begins anew after its end.
    again = found(tmp_path / "a.db", ids[1])
    assert again.repeated == again.cached > 0
    assert "from the server's cache" in reasons[1]
