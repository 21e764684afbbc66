"""The clocks: ``perf_counter_ns`` for every stamp, one offset per run to Unix time, one for kernel stamps."""

from array import array
from dataclasses import dataclass
from itertools import repeat
from operator import add
from struct import Struct
from time import perf_counter_ns, time_ns

_timespec = Struct("=qq")
TIMESPEC = _timespec.size
"""Bytes of one kernel stamp."""


def unix_offset(tries: int = 5) -> int:
    """Return Unix time minus ``perf_counter``, in nanoseconds, from the tightest of a few readings."""
    best = min((_reading() for _ in range(tries)), key=lambda reading: reading[0])
    return best[1]


def _reading() -> tuple[int, int]:
    before = perf_counter_ns()
    unix = time_ns()
    after = perf_counter_ns()
    return after - before, unix - (before + after) // 2


def kernel_stamps(timespecs: bytes | bytearray, offset: int) -> list[int]:
    """Return the kernel's stamps of the reads of an answer as ``perf_counter`` nanoseconds.

    Examples
    --------
    >>> kernel_stamps(_timespec.pack(2, 5), offset=1_000_000_000)
    [1000000005]
    """
    pairs = array("q", bytes(timespecs))
    seconds, nanoseconds = pairs[::2], pairs[1::2]
    if len(set(seconds)) == 1:  # few answers are longer
        return list(map(add, nanoseconds, repeat(seconds[0] * 1_000_000_000 - offset)))
    return [
        second * 1_000_000_000 + nanosecond - offset for second, nanosecond in zip(seconds, nanoseconds, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class RunClock:
    """Turns ``perf_counter`` stamps of one run and worker into Unix seconds, by one offset fixed at its start."""

    offset: int

    def unix(self, stamp: int | None) -> float | None:
        """Return Unix seconds of a stamp; None stays None.

        Examples
        --------
        >>> RunClock(offset=1_000_000_000).unix(500_000_000)
        1.5
        """
        return None if stamp is None else (stamp + self.offset) / 1e9
