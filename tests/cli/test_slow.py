"""``perfkit slow``: which requests, in which order, and hostile texts."""

import json

import pytest

from tests.cli.commands import carried_out as run
from tests.run_files import request, write_run

HOSTILE = "say \x1b[2Jhi \x9b31m\u202e"


@pytest.fixture
def path(tmp_path):
    rows = [request(i, i, ttft=0.1 * (10 - i), gaps=(0.1 * i, 0.1), output_text=HOSTILE) for i in range(10)]
    return str(write_run(tmp_path / "a.db", rows, name="a"))


def heads(text):
    return [line.split(":")[0] for line in text.splitlines() if line.startswith("a #")]


@pytest.mark.slow
def test_the_slowest_come_first_by_the_metric_asked_for(path, capsys):
    run("slow", path, "-n", "2", "--metric", "ttft")
    assert heads(capsys.readouterr().out) == ["a #0", "a #1"]
    run("slow", path, "-n", "2", "--metric", "tpot")
    assert heads(capsys.readouterr().out) == ["a #9", "a #8"]
    run("slow", path, "-n", "1", "--metric", "ttft", "--which", "fastest", "--where", "seq < 5")
    assert heads(capsys.readouterr().out) == ["a #4"]


@pytest.mark.slow
@pytest.mark.parametrize("form", [(), ("--json",)])
def test_no_control_character_of_an_answer_reaches_the_terminal(path, capsys, form):
    run("slow", path, "-n", "1", *form)
    out = capsys.readouterr().out
    assert "hi" in out
    assert [character for character in out if not character.isprintable() and character != "\n"] == []


@pytest.mark.slow
def test_json_holds_the_texts_as_they_are(path, capsys):
    run("slow", path, "-n", "1", "--metric", "ttft", "--json")
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["seq"], found["ttft"], found["output_text"]) == (0, pytest.approx(1.0), HOSTILE)
