from dataclasses import replace
from itertools import pairwise

import pytest

from benchmarks.virtual_time import simulate_arrivals
from perfkit.simulator.model import SECOND, EngineSchedule, PacedSchedule, Work, make_schedule, mix
from perfkit.simulator.options import Simulation

PLAIN = Simulation(slots=2, itl=0.010, slowdown=0.0, base_latency=0.0, prefill_rate=10_000.0)


def rounded(times):
    return [[round(time, 6) for time in each] for each in times]


def test_paced_tokens_are_due_ttft_and_then_itl_apart():
    assert simulate_arrivals([2.0], Simulation(), Work(5, 4)) == [[2.1, 2.11, 2.12, 2.13]]


def test_pacing_ignores_how_many_requests_there_are():
    alone = simulate_arrivals([0.0], Simulation(), Work(5, 4))
    assert simulate_arrivals([0.0] * 50, Simulation(), Work(5, 4)) == alone * 50


def test_jitter_keeps_each_interval_within_its_share_and_their_mean():
    [times] = simulate_arrivals([0.0], Simulation(jitter=0.3, seed=7), Work(1, 4000))
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert 0.007 <= min(gaps) < 0.0071
    assert 0.0129 < max(gaps) <= 0.013
    assert sum(gaps) / len(gaps) == pytest.approx(0.01, rel=0.01)


@pytest.mark.parametrize("model", [Simulation(jitter=0.5), Simulation(slots=32, jitter=0.5)])
def test_the_same_seed_gives_the_same_times_and_another_others(model):
    arrivals, work = [0.0, 0.1, 0.2], Work(100, 20)
    first = simulate_arrivals(arrivals, model, work)
    assert simulate_arrivals(arrivals, model, work) == first
    changed = replace(model, seed=2)
    assert simulate_arrivals(arrivals, changed, work) != first


def test_a_request_that_finds_the_slots_taken_waits_for_one():
    # Two slots: the third request starts when the first two have emitted their two tokens at 0.01 and 0.02.
    times = rounded(simulate_arrivals([0.0, 0.0, 0.0], PLAIN, Work(0, 2)))
    assert times == [[0.01, 0.02], [0.01, 0.02], [0.03, 0.04]]


def test_prefill_delays_the_first_token_by_prompt_over_rate():
    assert rounded(simulate_arrivals([0.0], PLAIN, Work(500, 2))) == [[0.06, 0.07]]


def test_prefill_of_one_request_slows_the_decoding_of_another():
    # The second prompt (1,000 tokens, 0.1 s) shares the step that began at 0.02.
    times = rounded(simulate_arrivals([0.0, 0.015], PLAIN, [Work(0, 4), Work(1000, 1)]))
    assert times == [[0.01, 0.02, 0.13, 0.14], [0.13]]


def test_a_long_prompt_is_spread_over_steps():
    engine = Simulation(slots=2, itl=0.010, slowdown=0.0, base_latency=0.0, prefill_rate=10_000.0, prefill_chunk=100)
    # 250 tokens: chunks of 100, 100 and 50, in steps of 0.02, 0.02 and 0.015.
    assert rounded(simulate_arrivals([0.0], engine, Work(250, 1))) == [[0.055]]


def test_each_further_request_in_the_batch_adds_to_a_step():
    engine = Simulation(slots=8, itl=0.010, slowdown=0.001, base_latency=0.0)
    assert rounded(simulate_arrivals([0.0] * 5, engine, Work(0, 2))) == [[0.014, 0.028]] * 5


def test_base_latency_passes_before_a_request_is_queued():
    engine = Simulation(slots=1, itl=0.010, base_latency=0.5)
    assert rounded(simulate_arrivals([1.0], engine, Work(0, 1))) == [[1.51]]


@pytest.mark.parametrize("model", [Simulation(), Simulation(slots=4)])
def test_every_token_is_emitted_once_and_in_order_of_time(model):
    schedule = make_schedule(model)
    for number in range(20):
        schedule.arrive(number, number * 1_000_000, Work(100, 7))
    taken = schedule.take(100 * SECOND)
    assert [due for due, _ in taken] == sorted(due for due, _ in taken)
    assert sorted(number for _, number in taken) == sorted(list(range(20)) * 7)
    assert schedule.next_due() is None


@pytest.mark.parametrize("model", [Simulation(jitter=0.2), Simulation(slots=2, jitter=0.2)])
def test_looking_often_or_once_gives_the_same_times(model):
    # What the server does (many small looks at the clock) against virtual time (one).
    often, once = make_schedule(model), make_schedule(model)
    for number in range(4):
        often.arrive(number, 0, Work(300, 5))
        once.arrive(number, 0, Work(300, 5))
    looks = [due for step in range(2000) for due in often.take(step * SECOND // 1000)]
    assert looks == once.take(2 * SECOND)


@pytest.mark.parametrize("model", [Simulation(), Simulation(slots=4)])
def test_a_request_that_left_emits_nothing_more(model):
    schedule = make_schedule(model)
    for number in (1, 2):
        schedule.arrive(number, 0, Work(10, 50))
    before = schedule.take(SECOND // 5)
    schedule.leave(1)
    after = schedule.take(100 * SECOND)
    assert {number for _, number in before} == {1, 2}
    assert {number for _, number in after} == {2}
    assert sum(number == 2 for _, number in before + after) == 50


def test_leaving_gives_the_slot_to_the_next_in_the_queue():
    schedule = make_schedule(Simulation(slots=1, itl=0.010, base_latency=0.0))
    schedule.arrive(1, 0, Work(0, 1000))
    schedule.arrive(2, 0, Work(0, 1))
    schedule.take(15_000_000)
    schedule.leave(1)
    assert schedule.take(40_000_000) == [(30_000_000, 2)]


def test_leaving_the_queue_does_not_touch_who_runs():
    schedule = make_schedule(Simulation(slots=1, itl=0.010, base_latency=0.0))
    for number in (1, 2, 3):
        schedule.arrive(number, 0, Work(0, 1))
    schedule.leave(2)
    assert [number for _, number in schedule.take(SECOND)] == [1, 3]


def test_saturated_throughput_is_slots_over_step():
    # 8 slots, 10 ms and 10 tokens a request: 80 requests of 0.1 s, eight at a time, take 1 s.
    times = simulate_arrivals([0.0] * 80, Simulation(slots=8, itl=0.01, slowdown=0.0, base_latency=0.0), Work(0, 10))
    assert max(each[-1] for each in times) == pytest.approx(1.0)


def test_arrivals_out_of_order_are_refused():
    with pytest.raises(ValueError, match="in order"):
        simulate_arrivals([1.0, 0.5], Simulation(), Work(1, 1))


def test_slots_choose_the_engine():
    assert isinstance(make_schedule(Simulation(slots=3)), EngineSchedule)
    assert isinstance(make_schedule(Simulation()), PacedSchedule)


def test_mixed_bits_are_uniform():
    draws = [mix(1, index) / 2**64 for index in range(20_000)]
    assert sum(draws) / len(draws) == pytest.approx(0.5, abs=0.01)
    assert sum(draw < 0.1 for draw in draws) == pytest.approx(2000, abs=150)
