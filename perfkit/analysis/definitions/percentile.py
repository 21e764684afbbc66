"""The percentile rules in use: two tools that show "p99" of the same values show different numbers."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

from perfkit.runfile.percentile import percentile

Rule: TypeAlias = Callable[[Sequence[float], float], float]
"""(values in order, percent) -> value; NaN of no values."""


def truncated(values: Sequence[float], percent: float) -> float:
    """Take ``values[int(n p / 100)]``, one too high where the product is whole: llmuses, evalscope up to 1.11.0.

    Examples
    --------
    >>> truncated([1.0, 2.0, 3.0, 4.0], 50)
    3.0
    """
    index = int(len(values) * percent / 100)
    return values[index] if index < len(values) else math.nan


def nearest_rank(values: Sequence[float], percent: float) -> float:
    """Take the smallest value that covers p percent (Hyndman & Fan 1): evalscope from 1.11.1.

    Examples
    --------
    >>> nearest_rank([1.0, 2.0, 3.0, 4.0], 50)
    2.0
    """
    return values[max(0, math.ceil(len(values) * percent / 100) - 1)] if values else math.nan


def exclusive(values: Sequence[float], percent: float) -> float:
    """Interpolate at rank p (n + 1), and beyond the ends of few values too: llmeter, by ``statistics.quantiles``.

    Examples
    --------
    >>> exclusive([1.0, 2.0, 3.0, 4.0], 50), exclusive([1.0, 2.0, 3.0, 4.0], 90)
    (2.5, 4.5)
    """
    if len(values) < 2:
        return values[0] if values else math.nan
    position = (len(values) + 1) * percent / 100
    rank = min(max(int(position), 1), len(values) - 1)
    return values[rank - 1] + (values[rank] - values[rank - 1]) * (position - rank)


RULES: Final[Mapping[str, Rule]] = {
    "linear": percentile,  # perfkit, numpy, vLLM, aiperf, sglang
    "truncated": truncated,
    "nearest rank": nearest_rank,
    "exclusive": exclusive,
}
