"""What ``perfkit show`` prints fits a terminal of 80 columns, and holds what a wide one shows."""

import re

import pytest

from perfkit.analysis.text_table import width
from perfkit.simulator import simulate
from tests.cli.commands import perfkit
from tests.nets.golden import RUNS

pytestmark = pytest.mark.slow
NUMBER = re.compile(r"\d[\d.,]*")


def tables(text):
    """Return a summary up to its first footnote."""
    return text.split("\n* ")[0].splitlines()[1:]


def test_tables_fit_eighty_columns_and_lose_no_number(tmp_path):
    narrow, wide = (tables(perfkit("show", RUNS, folder=tmp_path, COLUMNS=c).stdout) for c in ("80", "240"))
    assert max(map(width, narrow)) <= 80 < max(map(width, wide))
    found, expected = (sorted(NUMBER.findall(re.sub(r"\S*parallel=\d+", "", "\n".join(t)))) for t in (narrow, wide))
    # Labels of the first column, which has none here but "A100", stand once in each table.
    assert set(found) == set(expected)
    assert sum(line.count("VALID") for line in narrow) == 5


@pytest.mark.processes
def test_cached_tokens_stand_in_the_summary_where_a_server_reports_them(tmp_path):
    words = ("-n", 4, "--max-tokens", 2, "--prompt", "one two three four five six seven eight", "--workers", 0)
    for name, cached in (("told", 4), ("untold", None)):
        with simulate(ttft=0.001, itl=0.001, cached_tokens=cached) as server:
            out = perfkit("run", server.url, *words, "--db", f"{name}.db", folder=tmp_path, COLUMNS="300").stdout
        assert ("cached prompt tokens [share]" in out) == (cached is not None)


# Tables of every command that prints one: sentences beside them are as long as they are.
TABLES = {
    "ls": ["ls", RUNS],
    "compare": ["compare", RUNS, "--by", "gpu", "--baseline", "A100"],
    "lens": ["lens", RUNS, "--metric", "itl"],
    "plan": ["plan", RUNS, "--pick", "H100*", "--noise", "5%"],
    "trend": ["trend", RUNS, "--over", "gpu", "--metric", "p95 ttft"],
    "show by": ["show", RUNS, "--by", "gpu"],
    "presets": ["presets", "agent"],
}


@pytest.mark.parametrize("words", TABLES.values(), ids=TABLES)
def test_tables_of_every_command_fit_eighty_columns_and_lose_no_word(words, tmp_path):
    narrow, wide = (perfkit(*words, folder=tmp_path, COLUMNS=columns).stdout for columns in ("80", "400"))
    sentences = {line for line in wide.splitlines() if width(line) > 80 and line in narrow.splitlines()}
    rows = [line for line in narrow.splitlines() if line not in sentences]
    assert rows
    assert max(map(width, rows)) <= 80
    assert set(re.findall(r"[\w.,%]+", narrow)) >= {
        word for line in wide.splitlines()[1:] for word in re.findall(r"[\w.,%]+", line)
    } - {"against", "A100", "load", "run"}


def test_a_group_is_named_once_above_its_rows(tmp_path):
    lines = perfkit(*TABLES["compare"], folder=tmp_path, COLUMNS="80").stdout.splitlines()
    assert [line for line in lines if line.startswith("H100  ")] == ["H100  1 user", "H100  8 users"]
