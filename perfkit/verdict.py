"""Whether a run's numbers are the server's or the client's: plain evidence in, a verdict with reasons out.

=================== ======================================= ======== ============
check               evidence                                SUSPECT  CLIENT-BOUND
=================== ======================================= ======== ============
loop lag            99th percentile, s                      0.010    0.100
stall               longest time the loop stood still, s    0.050    0.500
processor wait      share of the time the loop was ready    0.15     0.50
                    and another process ran
processors          share of the time that all those of     0.75
                    the client were in use, by whomever
cpu                 share of one core, busiest worker       0.80     0.95
gc pause            longest, s                              0.020    0.200
send lag            99th percentile behind schedule, s      0.020    0.250
turn-around         99th percentile between two requests    0.020    0.250
                    of a user, s
rate                share of the requested rate missed      0.05     0.20
backlog             rows the writer had waiting             10,000   100,000
look-ahead          share of the time that a request was    0.01     0.10
                    wanted and none was ready
connect failures    share of requests                       0.01     0.10
censored first      share of first tokens that shared a     0.01
                    read with a later chunk
censored gaps       share of gaps likewise                  0.05
file limit          share of the connections that the       0.001    0.10
                    limit of open files leaves no room for
storing             longest time a commit took, s           0.5      5
calibration         events per second, as a multiple of     1
                    what this machine was found to hold
Little's law        requests in flight as counted against   0.10     0.50
                    rate x E2E of the rows: share amiss
cache               share of requests whose prompt was sent 0.01
                    before and that the server had cached
shared prefixes     share of requests with a new prompt of      0.01
                    which the server had a tenth cached
governor            of the processor: powersave             always
killed              no process was left to end the run      always
=================== ======================================= ======== ============

Evidence that is unknown (None) is not judged, nor are shares of censored tokens that could be chance: one of fifty says
nothing of the others. The limits are in ``LIMITS``; they are ours, not physics: ten milliseconds of loop lag is a tenth
of a quick TTFT.
"""

from dataclasses import dataclass
from math import sqrt
from typing import Literal, NamedTuple, get_args

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


class Limit(NamedTuple):
    """From where a piece of evidence makes a run SUSPECT or CLIENT-BOUND, and what to say and do then."""

    name: str
    suspect: float
    bound: float
    sentence: str
    remedy: str


LIMITS = {
    "loop_lag": Limit(
        "loop lag",
        0.010,
        0.100,
        "the client's loop was late by {ms:.0f} ms (p99)",
        "use more workers, or close what else runs on this machine",
    ),
    "stall": Limit(
        "stall",
        0.050,
        0.500,
        "the client stood still for {ms:.0f} ms",
        "close what else runs on this machine; nothing may stop or swap out the worker",
    ),
    "cpu_wait": Limit(
        "processor wait",
        0.15,
        0.50,
        "the client waited for a processor {percent:.0f} % of the time",
        "close what else runs on this machine, or give the worker a core of its own",
    ),
    "cpu_taken": Limit(
        "processors",
        0.75,
        float("inf"),
        "no processor that the client may use was idle for {percent:.0f} % of the time",
        "close what else runs on this machine, or give the worker a core of its own",
    ),
    "cpu_share": Limit(
        "cpu",
        0.80,
        0.95,
        "the client used {percent:.0f} % of its core",
        "use more workers: workers=2",
    ),
    "gc_pause": Limit(
        "gc pause",
        0.020,
        0.200,
        "garbage collection stopped the client for {ms:.0f} ms",
        "keep plugins from allocating during the run",
    ),
    "send_lag": Limit(
        "send lag",
        0.020,
        0.250,
        "requests were sent {ms:.0f} ms behind schedule (p99)",
        "lower the rate, or use more workers",
    ),
    "turnaround": Limit(
        "turn-around",
        0.020,
        0.250,
        "a user's next request waited {ms:.0f} ms for the client (p99)",
        "use fewer users, or more workers",
    ),
    "missed_rate": Limit(
        "rate",
        0.05,
        0.20,
        "{percent:.0f} % of the requested rate was not sent",
        "lower the rate, or use more workers",
    ),
    "backlog": Limit(
        "backlog",
        10_000,
        100_000,
        "{value:,.0f} rows waited to be written",
        "write to a faster disk",
    ),
    "starved": Limit(
        "look-ahead",
        0.01,
        0.10,
        "the load waited for prompts {percent:.0f} % of the time",
        "prepare the dataset beforehand",
    ),
    "connect_failures": Limit(
        "connect failures",
        0.01,
        0.10,
        "{percent:.1f} % of the requests got no connection",
        "check the server's address, its limit of connections, and `ulimit -n` here",
    ),
    "censored_first": Limit(
        "censored first tokens",
        0.01,
        float("inf"),
        "{percent:.1f} % of the first tokens came in one read with later chunks: their TTFT is an upper bound",
        "use more workers, or close what else runs on this machine",
    ),
    "censored_gaps": Limit(
        "censored gaps",
        0.05,
        float("inf"),
        "{percent:.1f} % of the chunks came in one read with later ones: short ITL are not seen",
        "use more workers; a server or proxy that batches its chunks does this too",
    ),
    "no_socket": Limit(
        "file limit",
        0.001,
        0.10,
        "the limit of open files leaves no room for {percent:.0f} % of the connections",
        "raise the hard limit (`ulimit -Hn`, LimitNOFILE of a service), or use more workers",
    ),
    "commit": Limit(
        "storing",
        0.5,
        5.0,
        "storing rows took {value:.1f} s at once",
        "write to a faster disk, and let nothing else lock the file",
    ),
    "calibrated": Limit(
        "calibration",
        1.0,
        float("inf"),
        "{value:.1f} times the event rate up to which this machine's stamps were found to hold",
        "use more workers, or calibrate again: perfkit calibrate",
    ),
    "littles_gap": Limit(
        "Little's law",
        0.10,
        0.50,
        "the requests in flight that the client counted are {percent:.0f} % off rate x E2E of its rows (Little's law)",
        "requests waited in the client, where E2E does not count them: use more workers or fewer connections",
    ),
    "cached_repeats": Limit(
        "cache",
        0.01,
        float("inf"),
        "{percent:.0f} % of the requests repeat prompts of {where} and came from the server's cache",
        "give more prompts, or others with dataset_offset",
    ),
    "cached_prefixes": Limit(
        "shared prefixes",
        0.01,
        float("inf"),
        "{percent:.0f} % of the requests begin as {prefixes} and came in part from the server's cache",
        "give prompts that begin differently, unless that is what you measure",
    ),
}


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
    return Check(limit.name, level, sentence, limit.remedy)


def _beyond_chance(share: float, count: float) -> float:
    """Return the share of a sample that fewer than one in twenty exceed where the true share is ``share``."""
    # The normal curve, half a case added: within one request of the exact binomial, from 1 to 10,000 of them.
    return share + (1.645 * sqrt(count * share * (1 - share)) + 0.5) / count
