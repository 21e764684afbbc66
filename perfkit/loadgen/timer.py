"""A queue of waiting tasks, each woken at its time by one precise timer."""

import asyncio
from heapq import heappop, heappush
from itertools import count
from time import perf_counter_ns

from perfkit.loadgen.timerfd import alarm


class Timer:
    """Tasks that sleep until a ``perf_counter`` time.

    A loop's own timers are rounded to milliseconds: at 500 requests a second they would bend the law of arrivals.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._alarm = alarm(self._loop, self._ring, perf_counter_ns)
        self._sleeping: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = count()

    async def until(self, due: int) -> None:
        """Sleep until ``due`` (nanoseconds), or until all are woken."""
        if due <= perf_counter_ns():
            return
        woken = self._loop.create_future()
        heappush(self._sleeping, (due, next(self._order), woken))
        self._alarm.set(self._sleeping[0][0])
        await woken

    def wake_all(self) -> None:
        """Wake everybody now."""
        for _, _, woken in self._sleeping:
            if not woken.done():
                woken.set_result(None)
        self._sleeping.clear()
        self._alarm.set(None)

    def close(self) -> None:
        """Wake everybody, and give the alarm back."""
        self.wake_all()
        self._alarm.close()

    def _ring(self) -> None:
        now = perf_counter_ns()
        while self._sleeping and self._sleeping[0][0] <= now:
            _, _, woken = heappop(self._sleeping)
            if not woken.done():
                woken.set_result(None)
        if self._sleeping:
            self._alarm.set(self._sleeping[0][0])
