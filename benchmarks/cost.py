"""What a command costs: processor time, memory and wall time, its children's included."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]

SAMPLE_EVERY = 0.5  # seconds; reading a large process's memory takes milliseconds of its time


@dataclass(frozen=True)
class Cost:
    """Times on CLOCK_MONOTONIC [ns], processor time [s], peak memory [bytes, shared pages divided]."""

    began: int
    ended: int
    cpu: float
    memory: int
    status: int


def run(words: Sequence[str], folder: Path, environment: Mapping[str, str], patience: float) -> Cost:
    """Run a command to its end, or for ``patience`` seconds; what it prints goes to ``folder/output.txt``.

    The processor time is that of the command and of all descendants that it waited for.
    """
    variables = {**os.environ, **environment}
    peak, over = [0], threading.Event()
    with (folder / "output.txt").open("wb") as output:
        began = time.monotonic_ns()
        process = subprocess.Popen(
            words, cwd=folder, env=variables, stdout=output, stderr=output, stdin=subprocess.DEVNULL, process_group=0
        )
        watch = threading.Thread(target=_watch, args=(process.pid, peak, over))
        alarm = threading.Timer(patience, os.killpg, (process.pid, signal.SIGKILL))
        watch.start()
        alarm.start()
        _, status, usage = os.wait4(process.pid, 0)
        ended = time.monotonic_ns()
        alarm.cancel()
        over.set()
        watch.join()
    # wait4 has reaped it: without this the Popen object would wait for a stranger's pid.
    process.returncode = os.waitstatus_to_exitcode(status)
    return Cost(began, ended, usage.ru_utime + usage.ru_stime, peak[0], process.returncode)


def _watch(pid: int, peak: list[int], over: threading.Event) -> None:
    while not over.wait(SAMPLE_EVERY):
        peak[0] = max(peak[0], _memory(pid))


def _memory(pid: int) -> int:
    total = 0
    try:
        root = psutil.Process(pid)
        family = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    for process in family:
        try:
            found = process.memory_full_info()
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
        total += getattr(found, "pss", found.rss)
    return total
