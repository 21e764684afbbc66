import numpy as np
import pandas as pd
import pytest

from perfkit.analysis.plots import hist
from perfkit.analysis.plots.hist import hist_table
from tests.served import served, together


def test_the_shares_of_each_group_add_up_to_one():
    table = hist_table(together(served("a", parallel=4, number=80), served("b", parallel=8, number=150)), "e2e")
    assert table.groupby("group")["share of requests"].sum().tolist() == pytest.approx([1, 1])


def test_groups_share_their_ranges():
    table = hist_table(together(served("a", parallel=4, number=80), served("b", parallel=8, number=150)), "e2e")
    first, second = (part["to"].tolist() for _, part in table.groupby("group"))
    assert first == second


def test_ranges_grow_with_the_value_where_the_largest_is_far_out():
    frame = pd.DataFrame({"run": "a", "success": 1, "ttft": [0.1] * 99 + [9.0]})
    edges = hist_table(frame)["to"].to_numpy()
    assert np.diff(np.log(edges)) == pytest.approx(np.log(edges[1] / edges[0]))
    assert hist(frame).get_xscale() == "log"


def test_one_value_makes_one_bar():
    frame = pd.DataFrame({"run": "a", "success": 1, "ttft": [0.1, 0.1]})
    assert hist_table(frame)["requests"].tolist() == [2]


def test_an_outline_has_a_label_and_its_filling_none():
    ax = hist(served("a", parallel=4, number=80), "e2e")
    assert [patch.get_gid() for patch in ax.patches] == [None, "fill"]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a (n=80)"]


def test_ranges_are_as_narrow_as_the_narrowest_group_needs():
    narrow = pd.DataFrame({"run": "a", "success": 1, "ttft": np.linspace(0.1, 0.11, 200)})
    wide = pd.DataFrame({"run": "b", "success": 1, "ttft": np.linspace(0.1, 0.3, 200)})
    assert (hist_table(together(narrow, wide)).query("group == 'a'")["requests"] > 0).sum() >= 3
