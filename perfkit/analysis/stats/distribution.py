"""Percentiles, and p values of several tests: numbers in, numbers out.

Percentiles are Hyndman & Fan's type 7 (``linear``) everywhere in perfkit. What is given may hold NaN, which is left
out; a number that cannot be computed is NaN.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Numbers = npt.ArrayLike
Floats = npt.NDArray[np.float64]

BEYOND = 10
"""Samples that must lie beyond a percentile before it is more than the luck of a few requests."""


def present(values: Numbers) -> Floats:
    """Return the values that are not NaN, as floats."""
    floats: Floats = np.asarray(values, dtype=float)
    return floats[~np.isnan(floats)]


def percentile(values: Numbers, q: float) -> float:
    """Return the q-th percentile by linear interpolation (Hyndman & Fan 7).

    References
    ----------
    .. [1] Hyndman & Fan, Sample quantiles in statistical packages, The American Statistician 50 (1996).

    Examples
    --------
    >>> percentile([1, 2, 3, 4], 50), percentile([1, 2, 3, 4], 95)
    (2.5, 3.8499999999999996)
    """
    if not 0 <= q <= 100:
        raise ValueError(f"a percentile is between 0 and 100, got {q}")
    samples = present(values)
    return float(np.percentile(samples, q)) if samples.size else float("nan")


def thin(n: int, q: float) -> bool:
    """Tell whether fewer than ten of n samples lie beyond the q-th percentile, on its shorter side.

    Examples
    --------
    >>> thin(500, 99), thin(1000, 99), thin(30, 50)
    (True, False, False)
    """
    share = min(q, 100 - q) / 100
    return n * share < BEYOND - 1e-9


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for being several, by Holm's step-down method; NaN stays NaN and does not count.

    Examples
    --------
    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    corrected = [float("nan")] * len(p_values)
    order = sorted((p, at) for at, p in enumerate(p_values) if p == p)
    floor = 0.0
    for rank, (p, at) in enumerate(order):
        floor = max(floor, min(1.0, p * (len(order) - rank)))
        corrected[at] = floor
    return corrected
