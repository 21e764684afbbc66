"""The clocks: ``perf_counter_ns`` for every stamp, one offset per run to Unix time, one for kernel stamps."""

from dataclasses import dataclass
from struct import Struct
from time import perf_counter_ns, time_ns

_timespec = Struct("=qq")


def unix_offset(tries: int = 5) -> int:
    """Return Unix time minus ``perf_counter``, in nanoseconds, from the tightest of a few readings."""
    best = min((_reading() for _ in range(tries)), key=lambda reading: reading[0])
    return best[1]


def _reading() -> tuple[int, int]:
    before = perf_counter_ns()
    unix = time_ns()
    after = perf_counter_ns()
    return after - before, unix - (before + after) // 2


def kernel_stamp(data: bytes) -> int | None:
    """Return the Unix nanoseconds in a kernel's timespec, None for what is none."""
    if len(data) != _timespec.size:
        return None
    seconds, nanoseconds = _timespec.unpack(data)
    return int(seconds) * 1_000_000_000 + int(nanoseconds)


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
