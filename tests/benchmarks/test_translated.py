"""Command lines of other tools run as perfkit translates them, beside what the tools themselves were seen to send.

What each tool sent stands in ``benchmarks/translated.json``, recorded by ``benchmarks/translated.py`` with the tool
installed. Here the translations run against a server on a socket, whose log is what is compared. When a request is due
is taken from the run file, not from the server's clock: a busy machine is late, and the translation is not to blame.
"""

import json
import shlex
from pathlib import Path

import pytest

import perfkit as pk
from perfkit.cli.tools import TOOLS, translated
from tests.cli.commands import perfkit

pytestmark = [pytest.mark.processes, pytest.mark.slow]

LINES = json.loads((Path(__file__).parents[2] / "benchmarks" / "translated.json").read_text(encoding="utf-8"))
IDS = [f"{at} {one['line'].replace('URL', '')[:60]}" for at, one in enumerate(LINES)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("translated")


@pytest.fixture(scope="module")
def served(program, folder):
    with program.server(folder) as running:
        yield running


@pytest.mark.parametrize("at", range(len(LINES)), ids=IDS)
def test_a_server_gets_what_the_tool_was_seen_to_send_or_the_difference_is_said(at, program, served, folder, tmp_path):
    line = program.read_lines()[at]
    program.emptied(served)
    _, ours = translated(program.words_of(line.line, served.url, folder))
    words = [*shlex.split(str(ours))[1:], "--no-preflight", "--workers", 0, "--db", "run.db"]
    done = perfkit(*words, folder=tmp_path, **program.KEYS)
    assert done.returncode == 0, done.stderr
    program.flushed(served)
    got = program.read_facts(folder)
    closed, timed = program.loads(line)
    if not closed:
        got |= program.arrivals(sorted(pk.open(tmp_path / "run.db").requests["scheduled_time"]))
    found = program.compare(line.sent, got, closed, timed)
    if closed and got["in flight"] < line.sent["in flight"]:
        found.pop("in flight")  # a user who waits for a processor while others are answered
    assert program.unsaid(found, line, ours.notes) == []


def test_each_fact_that_is_known_to_differ_has_a_note_of_the_translation(program):
    for line in program.read_lines():
        assert line.sent["requests"] > 0
        _, ours = translated(shlex.split(line.line.replace("URL", "http://127.0.0.1:1")))
        for name, told in line.differs.items():
            assert any(told in note for note in ours.notes), (line.line, name)


def test_twenty_lines_of_every_tool_that_can_be_installed_are_compared(program):
    lines = program.read_lines()
    assert len(lines) >= 20
    assert {translated(shlex.split(line.line))[0].name for line in lines} == {*TOOLS} - {"genai-perf"}
