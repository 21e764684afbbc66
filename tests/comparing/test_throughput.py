"""Throughputs of synthetic servers: what the interval says must be what equal runs do."""

from heapq import heapify, heapreplace

import numpy as np
import pytest

from perfkit.comparing.throughput import BLOCKS, rate_blocks, rate_estimate
from perfkit.estimates import ratio

TOKENS = 32.0


def closed(rng, n, users, spread, swings=0.0, memory=0.0):
    """Users who ask again once answered: log-normal times around a second, which the server's own swings lengthen."""
    noise = rng.normal(size=4 * n // users + 50)
    for at in range(1, len(noise)):
        noise[at] = memory * noise[at - 1] + (1 - memory**2) ** 0.5 * noise[at]
    free, rows = [0.0] * users, []
    heapify(free)
    for _ in range(n):
        start = free[0]
        end = start + rng.lognormal(0, spread) * np.exp(swings * noise[int(start)])
        heapreplace(free, end)
        rows.append((start, end, TOKENS))
    return np.array(rows)


def in_step(rng, n, users):
    """Users whom one batch serves, and who ask and end together: eight ends at once, then none for a second."""
    rounds = np.repeat(np.cumsum(rng.normal(1, 0.002, n // users + 1)), users)[:n]
    return np.column_stack([rounds - 1, rounds + rng.normal(0, 1e-4, n), np.full(n, TOKENS)])


def poisson(rng, n, rate):
    start = np.cumsum(rng.exponential(1 / rate, n))
    return np.column_stack([start, start + rng.lognormal(0, 0.3, n), np.full(n, TOKENS)])


KINDS = {
    "8 users, 100 requests": lambda rng: closed(rng, 100, 8, 0.07),
    "8 users, answers of very different length": lambda rng: closed(rng, 100, 8, 0.5),
    "8 users, 1,000 requests": lambda rng: closed(rng, 1_000, 8, 0.05),
    "1 user": lambda rng: closed(rng, 200, 1, 0.2),
    "32 users, 200 requests": lambda rng: closed(rng, 200, 32, 0.2),
    "a server that swings": lambda rng: closed(rng, 400, 8, 0.1, swings=0.1),
    "a server that swings slowly": lambda rng: closed(rng, 1_600, 8, 0.1, swings=0.1, memory=0.6),
    "a request now and then": lambda rng: poisson(rng, 300, 0.5),
    "20 requests a second": lambda rng: poisson(rng, 1_000, 20),
}


@pytest.mark.parametrize("kind", KINDS)
def test_intervals_of_equal_runs_hold_a_ratio_of_one_nineteen_times_in_twenty(kind):
    rng = np.random.default_rng(1)
    runs = [rate_estimate([KINDS[kind](rng)]) for _ in range(300)]
    truth = np.exp(np.mean([np.log(each.value) for each in runs]))
    # Over 1,000 runs 92 to 100 % of them, and 95 to 99 % of 500 ratios.
    assert np.mean([each.low <= truth <= each.high for each in runs]) >= 0.90
    ratios = [ratio(other, one) for one, other in zip(runs[::2], runs[1::2], strict=True)]
    assert np.mean([each.low <= 1 <= each.high for each in ratios]) >= 0.92
    # And none so wide that it says nothing: at most twice as wide as equal runs scatter, but for few stretches.
    scatter = np.std([each.value / truth for each in runs])
    half = np.mean([(each.high - each.low) / 2 / each.value for each in runs])
    assert half < 1.96 * scatter * (2 if runs[0].effective == BLOCKS else 3)


def test_users_who_end_together_do_not_make_a_throughput_uncertain():
    rng = np.random.default_rng(2)
    one, other = (rate_estimate([in_step(rng, 100, 8)]) for _ in range(2))
    found = ratio(other, one)
    assert 0.98 < found.low < 1 < found.high < 1.02


def test_a_tenth_more_is_told_from_as_much():
    rng = np.random.default_rng(3)
    slow, fast = closed(rng, 1_000, 8, 0.05), closed(rng, 1_000, 8, 0.05)
    fast[:, :2] /= 1.07
    found = ratio(rate_estimate([fast]), rate_estimate([slow]))
    assert 1.05 < found.low < 1.07 < found.high < 1.09


def test_two_runs_a_side_count_as_one_longer_one():
    rng = np.random.default_rng(4)
    runs = [closed(rng, 400, 8, 0.2) for _ in range(2)]
    both = rate_estimate(runs)
    # 800 requests of 32 tokens in the seconds of both.
    seconds = sum(run[:, 1].max() - run[:, 0].min() for run in runs)
    assert both.value == pytest.approx(800 * 32 / seconds)
    assert (both.n, both.effective) == (800, 20)
    widths = [each.high / each.low for each in map(rate_estimate, ([runs[0]], [runs[1]]))]
    assert both.high / both.low < max(widths)


def test_blocks_hold_what_was_under_way_in_them():
    # One user, a second a request, 32 tokens: 19 seconds between first end and last start, so 9 blocks of 19/9 s.
    start = np.arange(21.0)
    blocks = rate_blocks(np.column_stack([start, start + 1, np.full(21, TOKENS)]))
    assert blocks.shape == (9, 2)
    assert blocks[:, 1] == pytest.approx(19 / 9)
    assert blocks[:, 0] == pytest.approx(32 * 19 / 9)


@pytest.mark.parametrize(("n", "users"), [(1, 1), (8, 8), (30, 8)])
def test_a_run_not_several_times_as_long_as_a_request_has_a_throughput_without_interval(n, users):
    run = closed(np.random.default_rng(5), n, users, 0.1)
    found = rate_estimate([run])
    assert found.value == pytest.approx(n * TOKENS / run[:, 1].max())
    assert not found.known


def test_nothing_and_failures_have_no_throughput():
    assert np.isnan(rate_estimate([]).value)
    failed = closed(np.random.default_rng(6), 100, 8, 0.1)
    failed[:, 2] = 0
    assert rate_estimate([failed]).value == 0
    assert not rate_estimate([failed]).known
