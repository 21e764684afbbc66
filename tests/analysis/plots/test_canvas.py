import subprocess
import sys
import threading
import warnings

import matplotlib as mpl
import pandas as pd
import pytest
from matplotlib.figure import Figure

import perfkit.analysis.plots.canvas as canvas
from perfkit.analysis.plots import ecdf, render, style
from perfkit.errors import UsageError


def requests(run="a"):
    return pd.DataFrame({"run": run, "success": 1, "ttft": [0.1, 0.2, 0.3]})


@pytest.mark.slow
def test_a_chart_that_ends_a_cell_shows_itself():
    picture, size = ecdf(requests())._repr_png_()
    assert picture.startswith(b"\x89PNG")
    assert size == {"width": 720, "height": 420}


@pytest.mark.processes
def test_pyplot_is_never_loaded():
    program = (
        "import sys, pandas as pd; from perfkit.analysis.plots import ecdf;"
        "ecdf(pd.DataFrame({'run': ['a'], 'success': 1, 'ttft': [0.1]}))._repr_png_();"
        "print('matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_the_same_chart_is_the_same_bytes(kind):
    first, second = ecdf(requests()), ecdf(requests())
    for other in ("pdf", "png", "svg"):
        render(second, other)
    assert render(first, kind) == render(second, kind) == render(second, kind)


def test_paper_is_as_wide_as_it_was_asked_to_be():
    style("paper", width="89mm")
    assert ecdf(requests()).figure.get_size_inches()[0] == pytest.approx(89 / 25.4)


@pytest.mark.slow
def test_a_pdf_holds_truetype_letters():
    style("paper")
    picture = render(ecdf(requests()), "pdf")
    assert b"/FontFile2" in picture
    assert b"/Type3" not in picture


def test_grey_is_grey():
    style("paper", grey=True)
    colour = ecdf(requests()).lines[0].get_color()
    assert len({colour[1:3], colour[3:5], colour[5:7]}) == 1


@pytest.mark.slow
def test_matplotlibs_own_settings_are_left_as_they_were():
    before = dict(mpl.rcParams)
    ecdf(requests())._repr_png_()
    assert dict(mpl.rcParams) == before


@pytest.mark.slow
def test_charts_drawn_on_several_threads_are_the_chart_drawn_on_one():
    expected = render(ecdf(requests()), "png")
    drawn = []
    threads = [threading.Thread(target=lambda: drawn.append(render(ecdf(requests()), "png"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert drawn == [expected] * 4


@pytest.mark.slow
def test_missing_letters_are_said_once_with_the_remedy(monkeypatch):
    monkeypatch.setattr(canvas, "_said_missing", False)
    monkeypatch.setattr(canvas, "installed_fonts", lambda: ("DejaVu Sans",))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            render(ecdf(requests("通义千问")), "png")
    assert len(caught) == 1
    assert "fonts-noto-cjk" in str(caught[0].message)


@pytest.mark.parametrize("width", ["89", "wide", "0mm", "1.2.3in", ""])
def test_a_width_that_is_no_length_is_refused(width):
    with pytest.raises(UsageError, match="such as '89mm'"):
        style("paper", width=width)


def test_the_sheet_can_be_used_by_itself():
    with mpl.style.context("perfkit.analysis.plots.perfkit"):
        assert Figure().get_size_inches().tolist() == pytest.approx([7.2, 4.2])
