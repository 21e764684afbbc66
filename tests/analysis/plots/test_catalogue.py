import inspect
import re

import pytest

from perfkit.analysis.plots import CHARTS
from perfkit.analysis.plots.catalogue import find, split
from perfkit.errors import UsageError


def test_every_chart_has_a_sentence_and_a_table():
    assert [found.name for found in CHARTS.values() if not found.sentence.endswith(".") or not found.table] == []


def test_an_unknown_chart_suggests_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'ecdf'"):
        find("ecfd")


def test_a_chart_may_name_its_metric():
    assert split("hist:tpot")[1] == "tpot"
    assert split("hist")[1] == "ttft"
    assert split("timeline")[1] is None


def test_a_docstring_describes_each_parameter_once_and_in_order():
    for name, found in CHARTS.built_in.items():
        described = re.findall(r"^(\w+) : ", found.draw.__doc__.split("Returns")[0], re.MULTILINE)
        assert described == list(inspect.signature(found.draw).parameters), name
