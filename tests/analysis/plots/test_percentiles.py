import math

import numpy as np
import pandas as pd
import pytest

from perfkit.analysis.plots import percentiles
from perfkit.analysis.plots.percentiles import percentiles_table


def requests(values):
    return pd.DataFrame({"run": "a", "success": 1, "ttft": values})


def test_the_curve_is_the_linear_percentile():
    values = np.random.default_rng(1).lognormal(-2, 0.5, 201)
    table = percentiles_table(requests(values)).set_index("percentile")
    assert table.loc[95.0, "time to first token [ms]"] == pytest.approx(1000 * np.percentile(values, 95))


def test_ninety_ninety_nine_and_three_nines_lie_equally_far_apart():
    ax = percentiles(requests(np.linspace(0.1, 0.2, 5000)))
    at = dict(zip([tick.get_text() for tick in ax.get_xticklabels()], ax.get_xticks(), strict=True))
    assert at["99"] - at["90"] == pytest.approx(at["99.9"] - at["99"])


def test_where_fewer_than_ten_requests_lie_beyond_the_line_is_thin_in_its_own_colour():
    ax = percentiles(requests(np.linspace(0.1, 0.2, 1000)))
    body, tail = ax.lines
    assert tail.get_linewidth() < body.get_linewidth() / 2
    assert (tail.get_alpha(), tail.get_color()) == (None, body.get_color())
    assert body.get_xdata()[-1] == pytest.approx(-math.log10(1 - 989 / 999))
    assert "fewer than 10 requests beyond" in ax.texts[-1].get_text()


def test_percentiles_that_a_small_sample_cannot_show_have_no_tick():
    ax = percentiles(requests([0.1] * 20))
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["0", "50", "75", "90", "95"]
