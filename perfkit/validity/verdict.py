"""Whether a run's numbers are the server's or the client's: plain evidence in, a verdict with reasons out.

Evidence that is unknown (None) is not judged, nor are shares of censored tokens that could be chance: one of fifty says
nothing of the others. The limits are those of ``perfkit.validity.thresholds``.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, sqrt
from typing import Literal, get_args

from perfkit.validity.evidence import Evidence
from perfkit.validity.thresholds import LIMITS, OF_A_HELD_LOOP

Level = Literal["VALID", "SUSPECT", "CLIENT-BOUND"]

LEVELS: tuple[Level, ...] = get_args(Level)
"""From the best to the worst."""


@dataclass(frozen=True, slots=True)
class Check:
    """One piece of evidence, judged."""

    name: str
    """Of the check; empty where the sentence is of none that this version knows."""
    level: Level
    sentence: str
    remedy: str

    @property
    def key(self) -> str:
        """What tells whether another says the same, perhaps with another number."""
        return self.name or self.sentence


@dataclass(frozen=True, slots=True)
class Verdict:
    """The worst level of all checks, and the checks that are not VALID."""

    level: Level
    checks: tuple[Check, ...] = ()

    @property
    def reasons(self) -> list[str]:
        """One sentence with its remedy per check that is not VALID."""
        return [f"{check.sentence}; {check.remedy}" for check in self.checks]

    @classmethod
    def stored(cls, level: object, reasons: Sequence[str]) -> "Verdict | None":
        """Return the verdict that a run's record holds; None where it holds none.

        Examples
        --------
        >>> Verdict.stored("SUSPECT", ["the client used 97 % of its core; use more workers"]).checks[0].name
        'cpu'
        """
        if level not in LEVELS:
            return None
        return cls(level, tuple(_read(reason, level) for reason in reasons))

    def with_those_of(self, other: "Verdict | None") -> "Verdict":
        """Return the worse of two verdicts on one run, with the checks that only the other has.

        Examples
        --------
        >>> own, rows = Verdict.stored("SUSPECT", ["worker 2 died; see"]), verdict(Evidence(cpu_share=0.97))
        >>> rows.with_those_of(own).level, [check.sentence for check in rows.with_those_of(own).checks]
        ('CLIENT-BOUND', ['the client used 97 % of its core', 'worker 2 died'])
        """
        if other is None:
            return self
        worse, rest = (other, self) if LEVELS.index(other.level) > LEVELS.index(self.level) else (self, other)
        known = {check.key for check in worse.checks}
        return Verdict(worse.level, (*worse.checks, *(check for check in rest.checks if check.key not in known)))


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


_KNOWN: list[tuple[str, Level, re.Pattern[str]]] = [
    *(
        (
            limit.name,
            "SUSPECT" if limit.bound == inf else "CLIENT-BOUND",
            re.compile(".+".join(map(re.escape, re.split(r"\{.*?\}", limit.sentence)))),
        )
        for limit in LIMITS.values()
    ),
    *((check.name, check.level, re.compile(re.escape(check.sentence))) for check in (_PLATFORM, _KILLED, _GOVERNOR)),
]
"""Of each check: its name, the worst that it can say, and its sentence with whatever numbers."""


def _read(reason: str, level: Level) -> Check:
    """Return the check behind a reason of a verdict; of its level is known that it is none worse than that."""
    sentence, _, remedy = reason.partition("; ")
    for name, worst, wording in _KNOWN:
        if wording.fullmatch(sentence):
            return Check(name, min(level, worst, key=LEVELS.index), sentence, remedy)
    return Check("", level, sentence, remedy)
