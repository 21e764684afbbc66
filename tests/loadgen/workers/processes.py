"""Looks at real processes, and waits for what they do."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic, sleep

PROC = Path("/proc")


def until(holds: Callable[[], object], within: float = 300.0) -> float:
    """Wait for a condition; return how long it took, in seconds. ``within`` ends a test that hangs, no more."""
    began = monotonic()
    while not holds():
        if monotonic() - began > within:
            raise TimeoutError(f"not within {within:g} s: {holds}")
        sleep(0.005)
    return monotonic() - began


def _stat(pid: int) -> list[str]:
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def lives(pid: int) -> bool:
    """Tell whether a process is there and has not ended."""
    stat = _stat(pid)
    return bool(stat) and stat[0] not in "ZX"


def children(pid: int) -> Iterator[int]:
    """Yield the processes that a process has started and that live."""
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            stat = _stat(int(entry.name))
            if stat and int(stat[1]) == pid and stat[0] not in "ZX":
                yield int(entry.name)


def family(pid: int) -> list[int]:
    """Return a process and everything below it."""
    return [pid, *(below for child in children(pid) for below in family(child))]


def kill_all(pids: list[int], signal: int) -> None:
    """Send a signal to each of them that lives."""
    for pid in pids:
        if lives(pid):
            os.kill(pid, signal)
