"""What was once found out about this machine: where its calibration is kept, and the load it vouches for."""

import json
import os
import platform
from pathlib import Path


def stored_path() -> Path:
    """Return where this machine's calibration is kept."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "perfkit" / f"calibration-{platform.node()}.json"


def honest_rate(path: Path | None = None) -> float | None:
    """Return the highest event rate (1/s) at which this machine's stamps were found to hold.

    Examples
    --------
    >>> honest_rate(Path("no/such/calibration.json")) is None
    True
    """
    try:
        stored = json.loads((path or stored_path()).read_text(encoding="utf-8"))
    except (OSError, RuntimeError, ValueError):  # none, no home directory, or one that was cut short
        return None
    rate = stored.get("honest_rate") if isinstance(stored, dict) else None
    return float(rate) if isinstance(rate, (int, float)) and rate > 0 else None


def as_calibrated(events: int, start: object, end: object) -> float | None:
    """Return the event rate of a run over what this machine was found to hold; None where it was never calibrated.

    Parameters
    ----------
    events : int
        Chunks with tokens.
    start, end : float
        Of the run, Unix seconds.
    """
    honest = honest_rate()
    if honest is None or not isinstance(start, float) or not isinstance(end, float) or end <= start:
        return None
    return events / (end - start) / honest
