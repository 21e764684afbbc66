from pathlib import Path

import nbformat
import pytest

from tests.analysis.notebook.kernels import run_all

pytestmark = pytest.mark.processes

NOTEBOOKS = sorted((Path(__file__).parents[3] / "notebooks").glob("*.ipynb"))
WIDGET = "application/vnd.jupyter.widget-view+json"


def code(path):
    return [cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]


@pytest.mark.kernel
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_cell_runs_when_all_are_queued(path, tmp_path):
    cells = run_all(code(path), tmp_path)
    assert [cell.source for cell in cells if not cell.ended] == []
    assert [cell.error for cell in cells if cell.error] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_hold_no_outputs_and_define_nothing(path):
    cells = nbformat.read(path, 4).cells
    assert [cell.outputs for cell in cells if cell.cell_type == "code" and cell.outputs] == []
    assert [source for source in code(path) if "def " in source or "class " in source] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_start_with_a_question_and_end_with_what_they_do_not_show(path):
    texts = [cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "markdown"]
    assert texts[0].splitlines()[0].endswith("?")
    assert texts[-1].startswith("## What this does not show")


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
