"""What the documentation says, held against the code: tables, commands, SQL and Python, links."""

import importlib.util
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import perfkit as pk
from perfkit.analysis.metrics import METRICS, RATES
from perfkit.analysis.plots.catalogue import CHARTS
from perfkit.cli import COMMANDS, parser

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "sample_data/README.md"])
RUNS = ROOT / "sample_data/runs.db"


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def by_name(pages):
    return pytest.mark.parametrize("page", pages, ids=lambda page: str(page.relative_to(ROOT)))


@by_name([page for page in PAGES if "<!-- table" in page.read_text(encoding="utf-8")])
def test_tables_are_those_of_the_code(page):
    spec = importlib.util.spec_from_file_location("docs_make", ROOT / "docs/make.py")
    make = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make)
    text = page.read_text(encoding="utf-8")
    assert make.filled(text) == text, "run: python docs/make.py"


@by_name(PAGES)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []


@by_name([ROOT / "README.md", ROOT / "sample_data/README.md"])
def test_commands_are_understood(page):
    lines = [line.split() for block in blocks(page, "sh") for line in block.splitlines() if line.startswith("perfkit ")]
    assert lines
    for words in lines:
        options, unknown = parser(words[1:]).parse_known_args(words[1:])
        assert (options.command in COMMANDS, unknown) == (True, [])


@pytest.mark.parametrize("query", blocks(ROOT / "docs/run-file.md", "sql"), ids=lambda query: query.split()[1])
def test_sql_of_the_documentation_finds_something(query):
    with closing(sqlite3.connect(f"{RUNS.as_uri()}?mode=ro", uri=True)) as file:
        assert file.execute(query).fetchall()


@pytest.mark.slow
def test_the_readme_reads_results_as_it_says(tmp_path, monkeypatch):
    (tmp_path / "outputs").mkdir()
    shutil.copy(RUNS, tmp_path / "outputs")
    monkeypatch.chdir(tmp_path)
    (block,) = (block for block in blocks(ROOT / "README.md", "python") if "pk.open" in block)
    exec(block, {"pk": pk})
    assert (tmp_path / "report.html").stat().st_size > 0


@pytest.mark.processes
def test_the_readme_begins_with_cells_that_run_without_a_server(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in blocks(ROOT / "README.md", "python")[:4]:
        shorter = block.replace("[10, 60, 160]", "[2, 2, 40]").replace("400ms", "40ms").replace("tokens=32", "tokens=4")
        exec(shorter, names)
    names["server"].stop()
    assert len(names["runs"]) == 3
    assert (tmp_path / "outputs/first.db").exists()


@pytest.mark.slow
def test_examples_of_plugins_run(tmp_path):
    names = {"pk": pk, "runs": pk.open(RUNS), "stopwatch": tmp_path / "times.txt"}
    try:
        for block in blocks(ROOT / "docs/plugins.md", "python"):
            exec(block, names)
        assert {"characters_rate"} <= set(METRICS)
        assert {"lengths"} <= set(CHARTS)
    finally:
        from perfkit.analysis.importers import IMPORTERS

        for table, name in (
            (METRICS, "characters_rate"),
            (RATES, "long_answers"),
            (CHARTS, "lengths"),
            (IMPORTERS, "stopwatch"),
        ):
            table.pop(name, None)


def test_the_sample_runs_are_small_and_keep_no_path_of_their_maker():
    data = RUNS.read_bytes()
    assert len(data) < 500_000
    assert b'"db": "runs.db"' in data


def test_the_sample_runs_hold_what_their_readme_says():
    runs = pk.open(RUNS)
    assert sorted(runs.labels) == ["A100 parallel=1", "A100 parallel=8", "H100 parallel=1", "H100 parallel=8", "faulty"]
    assert list(runs.failures()["run"]) == ["faulty"]
