import shutil
from pathlib import Path

import nbformat
import pytest

from tests.analysis.notebook.kernels import run_all

pytestmark = [pytest.mark.processes, pytest.mark.alone]

ROOT = Path(__file__).parents[3]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
WIDGET = "application/vnd.jupyter.widget-view+json"

READINGS = {
    "01-first-benchmark": {
        "the median is about ten times as long": "4 < median(runs['*=32'], 'ttft') / median(runs['*=8'], 'ttft') < 40",
        "about a fifth from 1 user to 8": "1.05 < median(runs['*=8'], 'tpot') / median(runs['*=1'], 'tpot') < 1.6",
        "crosses are requests that the server refused": "runs.failures()['status_code'].tolist()[:1] == [500]",
        "All of them belong to the run of 32 users": "set(slow.requests['run']) == {'first parallel=32'}",
    },
    "02-explore-old-results": {
        "The three other tools measured servers of 100 ms or so": "all(0.09 < median(runs[tool], 'ttft') < 0.11 for "
        "tool in ('aiperf', 'evalscope', 'vLLM'))",
        "`A100 parallel=8` is the slowest": "max(runs.labels, key=lambda one: median(runs[one], 'ttft')) == "
        "'A100 parallel=8'",
        "is shorter in 9 of 20 requests": "runs['evalscope'].lens('ttft').table.loc[('evalscope', 'evalscope-1.10'), "
        "['changed', 'n']].tolist() == [9, 20]",
        "within 90 ms on H100, and within 150 ms on A100": "median(runs['H100 parallel=8'], 'ttft') < 0.09 and "
        "0.09 < median(runs['A100 parallel=8'], 'ttft') < 0.15",
        "Two of fourteen requests were refused, with status 503": "runs.failures()[['count', 'status_code']]"
        ".values.tolist() == [[2, 503]]",
        "Nearly all of them are of `A100 parallel=8`": "(slow.requests['run'] == 'A100 parallel=8').mean() > 0.8",
    },
    "03-compare-two-deployments": {
        "no difference is claimed": "set((before + after).compare('old', quantities=['tpot_mean', 'e2e_mean'])"
        ".table['p'].isna()) == {True}",
        "B, the new one, is clearly faster per token": "'B is faster than A' in found.conclusion and "
        "'mean TPOT -' in found.conclusion",
        "about half of the time": "0.4 < median(rounds['B*'], 'tpot') / median(rounds['A*'], 'tpot') < 0.75",
    },
    "04-find-the-capacity": {
        "The last line is the answer: a bracket": "'CLIENT-BOUND' in set(found.table['verdict']) or "
        "6 <= found.bracket.lower < found.bracket.upper <= 128",
        "TTFT grows with every further user": "median(most, 'ttft') > 5 * median(least, 'ttft')",
        "Decoding takes about as long under the largest load as under the least": "0.6 < median(most, 'tpot') / "
        "median(least, 'tpot') < 2",
    },
    "05-your-own": {
        "eight users are served as fast as two": "0.8 < median(runs['*=8'], 'character_rate') / "
        "median(runs['*=2'], 'character_rate') < 1.25",
        "Both bars stand at 0.05 s": "all(0.045 < run.steady['ttft'].mean() < 0.08 for run in runs)",
        "Before a long load": "set(runs.requests['finish_reason']) == {'length'}",
    },
    "06-watch-and-reattach": {
        "It is the same job": "again.path == job.path and job.done()",
        "crosses are those that the server refused": "500 in set(runs.failures()['status_code'])",
        "The summary says that the run was interrupted": "'was interrupted' in str(runs)",
        "three requests or so were in flight": "1 < runs.summary().rates['concurrency'].iloc[0] < 8",
    },
    "07-export-for-a-paper": {
        "Each chart as pdf, png and svg, with the numbers behind it as csv": "{path.suffix for path in files} == "
        "{'.pdf', '.png', '.svg', '.csv', '.tex'}",
        "equal byte by byte": "again[0].read_bytes() == (files[0].parent / 'ecdf-tpot.png').read_bytes()",
    },
}
"""What the notebooks say of their figures, and what must hold for it to be true."""
MEANT = """
median = lambda runs, name: runs.steady[name].median()
if "found" in globals() and hasattr(found, "points"):
    most, least = (found.runs.pick(parallel=each(point.load for point in found.points)) for each in (max, min))
"""


def code(path):
    return [cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]


def text(path):
    return [cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "markdown"]


by_name = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@pytest.mark.kernel
@by_name
def test_every_cell_runs_when_all_are_queued_and_what_is_read_off_the_figures_holds(path, tmp_path):
    shutil.copytree(ROOT / "sample_data", tmp_path / "sample_data")
    (tmp_path / "notebooks").mkdir()
    checks = [f"assert {claim}" for claim in READINGS[path.stem].values()]
    cells = run_all([*code(path), MEANT, *checks], tmp_path / "notebooks")
    assert [cell.source for cell in cells if not cell.ended] == []
    assert [(cell.source, cell.error) for cell in cells if cell.error] == []


@by_name
def test_what_is_checked_is_what_the_notebook_says(path):
    words = " ".join(" ".join(text(path)).split())
    assert [reading for reading in READINGS[path.stem] if reading not in words] == []


@by_name
def test_notebooks_hold_no_outputs_and_only_plugins_are_defined(path):
    cells = nbformat.read(path, 4).cells
    assert len(cells) <= 25
    assert [cell.outputs for cell in cells if cell.cell_type == "code" and cell.outputs] == []
    defined = [source for source in code(path) if "def " in source or "class " in source]
    assert [source for source in defined if not source.startswith("@pk.")] == []


@by_name
def test_notebooks_start_with_a_question_and_end_with_what_they_do_not_show(path):
    assert text(path)[0].splitlines()[0].endswith("?")
    assert text(path)[-1].startswith("## What this does not show")


@pytest.mark.kernel
def test_a_job_shows_its_line_and_charts_show_themselves(tmp_path):
    cells = run_all(
        [
            "import perfkit as pk; server = pk.simulate(ttft=0.01, itl=0.001)",
            "job = pk.start(server.url, parallel=2, number=6, max_tokens=4, db='a.db'); job",
            "runs = await job; runs",
            "runs.plot.ecdf('ttft')",
            "pk.explore(runs)",
            "runs = pk.run(server.url, parallel=2, number=6, max_tokens=4, db='b.db')",
            "import asyncio; await asyncio.sleep(0); server.stop(); print('the last cell ran')",
        ],
        tmp_path,
    )
    assert [cell.error for cell in cells if cell.error] == []
    assert WIDGET in cells[1].displays
    assert "text/html" in cells[2].displays
    assert "image/png" in cells[3].displays
    assert WIDGET in cells[4].displays
    assert WIDGET in cells[5].displays
    assert cells[-1].text == "the last cell ran\n"
