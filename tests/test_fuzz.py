"""Each claim of the fuzz harnesses, on a few examples that are the same in every run; ``make fuzz`` tries far more."""

import logging

import pytest
from hypothesis import strategies as st

from fuzz import cells, http, importers, journal, sse
from fuzz.claims import Claim, main, replaced

HARNESSES = (sse, http, cells, journal, importers)
EVERY = [claim for harness in HARNESSES for claim in harness.CLAIMS if not claim.timed]
EXAMPLES = 60


@pytest.mark.slow
@pytest.mark.parametrize("claim", EVERY, ids=lambda claim: claim.name)
def test_it_holds(claim: Claim) -> None:
    claim.hold(EXAMPLES, seed=1)


def test_a_claim_that_does_not_hold_is_shown_with_its_input(capsys: pytest.CaptureFixture[str]) -> None:
    def no_number_is_above_a_hundred(number: int) -> None:
        assert number <= 100

    claims = [Claim(no_number_is_above_a_hundred, st.integers()), Claim(lambda number: None, st.integers())]
    assert main(claims, ["--minutes", "0"]) == 1
    told = capsys.readouterr().out
    assert "BROKEN: no number is above a hundred (" in told
    assert "held: <lambda> (" in told
    assert "number=101" in told
    assert logging.getLogger("perfkit").isEnabledFor(logging.WARNING)  # again


def test_each_value_of_a_json_value_can_be_replaced() -> None:
    assert [replaced({"a": [1, 2]}, place, "x") for place in range(4)] == [
        "x",
        {"a": "x"},
        {"a": ["x", 2]},
        {"a": [1, "x"]},
    ]
