"""Verdicts and the numbers printed beside them must say the same."""

from dataclasses import replace

import pytest

from perfkit.comparing.comparison import Comparison
from perfkit.comparing.gate import require_not_slower
from perfkit.comparing.judging import Result
from perfkit.comparing.pairing import Pairing
from perfkit.comparing.quantity import quantity
from perfkit.errors import Slower
from perfkit.estimates import Estimate
from tests.comparing.test_comparing import file
from tests.run_files import request


def result(low, high, p, p_holm=None, together=1):
    """A TTFT 1.26 times the baseline's, with this interval and these p; enough samples for anything."""
    one, ratio = Estimate(0.1, 0.09, 0.11, 2000, 2000), Estimate(1.26, low, high, 2000, 2000)
    pairing = Pairing("b", {"parallel": 8}, (), ())
    corrected = p if p_holm is None else p_holm
    return Result(pairing, quantity("ttft_p95"), one, one, ratio, one, "requests", float("nan"), p, corrected, together)


@pytest.mark.parametrize(
    ("row", "judgement", "words"),
    [
        (result(1.04, 1.52, 0.02), "slower", "1.04 to 1.52): slower."),
        (result(0.96, 1.65, 0.09), "no clear difference", "0.96 to 1.65): no clear difference; to see 5 %"),
        (
            result(1.04, 1.52, 0.02, 0.08, together=4),
            "no clear difference",
            "no clear difference; not clear once 4 quantities are looked at together (Holm: p = 0.08); to see 5 %",
        ),
        (
            result(0.96, 1.65, 0.001),
            "no clear difference",
            "exchanges tell the sides apart (p = 0.001), but not by this number: its interval holds 1",
        ),
        (
            result(1.04, 1.52, 0.07),
            "no clear difference",
            "the interval leaves out 1, but chance sets exchanged sides as far apart (p = 0.07)",
        ),
    ],
)
def test_a_verdict_is_clear_only_where_interval_and_p_agree_and_says_why_not(row, judgement, words):
    assert row.judgement == judgement
    assert words in row.sentence("a")


def test_how_many_were_looked_at_together_leaves_out_what_nobody_measured(tmp_path):
    rows = [request(i, float(i), ttft=0.1 + i % 7 / 100, gaps=()) for i in range(300)]
    table = file(tmp_path, a=(rows, {}), b=(rows, {})).compare("a", quantities=["ttft_p50", "tpot_mean", "e2e_p50"])
    assert {row.together for row in table.results} == {2}


@pytest.mark.parametrize("unsure", ["raise", "pass"])
def test_a_gate_fails_for_being_slower_only_where_the_verdict_says_slower(unsure):
    clear = Comparison("a", (result(1.04, 1.52, 0.02),))
    with pytest.raises(Slower, match=r"slower\. \(allowed: 2\.5%\)"):
        require_not_slower(clear, {"ttft_p95": "2.5%"}, unsure)
    several = replace(clear, results=(result(1.04, 1.52, 0.02, 0.08, together=4),))
    if unsure == "pass":
        require_not_slower(several, {"ttft_p95": "2.5%"}, unsure)
    else:
        with pytest.raises(Slower, match="cannot tell"):
            require_not_slower(several, {"ttft_p95": "2.5%"}, unsure)
