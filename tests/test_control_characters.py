"""What models, servers, names and tags say never reaches a terminal as a control character, and breaks no export."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import perfkit as pk
from perfkit.cli import main
from perfkit.errors import NothingSucceeded, UsageError
from perfkit.runner.start import start
from tests.recording import ANSWER, Recording, recording

pytestmark = pytest.mark.processes

HOSTILE = "a\x1b]0;owned\x07\x9b2J\u202eb"
"""A title for the window, an erased screen in C1, and a text that runs backwards."""
HALF = "half \ud83d"


@pytest.fixture
def server() -> Iterator[Recording]:
    with recording() as running:
        running.models = [HOSTILE]
        running.answer = {**ANSWER, "id": HOSTILE, "choices": [{"message": {"content": HOSTILE + HALF}}]}
        running.answer["choices"][0]["finish_reason"] = HOSTILE
        yield running


def measured(server: Recording, folder: Path, name: str = HOSTILE, **given: Any) -> pk.Runs:
    options = {"name": name, "tags": {"gpu": HOSTILE}, "note": HOSTILE, "workers": 0, "number": 3, **given}
    return start(server.url, prompt="hi", db=str(folder / "a.db"), **options).wait()


def unprintable(text: str) -> set[str]:
    return {each for each in text if not each.isprintable() and each != "\n"}


def test_no_command_prints_a_control_character(
    server: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    words = f"--url {server.url} --prompt hi -n 2 --workers 0 --db a.db".split()
    assert main(["run", *words, "--name", HOSTILE, "--tag", f"g={HOSTILE}", "--debug"]) == 0
    server.status, server.answer = 500, {"error": {"message": HOSTILE + HALF}}
    main(["run", *words, "--log-every-n-query", "1"])
    main(["check", server.url, "--prompt", "hi"])
    main(["ls", "a.db"])
    main(["show", "a.db", "--json"])
    main(["report", f"{HOSTILE}.db"])
    shown = capfd.readouterr()
    assert "owned" in shown.out
    assert "owned" in shown.err
    assert unprintable(shown.out + shown.err) == set()


SHOWN: dict[str, Callable[[pk.Runs], object]] = {
    "summary": lambda runs: runs,
    "shown": lambda runs: runs.show("slowest"),
    "compared": lambda runs: runs.compare(baseline=runs.labels[0]),
    "lens": lambda runs: runs.lens("ttft"),
    "verdicts": lambda runs: "\n".join(f"{each}" for each in runs.verdicts.values()),
    "refused": lambda runs: UsageError(f"no run is {runs.labels}"),
}


def test_nothing_shown_holds_a_control_character(server: Recording, tmp_path: Path) -> None:
    measured(server, tmp_path)
    runs = measured(server, tmp_path, f"{HOSTILE}2") + pk.open(str(tmp_path / "a.db"))[0]
    assert [what for what, show in SHOWN.items() if unprintable(str(show(runs)))] == []


def test_an_error_of_a_server_holds_no_control_character(server: Recording, tmp_path: Path) -> None:
    server.status, server.answer = 401, {"error": {"message": HOSTILE}}
    with pytest.raises(NothingSucceeded, match="owned") as raised:
        measured(server, tmp_path)
    assert unprintable(str(raised.value)) == set()


def test_half_a_character_breaks_no_export(server: Recording, tmp_path: Path) -> None:
    runs = measured(server, tmp_path)
    assert runs.decoded()["response_messages"].notna().all()
    own = pd.DataFrame({"ttft": [0.1, 0.2], "success": [1, 0], "error": [HALF, HALF]}, dtype=object)
    both = runs + pk.from_frame(own, run=HALF, tags={"gpu": HALF}, model=HALF)
    both.report(tmp_path / "r.html", charts=["ecdf:ttft"])
    both.report(tmp_path / "r.md")
    both.export(tmp_path / "charts", ["ecdf:ttft"], formats=["svg", "csv", "tex"])
    both.save(tmp_path / "b.db")
    both.decoded().to_csv(tmp_path / "all.csv", errors="replace")
    assert pk.open(str(tmp_path / "b.db")).labels == ["half ?", runs.labels[0]]
    assert "half ?" in repr(pk.open(str(tmp_path / "b.db")))
