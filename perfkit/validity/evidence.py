"""What is seen of the client during a run, of which its verdict is found.

While measuring, the event loop and the recorder fill in what they counted; of a run file, ``perfkit.analysis.results``
does. What follows from these numbers is said here once, and judged in ``perfkit.validity.verdict``.
"""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What was seen of the client during a run; None where nothing was seen. Seconds, shares of 1, counts."""

    requests: int | None = None
    loop_lag: float | None = None
    stall: float | None = None
    """Longest time by which the loop was late: a stopped process hides from percentiles."""
    cpu_wait: float | None = None
    """Share of the time that the loop's thread was ready to run and waited for a processor."""
    cpu_taken: float | None = None
    """Share of the time that all the processors which the client may use were in use, by whomever."""
    cpu_share: float | None = None
    plugin_held: float | None = None
    """Share of the time that a plugin's own code kept the loop from its work, as one that waits without await."""
    gc_pause: float | None = None
    is_open: bool = False
    """The load is of the open model: requests are due at times of their own."""
    late: float | None = None
    """99th percentile of start - scheduled."""
    requested_rate: float | None = None
    achieved_rate: float | None = None
    capped: bool = False
    """``max_concurrency`` held requests back on purpose, so lag and a missed rate are not the client's fault."""
    backlog: float | None = None
    starved: float | None = None
    """Share of the time that the load wanted a request and none was ready."""
    connect_failures: float | None = None
    failed: float | None = None
    """Share of the requests that failed."""
    resent: float | None = None
    """Share of the requests that were sent a second time, as their connection was closed when they were sent."""
    idle_connections: float | None = None
    """Open model: mean number of connections that stood idle beyond the requests in flight."""
    censored_first: float | None = None
    censored_gaps: float | None = None
    gaps: float | None = None
    """Number of the gaps between tokens that these are a share of."""
    no_socket: float | None = None
    commit: float | None = None
    calibrated: float | None = None
    """Events per second over the honest rate of this machine's calibration."""
    littles_gap: float | None = None
    """Share by which the requests in flight, as counted, differ from rate x E2E of the stored rows."""
    cached_repeats: float | None = None
    repeated_in: str = "this run"
    """Where the prompts had been sent before."""
    cached_prefixes: float | None = None
    """Share of the requests with a new prompt of which the server had a tenth or more in its cache."""
    prefixed_in: str = "others of this run"
    """What had begun so before."""
    governor: str | None = None
    """Of the processor's frequency."""
    killed: bool = False
    """Nobody was left to end the run."""
    exact_clock: bool = True
    """False where the platform cannot be trusted to stamp in time: such a run is at best SUSPECT."""

    @property
    def send_lag(self) -> float | None:
        """Open model: how late requests were sent; with a cap that is not the client's fault."""
        return self.late if self.is_open and not self.capped else None

    @property
    def turnaround(self) -> float | None:
        """Closed model: the client's own time between two requests of a user."""
        return None if self.is_open else self.late

    @property
    def missed_rate(self) -> float | None:
        """Share of the requested rate that was not sent."""
        if not self.is_open or self.capped or self.achieved_rate is None or not self.requested_rate:
            return None
        return max(0.0, 1 - self.achieved_rate / self.requested_rate)


STORED: dict[str, Callable[[list[float]], float]] = {
    "no_socket": max,
    "plugin_held": max,
    "commit": max,
    "calibrated": max,
    "censored_first": max,
    "censored_gaps": max,
    "gaps": sum,
}
"""Evidence that no row tells, or only the chunks of all: stored as samples when a run ends, so that a file tells it.

Each with what becomes of that of several workers.
"""


def fraction(part: float, whole: float) -> float | None:
    """Return a share of a number; None of nothing.

    Examples
    --------
    >>> fraction(1, 4), share(0, 0)
    (0.25, None)
    """
    return part / whole if whole else None
