"""Watches the instrument: how late the loop wakes, how much processor it takes, when garbage collection stops it."""

import asyncio
import contextlib
import gc
import os
from array import array
from collections.abc import Callable
from pathlib import Path
from time import perf_counter_ns, process_time, time
from typing import Any

from perfkit.decoding.clock import unix_offset
from perfkit.loadgen.processors import Spent

BEAT = 0.010
EVERY = 1.0
LATE = 2_000_000  # ns; beats later than this are stored one by one, earlier ones only counted
STEP = 0.050
"""Seconds that Unix time may move against ``perf_counter`` between two looks; NTP's slewing is 0.5 ms a second."""

Sample = tuple[float, str, float]
"""Unix time, name, value."""


class LoopMonitor:
    """Beats every 10 ms on the measuring loop and hands samples over once a second.

    Samples: ``loop_beats`` (number of beats), ``loop_late`` (seconds, one sample for each beat over 2 ms late: with
    ``loop_beats`` they give any percentile exactly), ``cpu_share`` (of one core), ``cpu_wait`` (share of the time
    that this thread was ready and another ran; Linux), ``gc_pause`` (seconds each), ``load_average`` (of the machine),
    and whatever ``gauges`` read. ``clock_step`` is by how many seconds somebody set the machine's clock since the last
    look, forward or (negative) back. At the end ``cpu_taken``: the share of all that time in which every processor that
    the thread may run on was in use, by whomever (Linux; a large machine takes long to tell: nobody asks under load).

    Parameters
    ----------
    emit : callable
        Takes a list of samples.
    gauges : dict of callables
        Read once a second: name to value.
    stepped : callable, optional
        Takes the seconds by which the machine's clock was set.
    clock : callable
        Unix time minus ``perf_counter``, in nanoseconds.
    """

    def __init__(
        self,
        emit: Callable[[list[Sample]], None],
        gauges: dict[str, Callable[[], float]],
        *,
        stepped: Callable[[float], None] = lambda seconds: None,
        clock: Callable[[], int] = unix_offset,
    ) -> None:
        self._emit, self._gauges = emit, gauges
        self._stepped, self._clock, self._offset = stepped, clock, clock()
        self._late: list[Sample] = []
        self._beats = 0
        self._gc_began = 0
        self._task: asyncio.Task[None] | None = None
        self.lags = array("q")
        """Lateness of every beat of the run, in nanoseconds."""
        self.cpu_share = 0.0
        """Share of one core that this process took since the start."""
        self.cpu_wait: float | None = None
        """Share of the time since the start that this thread waited for a processor; None where nobody counts it."""
        self.cpu_taken: float | None = None
        """Share of the time since the start that all the processors of this thread were in use, by whomever."""
        self.longest_pause = 0.0
        self.cpu_at_start = 0.0

    def start(self) -> None:
        """Begin to beat on the running loop."""
        gc.callbacks.append(self._on_gc)
        self._cpu, self._since = process_time(), perf_counter_ns()
        self.cpu_at_start, self._started = self._cpu, self._since
        self._waited = self._waited_at_start = _waited()
        self._spent = Spent.now()
        self._task = asyncio.create_task(self._beat())

    async def stop(self) -> None:
        """Stop, and hand over the last samples."""
        gc.callbacks.remove(self._on_gc)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._hand_over()
        self.cpu_taken = Spent.now().taken_since(self._spent)
        if self.cpu_taken is not None:
            self._emit([(time(), "cpu_taken", self.cpu_taken)])

    async def _beat(self) -> None:
        loop = asyncio.get_running_loop()
        handed = perf_counter_ns()
        while True:
            due = perf_counter_ns() + int(BEAT * 1e9)
            await asyncio.sleep(BEAT)
            lag = max(0, perf_counter_ns() - due)
            self._beats += 1
            self.lags.append(lag)
            if lag > LATE:
                self._late.append((time(), "loop_late", lag / 1e9))
            if perf_counter_ns() - handed > EVERY * 1e9:
                handed = perf_counter_ns()
                loop.call_soon(self._hand_over)

    def _hand_over(self) -> None:
        now, stamp, cpu = time(), perf_counter_ns(), process_time()
        elapsed = max(1, stamp - self._since) / 1e9
        samples: list[Sample] = [
            *self._late,
            (now, "loop_beats", float(self._beats)),
            (now, "cpu_share", (cpu - self._cpu) / elapsed),
            (now, "load_average", os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")),
            *((now, name, float(read())) for name, read in self._gauges.items()),
        ]
        waited = _waited()
        if waited is not None and self._waited is not None and self._waited_at_start is not None:
            samples.append((now, "cpu_wait", (waited - self._waited) / 1e9 / elapsed))
            self.cpu_wait = (waited - self._waited_at_start) / max(1, stamp - self._started)
        offset = self._clock()
        step, self._offset = (offset - self._offset) / 1e9, offset
        if abs(step) > STEP:
            samples.append((now, "clock_step", step))
            self._stepped(step)
        self._cpu, self._since, self._late, self._beats, self._waited = cpu, stamp, [], 0, waited
        self.cpu_share = (cpu - self.cpu_at_start) / max(1e-9, (stamp - self._started) / 1e9)
        self._emit(samples)

    def _on_gc(self, phase: str, _info: dict[str, Any]) -> None:
        if phase == "start":
            self._gc_began = perf_counter_ns()
            return
        pause = (perf_counter_ns() - self._gc_began) / 1e9
        self.longest_pause = max(self.longest_pause, pause)
        if pause > LATE / 1e9:
            self._late.append((time(), "gc_pause", pause))


def peak_memory() -> float | None:
    """Return the most memory that this process has held, in bytes; None where nobody counts it."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return float(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) * 1024
    return None


def _waited() -> int | None:
    """Return how long (ns) this thread has been ready to run while another did; None where nobody counts it."""
    with contextlib.suppress(OSError, IndexError, ValueError):
        return int(Path("/proc/thread-self/schedstat").read_text().split()[1])
    return None
