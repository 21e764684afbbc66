"""Timer wake in order of their times, never early, and all at once when told to."""

import asyncio
from time import perf_counter_ns

from perfkit.loadgen.timer import Timer

MILLISECOND = 1_000_000


def test_everybody_wakes_in_order_and_never_early():
    async def sleep(timer, due, woken):
        await timer.until(due)
        woken.append((due, perf_counter_ns()))

    async def all_of_them(ahead):
        timer, woken = Timer(), []
        first = perf_counter_ns() + ahead
        delays = [6, 0, 3, 3, 1]
        sleeping = [asyncio.create_task(sleep(timer, first + delay * MILLISECOND, woken)) for delay in delays]
        await asyncio.sleep(0)
        in_time = perf_counter_ns() < first  # a machine that is busy may come to it when some are due already
        await asyncio.gather(*sleeping)
        timer.close()
        return woken if in_time else await all_of_them(2 * ahead)

    woken = asyncio.run(all_of_them(20 * MILLISECOND))
    assert [due for due, _ in woken] == sorted(due for due, _ in woken)
    assert all(moment >= due for due, moment in woken)


def test_a_stop_wakes_everybody_at_once():
    async def stopped():
        timer = Timer()
        sleeping = [asyncio.create_task(timer.until(perf_counter_ns() + 3600 * 10**9)) for _ in range(3)]
        await asyncio.sleep(0)
        timer.wake_all()
        await asyncio.wait_for(asyncio.gather(*sleeping), 60)
        timer.close()

    asyncio.run(stopped())
