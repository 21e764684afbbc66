"""When requests are due: pure arithmetic, given a seed."""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, repeat

from perfkit.errors import UsageError
from perfkit.options.units import amount
from perfkit.records import Arrival, RampShape

RAMP_FLOOR = 0.01
"""An exponential ramp begins at this share of the full rate."""


@dataclass(frozen=True, slots=True)
class Ramp:
    """A rise of the rate from (almost) nothing to full.

    ``seconds`` is its length, 0 for none.
    """

    seconds: float = 0.0
    shape: RampShape = "linear"

    def time_of(self, work: float) -> float:
        """Return the time by which a rate rising to 1 has let through ``work`` seconds of full-rate load.

        The inverse of the cumulative rate: applied to arrivals of a steady process it gives those of a rising one.

        Examples
        --------
        >>> Ramp(10, "linear").time_of(5), Ramp(10).time_of(6)
        (10.0, 11.0)
        """
        length = self.seconds
        if not length:
            return work
        if self.shape == "linear":
            done = length / 2
            return math.sqrt(2 * length * work) if work < done else length + work - done
        steepness = -math.log(RAMP_FLOOR)
        done = length / steepness * (1 - RAMP_FLOOR)
        if work >= done:
            return length + work - done
        return length * (1 + math.log(work * steepness / length + RAMP_FLOOR) / steepness)


@dataclass(frozen=True, slots=True)
class Steps:
    """Rates one after the other: each a rate [requests/s] and the seconds that it lasts. The last one goes on."""

    levels: tuple[tuple[float, float], ...]

    def time_of(self, work: float) -> float:
        """Return the time by which as much has come as ``work`` seconds of the highest rate bring; see ``Ramp``.

        Examples
        --------
        >>> steps = Steps(((2, 10), (4, 10)))
        >>> steps.time_of(5), steps.time_of(6), steps.time_of(20)
        (10.0, 11.0, 25.0)
        """
        highest = max(rate for rate, _ in self.levels)
        start = 0.0
        for rate, seconds in self.levels[:-1]:
            if work * highest < rate * seconds:
                return start + work * highest / rate
            start += seconds
            work -= seconds * rate / highest
        return start + work * highest / self.levels[-1][0]


def offsets(
    rate: float,
    arrival: Arrival = "poisson",
    *,
    seed: int = 0,
    burstiness: float = 1.0,
    ramp: Ramp | Steps | None = None,
) -> Iterator[float]:
    """Yield the due times of an open model, without end.

    Examples
    --------
    >>> times = offsets(4, "constant")
    >>> [next(times) for _ in range(3)]
    [0.0, 0.25, 0.5]
    """
    if rate == -1:
        return repeat(0.0)
    if rate <= 0:
        raise UsageError(f"rate must be above 0 requests/s, or -1 for all at once, got {rate}")
    steady = (index / rate for index in count()) if arrival == "constant" else _random(rate, arrival, seed, burstiness)
    warp = (ramp or Ramp()).time_of
    return (warp(time) for time in steady)


def _random(rate: float, arrival: Arrival, seed: int, burstiness: float) -> Iterator[float]:
    shape = 1.0 if arrival == "poisson" else burstiness
    draw = random.Random(seed).gammavariate
    time = 0.0
    while True:
        time += draw(shape, 1 / (shape * rate))
        yield time


def user_starts(users: int, ramp: Ramp | None = None) -> list[float]:
    """Return when each user of a closed model begins, in seconds after the start of the load.

    Examples
    --------
    >>> user_starts(4, Ramp(8)), user_starts(2)
    ([0.0, 2.0, 4.0, 6.0], [0.0, 0.0])
    """
    length = ramp.seconds if ramp else 0.0
    if not ramp or ramp.shape == "linear":
        return [length * user / users for user in range(users)]
    # Each user is one step of a geometric rise: many wait for the end of the ramp.
    steepness = -math.log(RAMP_FLOOR)
    return [max(0.0, length * (1 + math.log(max((user + 1) / users, RAMP_FLOOR)) / steepness)) for user in range(users)]


@dataclass(frozen=True, slots=True)
class Warmup:
    """Which requests of a run are warm-up: the first ``count``, or those of the first ``seconds``."""

    count: int = 0
    seconds: float = 0.0

    @classmethod
    def of(cls, given: str | float) -> "Warmup":
        """Read ``20`` as a count and ``"10s"`` as a time; a share or ``"auto"`` is found afterwards, from the rows.

        Examples
        --------
        >>> Warmup.of("10s"), Warmup.of(20), Warmup.of("10%")
        (Warmup(count=0, seconds=10.0), Warmup(count=20, seconds=0.0), Warmup(count=0, seconds=0.0))
        """
        value, kind = amount("warmup", given, auto=True)
        return cls(count=int(value) if kind == "count" else 0, seconds=value if kind == "time" else 0.0)

    def covers(self, seq: int, elapsed: float) -> bool:
        """Tell whether a request of this number, sent this long after the start, is warm-up."""
        return seq < self.count or elapsed < self.seconds


@dataclass(frozen=True, slots=True)
class Share:
    """One worker's part of a load that several carry: everything is dealt by position modulo ``count``.

    The union of all shares is the same load for any number of workers.
    """

    index: int = 0
    count: int = 1

    def mine(self, position: int) -> bool:
        """Tell whether what stands at this position of the plan is this worker's."""
        return position % self.count == self.index

    def among(self, users: int) -> "Share | None":
        """Return this worker's part when only so many users can be dealt; None when there is none for it.

        Examples
        --------
        >>> Share(1, 3).among(2), Share(2, 3).among(2)
        (Share(index=1, count=2), None)
        """
        return Share(self.index, min(self.count, users)) if self.index < users else None

    def of(self, total: int) -> int:
        """Return how many of ``total`` things are this worker's; the first workers carry the rest.

        Examples
        --------
        >>> [Share(index, 3).of(8) for index in range(3)]
        [3, 3, 2]
        """
        return total // self.count + (self.index < total % self.count)


WHOLE = Share()
"""Of a worker that is alone."""
