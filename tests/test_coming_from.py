"""The tables in docs/coming_from.md, line by line."""

import dataclasses
import json
import re
from pathlib import Path

import pytest

import perfkit
from perfkit.cli.parser import Parser, add_options
from perfkit.runner.start import start
from perfkit.simulator import simulate

TEXT = (Path(__file__).parent.parent / "docs/coming_from.md").read_text(encoding="utf-8")
USAGE = (Path(__file__).parent / "seeds/003.txt").read_text(encoding="utf-8")


def table(title: str) -> list[list[str]]:
    """Return the rows of the first table under a heading."""
    section = TEXT.partition(f"## {title}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    end = next((at for at, line in enumerate(lines[2:], 2) if set(line) <= set("|-")), len(lines) + 1) - 1
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:end]]


OPTIONS = [
    row
    for title in ("The command line of llmuses", "The command line of evalscope perf", "guidellm and vLLM's benchmark")
    for row in table(title)
]


@pytest.mark.parametrize("row", table("Plugins"), ids=lambda row: row[2])
def test_each_import_line_gives_the_name_it_gave_before(row: list[str]) -> None:
    space: dict[str, object] = {}
    exec(row[2].strip("`"), space)
    name = row[1].strip("`").split()[-1]
    assert space[name] is getattr(perfkit, name)


@pytest.mark.parametrize("row", OPTIONS, ids=lambda row: row[0])
def test_each_option_that_a_row_names_is_one_of_ours(row: list[str]) -> None:
    parser = Parser()
    add_options(parser)
    known = {*parser._option_string_actions, "--config"}
    assert set(re.findall(r"(?<![\w-])--?[a-z][\w-]*", row[1])) <= known, row
    told = [word for span in re.findall(r"`([^`]*)`", row[2]) for word in span.split() if word.startswith("--")]
    assert set(told) <= known, row


def test_every_option_of_the_oldest_usage_text_has_a_row() -> None:
    usage = USAGE.partition("usage:")[2].partition("options:")[0]
    options = set(re.findall(r"--[a-z-]+|-n(?= )", usage)) - {"--help"}
    assert options <= {row[0].strip("`") for row in table("The command line of llmuses")}


def test_every_argument_of_the_newest_evalscope_is_ours_or_has_a_row() -> None:
    (kept,) = (Path(__file__).parent / "fixtures/evalscope").glob("evalscope-1.14.1__doc002*/**/benchmark_args.json")
    ours = {field.name for field in dataclasses.fields(perfkit.Arguments)}
    rows = " ".join(row[0] for row in table("The command line of evalscope perf"))
    told = {option.replace("-", "_") for option in re.findall(r"--([a-z-]+)", rows)}
    assert set(json.loads(kept.read_text())) - ours - told == set()


def test_every_option_of_the_oldest_command_line_keeps_its_name() -> None:
    assert all(row[0] == row[1] for row in table("The command line of llmuses"))


@pytest.mark.processes
def test_the_lines_of_pandas_run_as_they_stand(tmp_path: Path) -> None:
    with simulate(ttft=0.01, itl=0.001, output_tokens=3) as server:
        start(server.url, number=3, workers=0, db=str(tmp_path / "runs.db")).wait()
    program = TEXT.partition("```python\n")[2].partition("```")[0]
    space: dict[str, object] = {"pk": perfkit, "path": str(tmp_path / "runs.db")}
    exec(program, space)
    assert len(space["requests"]) == 3  # type: ignore[arg-type]
