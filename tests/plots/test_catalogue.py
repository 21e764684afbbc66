import pytest

from perfkit.errors import UsageError
from perfkit.plots import CHARTS
from perfkit.plots.catalogue import find, split


def test_every_chart_has_a_sentence_and_a_table():
    assert [found.name for found in CHARTS.values() if not found.sentence.endswith(".") or not found.table] == []


def test_an_unknown_chart_suggests_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'ecdf'"):
        find("ecfd")


def test_a_chart_may_name_its_metric():
    assert split("hist:tpot")[1] == "tpot"
    assert split("hist")[1] == "ttft"
    assert split("timeline")[1] is None
