import asyncio
import gc
import subprocess
import sys
from collections import defaultdict
from time import perf_counter_ns

import pytest

from perfkit.loadgen.monitor import BEAT, LoopMonitor, Sample


def beats(seconds: float, block: float = 0.0, collect: bool = False) -> tuple[LoopMonitor, dict[str, list[float]]]:
    """Let a heart beat on a loop that is blocked once for some time; return it and its samples by name."""
    handed: list[Sample] = []

    async def live() -> LoopMonitor:
        heartbeat = LoopMonitor(handed.extend, {"backlog": lambda: 7.0})
        heartbeat.start()
        await asyncio.sleep(seconds / 2)
        if block:
            until = perf_counter_ns() + block * 1e9
            while perf_counter_ns() < until:
                pass
        if collect:
            gc.collect()
        await asyncio.sleep(seconds / 2)
        await heartbeat.stop()
        return heartbeat

    heartbeat = asyncio.run(live())
    samples: dict[str, list[float]] = defaultdict(list)
    for _, name, value in handed:
        samples[name].append(value)
    return heartbeat, samples


def test_a_blocked_loop_shows_as_one_late_beat_of_that_length() -> None:
    heartbeat, samples = beats(0.2, block=0.1)
    assert max(heartbeat.lags) >= 0.085e9  # the block may begin up to a beat after the last one
    assert max(samples["loop_late"]) >= 0.085


def test_every_beat_is_counted_and_gauges_are_read_at_the_end() -> None:
    heartbeat, samples = beats(0.3)
    assert sum(samples["loop_beats"]) == len(heartbeat.lags)
    assert 2 <= len(heartbeat.lags) <= 0.3 / BEAT + 1
    assert samples["backlog"] == [7.0]


def test_the_processor_share_is_of_one_core() -> None:
    idle, _ = beats(0.2)
    busy, _ = beats(0.2, block=0.2)
    assert 0 <= idle.cpu_share < busy.cpu_share <= 1.1


@pytest.mark.slow
def test_the_collector_is_watched_only_while_the_heart_beats() -> None:
    before = len(gc.callbacks)
    heartbeat, _ = beats(0.05, collect=True)
    assert heartbeat.longest_pause > 0
    assert len(gc.callbacks) == before


@pytest.mark.skipif(sys.platform != "linux", reason="counted by Linux alone")
def test_whether_processors_were_free_is_asked_once_and_after_the_load() -> None:
    heartbeat, samples = beats(2.2)  # long enough for samples under load
    assert len(samples["cpu_share"]) >= 2
    assert samples["cpu_taken"] == [heartbeat.cpu_taken]
    assert 0 <= samples["cpu_taken"][0] <= 1


@pytest.mark.processes
@pytest.mark.skipif(sys.platform != "linux", reason="counted by Linux alone")
def test_memory_that_was_held_for_a_moment_is_counted() -> None:
    program = (
        "from perfkit.loadgen.monitor import peak_memory; before = peak_memory(); len(bytearray(b'x') * 100_000_000); "
        "print(peak_memory() - before)"
    )
    more = float(subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True).stdout)
    assert 90e6 < more < 110e6


@pytest.mark.parametrize(("moved", "told"), [(3600.0, [3600.0]), (-2.5, [-2.5]), (0.04, [])])
def test_a_clock_that_somebody_sets_is_noticed_once_and_stored(moved: float, told: list[float]) -> None:
    handed: list[Sample] = []
    steps: list[float] = []
    offsets = [0, *[round(moved * 1e9)] * 50]

    async def live() -> None:
        monitor = LoopMonitor(handed.extend, {}, stepped=steps.append, clock=lambda: offsets.pop(0))
        monitor.start()
        while len(offsets) > 48:  # two looks, a second apart
            await asyncio.sleep(BEAT)
        await monitor.stop()

    asyncio.run(live())
    assert steps == told
    assert [value for _, name, value in handed if name == "clock_step"] == told
