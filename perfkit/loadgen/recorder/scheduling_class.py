"""Sets the recorder's niceness and scheduling class: SCHED_OTHER or SCHED_IDLE."""

import contextlib
import os

NICENESS = 10
"""The recorder gives way to the loop where they share a core; it catches up when the loop waits.

At 5 a run ends up to a second sooner on a busy machine, and its chunks are stamped late: 256 streams beside two busy
processes on two cores had a p99 of 8 to 400 ms there, and of 4 ms at 10.
"""


def may_return() -> bool:
    """Tell whether a process of ours may leave the idle class again, by rising for a moment itself.

    A processor that runs only idle-class processes counts as free: the kernel puts whoever wakes there at once, where
    a merely nice one is waited for. On two cores that also run the server, 1,024 streams, every chunk: p99 4 to 13 ms
    in most runs, 18 to 20 by niceness alone. But only privileged processes (root, CAP_SYS_NICE)
    may leave that class, and one that cannot would starve beside any busy process; niceness must do for all others.
    """
    if not hasattr(os, "SCHED_IDLE"):
        return False
    niceness = os.getpriority(os.PRIO_PROCESS, 0)
    try:
        os.setpriority(os.PRIO_PROCESS, 0, niceness - 1)
    except PermissionError:
        return False
    os.setpriority(os.PRIO_PROCESS, 0, niceness)
    return True


def stand(pid: int, forward: bool) -> None:
    """Let a process stand with everybody else, or behind all."""
    with contextlib.suppress(ProcessLookupError):  # its end is told elsewhere
        os.sched_setscheduler(pid, os.SCHED_OTHER if forward else os.SCHED_IDLE, os.sched_param(0))
