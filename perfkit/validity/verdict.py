"""Whether a run's numbers are the server's or the client's: plain evidence in, a verdict with reasons out.

Evidence that is unknown (None) is not judged, nor are shares of censored tokens that could be chance: one of fifty says
nothing of the others. The limits are those of ``perfkit.validity.thresholds``.
"""

from dataclasses import dataclass
from math import sqrt
from typing import Literal, get_args

from perfkit.validity.thresholds import LIMITS, OF_A_HELD_LOOP

Level = Literal["VALID", "SUSPECT", "CLIENT-BOUND"]

LEVELS: tuple[Level, ...] = get_args(Level)
"""From the best to the worst."""


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
    send_lag: float | None = None
    """Open model: 99th percentile of start - scheduled."""
    turnaround: float | None = None
    """Closed model: the same difference, there the client's own time between two requests of a user."""
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
    def missed_rate(self) -> float | None:
        """Share of the requested rate that was not sent."""
        if self.capped or self.achieved_rate is None or not self.requested_rate or self.requested_rate < 0:
            return None
        return max(0.0, 1 - self.achieved_rate / self.requested_rate)


@dataclass(frozen=True, slots=True)
class Check:
    """One piece of evidence, judged."""

    name: str
    level: Level
    sentence: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The worst level of all checks, and the checks that are not VALID."""

    level: Level
    checks: tuple[Check, ...] = ()

    @property
    def reasons(self) -> list[str]:
        """One sentence with its remedy per check that is not VALID."""
        return [f"{check.sentence}; {check.remedy}" for check in self.checks]


def verdict(evidence: Evidence) -> Verdict:
    """Judge a run.

    Parameters
    ----------
    evidence : Evidence
        What is unknown is not judged.

    Returns
    -------
    Verdict
        ``VALID``, ``SUSPECT`` or ``CLIENT-BOUND``, worst checks first.

    Examples
    --------
    >>> verdict(Evidence(loop_lag=0.002)).level
    'VALID'
    >>> verdict(Evidence(cpu_share=0.97)).reasons
    ['the client used 97 % of its core; use more workers: workers=2']
    """
    checks = [check for key in LIMITS if (check := _judge(key, getattr(evidence, key), evidence))]
    if evidence.governor == "powersave":
        checks.append(_GOVERNOR)
    if evidence.killed:
        checks.append(_KILLED)
    if not evidence.exact_clock:
        checks.append(_PLATFORM)
    checks.sort(key=lambda check: LEVELS.index(check.level), reverse=True)
    return Verdict(checks[0].level if checks else "VALID", tuple(checks))


_PLATFORM = Check(
    "platform", "SUSPECT", "this platform's timers were not checked", "measure on Linux for exact numbers"
)

_KILLED = Check(
    "killed",
    "SUSPECT",
    "the run was killed: requests in flight left no row, and the slowest are the likeliest among them",
    "measure again, a sweep with: perfkit resume",
)

_GOVERNOR = Check(
    "governor",
    "SUSPECT",
    "the processor's frequency governor is powersave",
    "set it: cpupower frequency-set -g performance",
)


def _judge(key: str, value: float | None, evidence: Evidence) -> Check | None:
    limit = LIMITS[key]
    if value is None or not value >= limit.suspect:
        return None
    counts = {"censored_first": evidence.requests, "censored_gaps": evidence.gaps}
    if (count := counts.get(key)) and value < _beyond_chance(limit.suspect, count):
        return None
    level: Level = "CLIENT-BOUND" if value >= limit.bound else "SUSPECT"
    where = {"where": evidence.repeated_in, "prefixes": evidence.prefixed_in}
    sentence = limit.sentence.format(value=value, ms=value * 1e3, percent=value * 100, **where)
    return Check(limit.name, level, sentence, _remedy(key, evidence))


def _remedy(key: str, evidence: Evidence) -> str:
    limit, held = LIMITS[key], LIMITS["plugin_held"]
    if key in OF_A_HELD_LOOP and (evidence.plugin_held or 0.0) >= held.suspect:
        return held.remedy
    return (_is_idle(evidence) and limit.idle_remedy) or limit.remedy


def _is_idle(evidence: Evidence) -> bool:
    """Tell whether the client was on time and had time to spare: what it then reads at once has come at once."""
    known = {name: getattr(evidence, name) for name in ("loop_lag", "cpu_share", "cpu_wait", "cpu_taken")}
    return evidence.loop_lag is not None and all(
        value is None or value < LIMITS[name].suspect for name, value in known.items()
    )


def _beyond_chance(share: float, count: float) -> float:
    """Return the share of a sample that fewer than one in twenty exceed where the true share is ``share``."""
    # The normal curve, half a case added: within one request of the exact binomial, from 1 to 10,000 of them.
    return share + (1.645 * sqrt(count * share * (1 - share)) + 0.5) / count
