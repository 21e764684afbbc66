"""What the recorder contributes to the verdict's evidence."""

import json
from dataclasses import dataclass
from time import monotonic

from perfkit.decoding.response import Tally
from perfkit.runfile.repeats import Repeats
from perfkit.runfile.writer import Row, Value
from perfkit.validity.calibrated_rate import honest_rate

STORED = ("no_socket", "plugin_held", "commit", "calibrated", "censored_first", "censored_gaps", "gaps")
"""Evidence that no row tells, or only the chunks of all: stored as samples, so that the verdict can be found anew."""


@dataclass(slots=True)
class Stopwatch:
    """Longest of the times that were taken, in seconds: ``with`` takes one."""

    longest: float = 0.0
    _began: float = 0.0

    def __enter__(self) -> None:
        self._began = monotonic()

    def __exit__(self, *_: object) -> None:
        self.longest = max(self.longest, monotonic() - self._began)


def seen(tally: Tally, stored: int, record: Row, found: Repeats | None) -> dict[str, Value]:
    """Return what the answers showed, and what the run's own record says."""
    shares: dict[str, Value] = {
        "connect_failures": tally.unconnected / stored if stored else None,
        "censored_first": tally.first_censored / tally.first if tally.first else None,
        "censored_gaps": tally.gaps_censored / tally.gaps if tally.gaps else None,
        "gaps": tally.gaps,
        "governor": json.loads(str(record["host"])).get("governor"),
    }
    return shares if found is None else {**shares, **found.evidence}


def calibrated(events: int, fields: Row) -> float | None:
    """Return the event rate over what this machine was found to hold; None where it was never calibrated."""
    start, end, honest = fields.get("start_time"), fields.get("end_time"), honest_rate()
    if honest is None or not isinstance(start, float) or not isinstance(end, float) or end <= start:
        return None
    return events / (end - start) / honest
