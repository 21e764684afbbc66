from itertools import combinations

import numpy as np
import pytest

from perfkit.analysis.metrics import RATES
from perfkit.analysis.plots import style, tradeoff
from perfkit.analysis.plots.tradeoff import tradeoff_table
from perfkit.errors import UsageError
from tests.served import served, together


@pytest.fixture(scope="module")
def closed():
    return together(*(served(f"u{users}", parallel=users, number=40 * users, seed=users) for users in (1, 4, 16)))


def loads(ax):
    return [text for text in ax.texts if text.get_gid() != "notes"]


@pytest.mark.slow
def test_a_point_is_the_percentile_and_the_rate_of_its_load(closed):
    table = tradeoff_table(closed).set_index("load")
    four = closed[closed["parallel"] == 4]
    assert table.loc[4, "time to first token [ms]"] == pytest.approx(
        1000 * np.percentile(four["first_chunk_latency"], 95)
    )
    assert table.loc[4, "output throughput [tokens/s]"] == pytest.approx(RATES["output_throughput"].of(four))


@pytest.mark.slow
def test_each_point_is_named_by_its_load(closed):
    ax = tradeoff(closed)
    assert [text.get_text() for text in loads(ax)] == ["1", "4", "16"]
    (notes,) = [text.get_text() for text in ax.texts if text.get_gid() == "notes"]
    assert notes.startswith("beside a point: users")


@pytest.mark.slow
@pytest.mark.parametrize("size", ["notebook", "paper"])
def test_loads_never_stand_upon_each_other_nor_upon_a_point(closed, size):
    style(size)
    near = [
        closed.assign(run=name, name=name, first_chunk_latency=closed["first_chunk_latency"] * factor)
        for name, factor in (("a", 1), ("b", 1.001), ("c", 1.01), ("d", 1.02), ("e", 1.05), ("f", 1.07))
    ]
    ax = tradeoff(together(*near))
    ax.figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in loads(ax)]
    points = ax.transData.transform([xy for line in ax.lines for xy in line.get_xydata()])
    assert 3 <= len(boxes) < 18
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    assert not any(box.contains(*point) for box in boxes for point in points)


@pytest.mark.slow
def test_one_line_says_n_too(closed):
    (name,) = tradeoff(closed.assign(name="tp2")).get_legend().get_texts()
    assert name.get_text() == "tp2 (n=840)"
    (name,) = tradeoff(closed).get_legend().get_texts()
    assert name.get_text() == "all requests (n=840)"


@pytest.mark.slow
def test_another_percentile_is_named_on_the_axis(closed):
    assert tradeoff(closed, "e2e", percentile=50).get_ylabel() == "p50 end-to-end latency [ms]"


@pytest.mark.slow
def test_several_systems_have_a_line_each(closed):
    ax = tradeoff(together(closed, closed.assign(model="other")), by="model")
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert [name.split(" (")[0] for name in names] == ["qwen2.5-7b-instruct", "other"]


def test_a_rate_has_no_percentile(closed):
    with pytest.raises(UsageError, match="a metric of each request"):
        tradeoff(closed, "output_throughput")
