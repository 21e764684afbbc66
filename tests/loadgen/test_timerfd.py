import asyncio
import sys
from time import monotonic_ns

import pytest

from perfkit.loadgen.timerfd import LoopAlarm, alarm

MILLISECOND = 1_000_000


@pytest.mark.parametrize("make", [alarm, LoopAlarm])
@pytest.mark.parametrize("delay", [-5 * MILLISECOND, 0, 3 * MILLISECOND])
def test_an_alarm_rings_once_when_its_time_has_come(make, delay):
    async def wait():
        rung = asyncio.Event()
        bell = make(asyncio.get_running_loop(), rung.set)
        due = monotonic_ns() + delay
        bell.set(due)
        await asyncio.wait_for(rung.wait(), 60)
        bell.close()
        return monotonic_ns() - due

    # A loop's own timers may be early by their resolution; the server then sets the alarm anew.
    assert asyncio.run(wait()) > -MILLISECOND


@pytest.mark.parametrize("make", [alarm, LoopAlarm])
def test_setting_an_alarm_again_replaces_its_time(make):
    async def wait():
        rung = []
        bell = make(asyncio.get_running_loop(), lambda: rung.append(monotonic_ns()))
        start = monotonic_ns()
        bell.set(start + 60_000 * MILLISECOND)
        bell.set(start + 2 * MILLISECOND)
        while not rung:
            await asyncio.sleep(0)
        bell.set(None)
        bell.close()
        return len(rung)

    assert asyncio.run(wait()) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the loop's own timers serve anyway")
def test_a_process_out_of_open_files_still_has_an_alarm():
    async def wait():
        resource = pytest.importorskip("resource")
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        rung = asyncio.Event()
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
        try:
            bell = alarm(asyncio.get_running_loop(), rung.set)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        bell.set(monotonic_ns() + MILLISECOND)
        await asyncio.wait_for(rung.wait(), 60)
        bell.close()

    asyncio.run(wait())
