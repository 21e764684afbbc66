"""How late writes were: a histogram that costs nothing to fill."""

from array import array
from bisect import bisect_left
from itertools import accumulate

_BIN = 10_000  # ns
_BINS = 20_000  # up to 200 ms


class Lateness:
    """Counts of lateness in bins of 10 microseconds.

    Examples
    --------
    >>> late = Lateness()
    >>> for microseconds in range(1, 101):
    ...     late.note(microseconds * 1000)
    >>> round(late.quantile(0.5), 6), late.count
    (6e-05, 100)
    """

    __slots__ = ("_bins", "count", "largest")

    def __init__(self) -> None:
        self._bins = array("q", bytes(8 * _BINS))
        self.count = 0
        self.largest = 0
        """Nanoseconds."""

    def note(self, nanoseconds: int) -> None:
        """Count one write."""
        self.count += 1
        if nanoseconds > self.largest:
            self.largest = nanoseconds
        self._bins[min(max(nanoseconds, 0) // _BIN, _BINS - 1)] += 1

    def quantile(self, share: float) -> float:
        """Return a quantile in seconds, rounded up to a bin's end; NaN when nothing was counted."""
        if not self.count:
            return float("nan")
        sums = list(accumulate(self._bins))
        index = bisect_left(sums, share * self.count)
        return (index + 1) * _BIN / 1e9 if index < _BINS - 1 else self.largest / 1e9
