"""How busy the machine is: by what limits of time are multiplied, so that they are exact on one that is quiet."""

import os
from pathlib import Path

LOAD = Path("/proc/loadavg")


def busyness() -> float:
    """Return how many processes share a processor, at least 1: the mean of the last minute or this moment, if more."""
    if not LOAD.exists():
        return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1)) if hasattr(os, "getloadavg") else 1.0
    minute, _, _, now, _ = LOAD.read_text().split()
    return max(1.0, max(float(minute), int(now.split("/")[0])) / len(os.sched_getaffinity(0)))
