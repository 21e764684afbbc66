import pandas as pd

from perfkit.plots import ecdf


def requests(**columns):
    return pd.DataFrame({"run": ["a", "b", "c"], "success": 1, "ttft": 0.1, **columns})


def beneath(ax):
    return "".join(text.get_text().replace("\n", " ") for text in ax.texts if text.get_gid() == "notes")


def test_runs_that_are_not_valid_are_named():
    ax = ecdf(requests(verdict=["VALID", "CLIENT-BOUND", "SUSPECT"]))
    assert "CLIENT-BOUND: b" in beneath(ax)
    assert "SUSPECT: c" in beneath(ax)


def test_valid_runs_are_not_worth_a_word():
    assert "VALID" not in beneath(ecdf(requests(verdict="VALID")))


def test_mixed_origins_are_said():
    ax = ecdf(requests(basis_ttft=["stamps", "stamps", "stored:evalscope-1.10"]))
    assert "not measured the same way: stamps (a and b), stored:evalscope-1.10 (c)" in beneath(ax)


def test_one_origin_is_not_worth_a_word():
    assert "same way" not in beneath(ecdf(requests(basis_ttft="stamps")))
