"""A chart is shown once in a real kernel, wherever in a cell it was made."""

import pytest

import perfkit as pk
from tests.analysis.notebook.kernels import Cell, run_all

pytestmark = pytest.mark.kernel

WAYS = {
    "runs.plot.ecdf('ttft')": 1,
    "runs.plot.ecdf('ttft');": 1,
    "for metric in ('ttft', 'e2e'):\n    runs.plot.ecdf(metric)": 2,
    "ax = runs.plot.ecdf('ttft'); ax.axvline(0.01)": 1,
    "ax = runs.plot.ecdf('ttft')\nax.axvline(0.01)\nax": 1,
    "ax = runs.plot.ecdf('ttft')\nax.axvline(0.01)\nax.figure": 1,
    "display(runs.plot.ecdf('ttft'))": 1,
    "ax = runs.plot.ecdf('ttft')\nruns.plot.hist('ttft', ax=ax)\nNone": 1,
    "runs.plot.ecdf('ttft')\nruns.plot.hist('ttft')": 2,
    "[runs.plot.ecdf('ttft'), runs.plot.hist('ttft')]": 2,
    "ax = runs.plot.ecdf('ttft')\nawait asyncio.sleep(0.01)": 1,
    "runs.plot.ecdf('ttft').figure.savefig('chart.png')": 1,
    "runs.report('report.html', charts=['ecdf']);": 0,
    "runs.plot.ecdf(ax=plt.subplots()[1]);": 1,
    "import threading\nthread = threading.Thread(target=lambda: runs.plot.ecdf('ttft'))\n"
    "thread.start()\nthread.join()": 0,
    "print('no chart of an earlier cell')": 0,
    "pk.explore('a.db')": 1,
    "runs.plot.ecdf('ttft')\n1 / 0": 1,  # last, as the cells after an error are not run
}


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Cell]:
    folder = tmp_path_factory.mktemp("charts")
    with pk.simulate(ttft=0.01, itl=0.001, output_tokens=4) as server:
        pk.run(server.url, prompt="hi", number=12, db=str(folder / "a.db"), workers=0)
    start = "import asyncio\nimport matplotlib.pyplot as plt\nimport perfkit as pk\nruns = pk.open('a.db')"
    done = run_all([start, *WAYS], folder)
    return dict(zip(WAYS, done[1:], strict=True))


@pytest.mark.processes
@pytest.mark.parametrize("way", WAYS)
def test_a_chart_is_shown_once_wherever_it_was_made(cells: dict[str, Cell], way: str) -> None:
    assert bool(cells[way].error) == ("1 / 0" in way)
    assert cells[way].displays.count("image/png") == WAYS[way], cells[way]


@pytest.mark.processes
def test_an_explorer_is_a_widget_with_a_picture_for_pages_that_show_none(cells: dict[str, Cell]) -> None:
    shown = cells["pk.explore('a.db')"]
    assert not shown.error
    assert {"application/vnd.jupyter.widget-view+json", "image/png", "text/plain"} <= set(shown.displays)
    assert 'pk.open("a.db").plot.ecdf("ttft")' in shown.text
