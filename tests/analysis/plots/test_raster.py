import pandas as pd
import pytest

from perfkit.analysis.plots import raster, style
from perfkit.analysis.plots.canvas import laid_out
from perfkit.analysis.plots.raster import raster_table
from tests.served import chunked, served


def test_each_answer_is_a_row_and_each_chunk_a_tick():
    chunks = chunked(served("a", parallel=2, number=10), answers=3, pieces=5)
    table = raster_table(chunks)
    assert table.groupby("row").size().tolist() == [6, 6, 6]


def test_ticks_stand_in_milliseconds_after_the_request():
    chunks = pd.DataFrame({"run": "a", "request": [7, 7], "arrival": [0.1, 0.15], "kind": ["role", "content"]})
    role, content = raster(chunks).collections
    assert [segment[0][0] for segment in role.get_segments()] == [100]
    assert [segment[0][0] for segment in content.get_segments()] == [150]


def test_chunks_that_came_with_a_later_one_have_short_ticks():
    chunks = pd.DataFrame(
        {"run": "a", "request": 7, "arrival": [0.1, 0.1], "kind": "content", "censored": [True, False]}
    )
    short, tall = (bottom[1] - top[1] for top, bottom in raster(chunks).collections[1].get_segments())
    assert short < tall


@pytest.mark.slow
@pytest.mark.parametrize(("tokens", "size"), [(20, "notebook"), (250, "notebook"), (250, "paper")])
def test_there_is_white_between_ticks_that_stand_close(tokens, size):
    style(size)
    arrivals = [0.2 + 0.008 * token for token in range(tokens)]
    ax = raster(pd.DataFrame({"run": "a", "request": 1, "arrival": arrivals, "kind": "content"}))
    laid_out(ax)
    (width,) = ax.collections[1].get_linewidths()
    gap = (ax.transData.transform((8, 0)) - ax.transData.transform((0, 0)))[0] * 72 / ax.figure.dpi
    assert width < gap / 2


def test_only_the_first_answers_are_drawn():
    chunks = pd.DataFrame({"run": "a", "request": range(100), "arrival": 0.1, "kind": "content"})
    assert raster_table(chunks)["row"].nunique() == 40
