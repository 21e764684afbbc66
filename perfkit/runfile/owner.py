"""The process that writes a run: when it began, and whether it still lives."""

import os
import platform
from collections.abc import Mapping
from pathlib import Path
from time import time
from typing import Any

from perfkit.runfile.record import as_object

SAME_START = 2.0  # s: the clock may have been set since
FRESH = 5.0  # s since the last heartbeat, where the process cannot be looked at; there is one a second


def process_start(pid: int | None = None) -> float | None:
    """Return when a process began (Unix seconds); None where the system does not tell, or it has ended.

    Examples
    --------
    >>> process_start(os.getpid()) is None or process_start(os.getpid()) < time()
    True
    """
    try:
        stat = Path(f"/proc/{pid or 'self'}/stat").read_text().rpartition(")")[2].split()
        uptime = float(Path("/proc/uptime").read_text().split()[0])
    except OSError:
        return None
    if stat[0] in "ZX":  # dead, and nobody has buried it
        return None
    return time() - uptime + int(stat[19]) / os.sysconf("SC_CLK_TCK")


def machine() -> str | None:
    """Return what tells the processes of one machine, since it was booted, from all others; None where nobody says.

    Two containers may share a name, and a machine that was booted anew gives out its process numbers again.

    Examples
    --------
    >>> machine() == machine()
    True
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return None


def lives(record: Mapping[str, Any]) -> bool:
    """Tell whether the process that writes a run is there; another one may have its number now.

    Examples
    --------
    >>> lives({"status": "running", "host": '{"name": "elsewhere"}', "heartbeat": time() - 60})
    False
    """
    host, pid, began = as_object(record.get("host")), record.get("pid"), record.get("pid_time")
    here = host.get("name") == platform.node() and host.get("processes") in (None, machine())
    if here and isinstance(pid, int) and isinstance(began, float):
        found = process_start(pid)
        if found is not None and abs(found - began) < SAME_START:
            return True
        if as_object(record.get("arguments")).get("workers", 1) in (0, 1):
            return False
    heartbeat = record.get("heartbeat")
    return record.get("status") == "running" and isinstance(heartbeat, float) and time() - heartbeat < FRESH


def status(record: Mapping[str, Any]) -> Any:
    """Return a run's status as it is now: one whose writer was killed is called running by its file for ever.

    Examples
    --------
    >>> status({"status": "running", "pid": None, "heartbeat": None})
    'interrupted'
    """
    told = record.get("status")
    return "interrupted" if told == "running" and not lives(record) else told
