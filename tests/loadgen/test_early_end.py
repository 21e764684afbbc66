import pytest

from perfkit.loadgen.early_end import Failing

# Requests that have ended, those that failed, and the second, at each look; whether the last look ends the run.
RUNS = {
    "99 that all fail are too few": (0.99, [(99, 99, 1)], False),
    "the first 100 fail": (0.99, [(100, 100, 1)], True),
    "one of the first 100 succeeds": (0.99, [(100, 99, 1)], False),
    "5 of 100 are not more than allowed": (0.05, [(100, 5, 1)], False),
    "6 of 100 are": (0.05, [(100, 6, 1)], True),
    "the server dies and stays dead": (0.99, [(1000, 0, 1), (1050, 50, 5), (1100, 100, 11)], True),
    "it is back after 9 s": (0.99, [(1000, 0, 1), (1100, 100, 10), (1101, 100, 11), (1199, 198, 21)], False),
    "99 fail in 20 s": (0.99, [(1000, 0, 1), (1099, 99, 21)], False),
    "others failed before the last success": (0.99, [(1000, 90, 1), (1099, 189, 21)], False),
    "a slow server sends nothing for a minute": (0.99, [(1000, 0, 1), (1000, 0, 61)], False),
    "whatever fails may": (1.0, [(1000, 0, 1), (2000, 1000, 100)], False),
}


@pytest.mark.parametrize(("allowed", "looks", "ends"), RUNS.values(), ids=RUNS)
def test_a_run_is_ended(allowed: float, looks: list[tuple[int, int, float]], ends: bool) -> None:
    failing = Failing(allowed)
    told = [failing.why(done, failed, now) for done, failed, now in looks]
    assert told[:-1] == [None] * (len(looks) - 1)
    assert (told[-1] is not None) == ends
