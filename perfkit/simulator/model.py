"""When a serving engine emits each token: pure arithmetic, no clock, the same online and in virtual time.

A schedule takes arrivals and returns the tokens that are due: the server asks it with the real clock, tests and
benchmarks without one. Times are integer nanoseconds, as stamps are; parameters are seconds.
"""

from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass
from heapq import heappop, heappush, heapreplace
from typing import NamedTuple, Protocol, TypeAlias

from perfkit.simulator.options import Simulation

SECOND = 1_000_000_000
_MASK = (1 << 64) - 1

Due: TypeAlias = tuple[int, int]
"""When (nanoseconds), and the number of the request whose next token it is."""


class Work(NamedTuple):
    """What one request asks of the engine."""

    prompt_tokens: int
    output_tokens: int


class Schedule(Protocol):
    """Requests in, due tokens out."""

    def arrive(self, number: int, now: int, work: Work) -> int | None:
        """Take in a request; return when its first token is due, None when that is not known yet."""

    def leave(self, number: int) -> None:
        """Forget a request whose client has gone."""

    def next_due(self) -> int | None:
        """Return when to ask ``take`` next, None when nothing is under way."""

    def take(self, now: int) -> list[Due]:
        """Return the tokens due by now, in order of time, each once."""

    def began(self, number: int) -> int | None:
        """Return when the engine began with a request that it has admitted; None where nothing queues."""

    def running(self) -> Collection[int]:
        """Return the requests that it works on."""

    def waiting(self) -> int:
        """Return how many it has not begun with."""


def mix(*words: int) -> int:
    """Hash integers to 64 bits (splitmix64): the same everywhere, and cheap enough for every token.

    Examples
    --------
    >>> mix(1, 2) == mix(1, 2), mix(1, 2) == mix(2, 1)
    (True, False)
    """
    state = 0
    for word in words:
        state = (state ^ word) + 0x9E3779B97F4A7C15 & _MASK
        state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & _MASK
        state = (state ^ state >> 27) * 0x94D049BB133111EB & _MASK
        state ^= state >> 31
    return state


def _scale(interval: int, jitter: float, *words: int) -> int:
    """Multiply an interval by its own factor within 1 - jitter .. 1 + jitter."""
    if not jitter:
        return interval
    return round(interval * (1 + jitter * (mix(*words) / 2**63 - 1)))


class PacedSchedule:
    """Exact pacing: token k of a request is due ``ttft + k * itl`` after its arrival, whatever else is going on.

    With ``jitter`` each interval is scaled by its own factor, uniform within 1 - jitter .. 1 + jitter: a pure
    function of seed, request number and k. One heap of due times, an entry per request.

    Examples
    --------
    >>> schedule = PacedSchedule(Simulation(ttft=0.1, itl=0.01))
    >>> first = schedule.arrive(1, 0, Work(10, 3))
    >>> schedule.take(SECOND)
    [(100000000, 1), (110000000, 1), (120000000, 1)]
    """

    def __init__(self, simulation: Simulation) -> None:
        self._jitter, self._seed = simulation.jitter, simulation.seed
        self._ttft = round(simulation.ttft * SECOND)
        self._itl = round(simulation.itl * SECOND)
        self._heap: list[tuple[int, int, int]] = []
        self._lengths: dict[int, int] = {}

    def arrive(self, number: int, now: int, work: Work) -> int | None:
        due = now + _scale(self._ttft, self._jitter, self._seed, number, 0)
        self._lengths[number] = work.output_tokens
        heappush(self._heap, (due, number, 1))
        return due

    def leave(self, number: int) -> None:
        # Its entry in the heap is dropped when its time comes.
        self._lengths.pop(number, None)

    def next_due(self) -> int | None:
        return self._heap[0][0] if self._heap else None

    def take(self, now: int) -> list[Due]:
        heap, lengths = self._heap, self._lengths
        jitter, seed, itl = self._jitter, self._seed, self._itl
        taken = []
        while heap and heap[0][0] <= now:
            due, number, sent = heap[0]
            length = lengths.get(number, 0)
            if sent <= length:
                taken.append((due, number))
            if sent < length:
                heapreplace(heap, (due + _scale(itl, jitter, seed, number, sent), number, sent + 1))
            else:
                heappop(heap)
                lengths.pop(number, None)
        return taken

    def began(self, number: int) -> int | None:
        return None

    def running(self) -> Collection[int]:
        return self._lengths.keys()

    def waiting(self) -> int:
        return 0


@dataclass(slots=True)
class _Job:
    ready: int
    prompt_left: int
    output_left: int


class EngineSchedule:
    """An engine with continuous batching, queueing for slots, and prefill that shares steps with decoding.

    The engine works in steps. A step takes ``itl`` seconds, ``slowdown`` more for each further request that
    decodes in it, and the time its share of prompt tokens needs at ``prefill_rate``. Requests are admitted in order
    of arrival, at the start of a step, while fewer than ``slots`` run; ``base_latency`` passes before they are
    queued. At most ``prefill_chunk`` prompt tokens go into one step, the oldest request's first. A request whose
    prompt is done emits one token at the end of each step. With ``jitter`` each step is scaled by its own factor.
    One step is under way at most; what it emits is settled when it begins.

    Examples
    --------
    Two requests of 1,000 prompt tokens and one slot: the second waits until the first is through.

    >>> engine = EngineSchedule(Simulation(slots=1, itl=0.01, prefill_rate=10_000, base_latency=0))
    >>> for number in (1, 2):
    ...     first = engine.arrive(number, 0, Work(1000, 2))
    >>> engine.take(SECOND)
    [(110000000, 1), (120000000, 1), (230000000, 2), (240000000, 2)]
    """

    def __init__(self, simulation: Simulation) -> None:
        self._engine = simulation
        self._slots = simulation.slots or 1
        self._waiting: OrderedDict[int, _Job] = OrderedDict()
        self._running: dict[int, _Job] = {}
        self._began: dict[int, int] = {}
        self._emitting: list[int] = []
        self._step_end: int | None = None
        self._steps = 0

    def arrive(self, number: int, now: int, work: Work) -> int | None:
        # When its first token is due depends on what else will arrive.
        ready = now + round(self._engine.base_latency * SECOND)
        self._waiting[number] = _Job(ready, work.prompt_tokens, work.output_tokens)
        return None

    def leave(self, number: int) -> None:
        self._running.pop(number, None)
        self._waiting.pop(number, None)
        self._began.pop(number, None)

    def next_due(self) -> int | None:
        if self._step_end is not None:
            return self._step_end
        return self._next_ready()

    def _next_ready(self) -> int | None:
        return next(iter(self._waiting.values())).ready if self._waiting else None

    def take(self, now: int) -> list[Due]:
        taken: list[Due] = []
        while (due := self.next_due()) is not None and due <= now:
            taken += self._end_step(due)
            self._begin_step(due)
        return taken

    def began(self, number: int) -> int | None:
        return self._began.get(number)

    def running(self) -> Collection[int]:
        return self._running.keys()

    def waiting(self) -> int:
        return len(self._waiting)

    def _end_step(self, due: int) -> list[Due]:
        emitted = [(due, number) for number in self._emitting if number in self._running]
        for _, number in emitted:
            job = self._running[number]
            job.output_left -= 1
            if job.output_left <= 0:
                del self._running[number]
        self._emitting = []
        self._step_end = None
        return emitted

    def _begin_step(self, now: int) -> None:
        while len(self._running) < self._slots and (ready := self._next_ready()) is not None and ready <= now:
            number, job = self._waiting.popitem(last=False)
            self._began[number] = now
            self._running[number] = job
        if not self._running:
            return
        prefilled = self._prefill()
        self._emitting = [number for number, job in self._running.items() if not job.prompt_left]
        self._step_end = now + self._duration(prefilled)
        self._steps += 1

    def _prefill(self) -> int:
        """Spend the step's prompt tokens on the oldest requests that still need some; return how many."""
        budget = self._engine.prefill_chunk
        for job in self._running.values():
            share = min(job.prompt_left, budget)
            job.prompt_left -= share
            budget -= share
        return self._engine.prefill_chunk - budget

    def _duration(self, prefilled: int) -> int:
        engine = self._engine
        others = max(len(self._emitting) - 1, 0)
        seconds = engine.itl + engine.slowdown * others + prefilled / engine.prefill_rate
        # A step of no time at all would never let a schedule come to an end.
        return max(_scale(round(seconds * SECOND), engine.jitter, engine.seed, self._steps), 1)


def make_schedule(simulation: Simulation) -> Schedule:
    """Return the empty schedule that the options describe."""
    return PacedSchedule(simulation) if simulation.slots is None else EngineSchedule(simulation)
