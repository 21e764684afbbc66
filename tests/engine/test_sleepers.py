"""Sleepers wake in order of their times, never early, and all at once when told to."""

import asyncio
from time import perf_counter_ns

from perfkit.engine.sleepers import Sleepers

MILLISECOND = 1_000_000


def test_everybody_wakes_in_order_and_never_early():
    async def sleep(sleepers, due, woken):
        await sleepers.until(due)
        woken.append((due, perf_counter_ns()))

    async def all_of_them():
        sleepers, woken = Sleepers(), []
        now = perf_counter_ns()
        delays = [27, 21, 24, 24, 22]
        await asyncio.gather(*(sleep(sleepers, now + delay * MILLISECOND, woken) for delay in delays))
        sleepers.close()
        return woken

    woken = asyncio.run(all_of_them())
    assert [due for due, _ in woken] == sorted(due for due, _ in woken)
    assert all(moment >= due for due, moment in woken)


def test_a_stop_wakes_everybody_at_once():
    async def stopped():
        sleepers = Sleepers()
        sleeping = [asyncio.create_task(sleepers.until(perf_counter_ns() + 3600 * 10**9)) for _ in range(3)]
        await asyncio.sleep(0)
        sleepers.wake_all()
        await asyncio.wait_for(asyncio.gather(*sleeping), 5)
        sleepers.close()

    asyncio.run(stopped())
