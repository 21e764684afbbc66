"""The gallery of charts is complete, and its lines run."""

import re
from pathlib import Path

import pytest

import perfkit as pk
from perfkit.analysis.plots import CHARTS

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "charts.md").read_text(encoding="utf-8")
LINES = re.findall(r"```python\n(runs\.plot\..*)\n```", TEXT)


@pytest.fixture(scope="module")
def runs():
    return pk.open(ROOT / "sample_data" / "runs.db")


def test_every_chart_has_a_line_and_a_picture():
    drawn = {re.match(r"runs\.plot\.(\w+)", line)[1] for line in LINES}
    pictures = re.findall(r"!\[(\w+)\]\((.*)\)", TEXT)
    assert drawn == {name for name, _ in pictures} == set(CHARTS)
    assert [path for _, path in pictures if not (ROOT / "docs" / path).exists()] == []


@pytest.mark.slow
@pytest.mark.parametrize("line", LINES)
def test_every_line_draws(runs, line):
    assert eval(line, {"runs": runs}).has_data()


@pytest.mark.slow
def test_the_chart_of_your_own_can_be_used_as_written(runs):
    (own,) = re.findall(r"```python\n(@pk\.chart.*?)```", TEXT, re.DOTALL)
    exec(own, {"pk": pk})
    try:
        assert len(runs.plot.mean_bars().patches) > 0
    finally:
        del CHARTS["mean_bars"]
