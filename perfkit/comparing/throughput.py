"""A throughput with an interval, from the scatter between long stretches of a run."""

from collections.abc import Sequence
from math import exp, sqrt

import numpy as np

from perfkit.estimates import UNKNOWN, Estimate
from perfkit.stats import Floats

BLOCKS = 10
"""Stretches of time that an interval rests on, at most: more would be shorter than slow swings."""

_FEW, _FEWEST = 5, 4


def rate_estimate(runs: Sequence[Floats], level: float = 0.95) -> Estimate:
    """Estimate what arrived per second, from the scatter between long stretches of time.

    Parameters
    ----------
    runs : sequence of array of float, shape (requests, 3)
        Start and end of each request, Unix seconds, and what it brought, such as tokens; those that never ended aside.
    level : float
        Nominal coverage.

    Returns
    -------
    Estimate
        Per second, of all runs together; ``effective`` counts the stretches. Without interval where no run lasted
        several times as long as a request.

    Notes
    -----
    Batch means [1]_: each run's time between its first end and last start, when load was on, is cut into as many
    ``rate_blocks`` as fit, at most 10, and Student's interval taken from these. To it comes the luck of the last
    requests, whose end is the run's: the standard deviation of how long a request takes. Single steps from one end to
    the next would not do: users who wait for each other end together, and what looks like scatter evens out.

    References
    ----------
    .. [1] Law & Kelton, Simulation modeling and analysis, 3rd ed., section 9.5.3.

    Examples
    --------
    >>> start = np.arange(100.0) / 2
    >>> rate_estimate([np.column_stack([start, start + 0.5, np.full(100, 2.0)])]).value
    4.0
    """
    lasting = [run for run in runs if len(run) and run[:, 1].max() > run[:, 0].min()]
    if not lasting:
        return UNKNOWN
    n = sum(map(len, lasting))
    seconds = sum(float(run[:, 1].max() - run[:, 0].min()) for run in lasting)
    amount = sum(float(run[:, 2].sum()) for run in lasting)
    value, blocks = amount / seconds, [rate_blocks(run)[:, 0] for run in lasting]
    freedom = sum(map(len, blocks)) - len(blocks)
    if min(map(len, blocks)) < 2 or amount <= 0:
        return Estimate(value, n=n, effective=float(sum(map(len, blocks))))
    # Relative to the amount of all runs: the scatter of the blocks' mean, and the last requests' as time at that rate.
    errors = [
        (each.std(ddof=1) / each.mean() / sqrt(len(each)) if each.mean() > 0 else 0.0, (run[:, 1] - run[:, 0]).std())
        for each, run in zip(blocks, lasting, strict=True)
    ]
    shares = [float(run[:, 2].sum()) / amount for run in lasting]
    error = sqrt(sum((share * of) ** 2 + (end / seconds) ** 2 for share, (of, end) in zip(shares, errors, strict=True)))
    from scipy.special import stdtrit  # late, and not scipy.stats, which is slow to load

    reach = float(stdtrit(freedom, (1 + level) / 2)) * error
    return Estimate(value, value * exp(-reach), value * exp(reach), n, float(sum(map(len, blocks))))


def rate_blocks(run: Floats) -> Floats:
    """Cut the time in which a run was under load into stretches of equal length.

    Parameters
    ----------
    run : array of float, shape (requests, 3)
        Start, end and amount of each request.

    Returns
    -------
    array of float, shape (stretches, 2)
        What arrived in each, and its seconds. Each lasts at least twice as long as a request on average, or once where
        that leaves fewer than five; none where fewer than four fit.

    Notes
    -----
    What a request brought is spread evenly over the time it took: counted at its end, eight users who end together
    would make a stretch with one more end of theirs look much faster.

    Examples
    --------
    >>> start = np.arange(100.0)
    >>> blocks = rate_blocks(np.column_stack([start, start + 1, np.full(100, 8.0)]))
    >>> blocks.shape, blocks[0].round(1).tolist()
    ((10, 2), [78.4, 9.8])
    """
    start, end, amount = run.T
    low, high, lasts = float(end.min()), float(start.max()), float((end - start).mean())
    fit = (high - low) / max(lasts, 1e-9)
    count = int(min(BLOCKS, fit / 2)) if fit >= 2 * _FEW else int(min(_FEW, fit))
    if count < _FEWEST:
        return np.empty((0, 2))
    pace = amount / np.maximum(end - start, 1e-9)
    times = np.concatenate([start, np.maximum(end, start + 1e-9)])
    order = np.argsort(times, kind="stable")
    arriving = np.cumsum(np.concatenate([pace, -pace])[order])
    so_far = np.concatenate([[0.0], np.cumsum(arriving[:-1] * np.diff(times[order]))])
    edges = np.linspace(low, high, count + 1)
    return np.column_stack([np.diff(np.interp(edges, times[order], so_far)), np.diff(edges)])
