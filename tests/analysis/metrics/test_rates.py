"""Rates of hand-made runs whose truth is known: what happened in the window, whatever the run's length."""

import numpy as np
import pandas as pd
import pytest

import perfkit as pk
from perfkit.analysis.metrics import RATES, rates
from perfkit.records import Kind
from perfkit.runfile.chunks import NO_LAG, Chunks, pack
from tests.run_files import START, failure, request, write_run

pytestmark = pytest.mark.slow

RULES = ("request_throughput", "output_throughput", "prompt_throughput", "concurrency")


def closed(number, users, lasts, *, in_step=True, seed=0):
    """Users who send the next request when an answer ends: start and latency of each request, in order of start."""
    rng = np.random.default_rng(seed)
    free = np.zeros(users) if in_step else rng.uniform(0, 1, users)
    rows = []
    for _ in range(number):
        user = int(free.argmin())
        took = lasts(rng)
        rows.append((free[user], took))
        free[user] += took
    return sorted(rows)


def run_of(tmp_path, rows, *, tokens=20, phases=None, **settings):
    """Open a run of answers whose first token comes after half the time and the others evenly in the rest."""
    answers = [
        request(
            seq,
            at,
            ttft=took / 2,
            gaps=[took / 2 / (tokens - 1)] * (tokens - 1),
            phase=phases[seq] if phases else "steady",
        )
        for seq, (at, took) in enumerate(rows)
    ]
    path = tmp_path / f"{len(list(tmp_path.iterdir()))}.db"
    return pk.open(write_run(path, answers, **{"load": "closed", "rate": None, **settings}))


def of(runs):
    return runs.summary().rates.iloc[0]


@pytest.mark.parametrize("number", [50, 1000])
def test_rates_of_a_constant_server_do_not_depend_on_the_runs_length(tmp_path, number):
    found = of(run_of(tmp_path, closed(number, 8, lambda _: 1.0), parallel=8))
    assert found[list(RULES)].tolist() == pytest.approx([8, 160, 80, 8], rel=0.01)


@pytest.mark.parametrize("number", [100, 1000])
def test_so_do_those_of_a_schedule(tmp_path, number):
    rows = [(at / 10, 1.0) for at in range(number)]
    found = of(run_of(tmp_path, rows, load="open", rate=10.0, parallel=None))
    assert found[list(RULES)].tolist() == pytest.approx([10, 200, 100, 10], rel=0.01)


@pytest.mark.parametrize("warmup", [8, 20, "10%", "2.5s", "auto"])
def test_a_warm_up_that_is_left_out_moves_no_rate(tmp_path, warmup):
    runs = run_of(tmp_path, closed(800, 8, lambda _: 1.0), parallel=8)
    assert of(runs.trim(warmup))[list(RULES)].tolist() == pytest.approx([8, 160, 80, 8], rel=0.01)


@pytest.mark.parametrize("phase", ["warmup", "ramp"])
def test_requests_in_flight_when_the_steady_state_begins_count(tmp_path, phase):
    rows = closed(2000, 16, lambda rng: rng.lognormal(0, 0.5), seed=1)
    runs = run_of(tmp_path, rows, parallel=16, phases=[phase] * 64 + ["steady"] * (len(rows) - 64))
    starts, took = np.array(rows).T
    low, high = runs.members[0].rate_window
    low, high = low - START, high - START
    assert starts[64] <= low <= starts[64 + 16]
    ends = starts + took
    overlap = np.clip(np.minimum(ends, high) - np.maximum(starts, low), 0, None).sum()
    stamps = (starts + took / 2)[:, None] + np.linspace(0, 1, 20) * (took / 2)[:, None]
    truth = [
        np.sum((ends > low) & (ends <= high)),
        np.sum((stamps > low) & (stamps <= high)),
        10 * np.sum((stamps[:, 0] > low) & (stamps[:, 0] <= high)),
        overlap,
    ]
    assert of(runs)[list(RULES)].tolist() == pytest.approx([value / (high - low) for value in truth], rel=1e-3)
    assert of(runs)["concurrency"] == pytest.approx(16, rel=0.001)


def test_a_filter_on_prompts_counts_its_requests_over_the_runs_window(tmp_path):
    runs = run_of(tmp_path, closed(200, 4, lambda _: 1.0), parallel=4)
    some = runs.where("seq < 100")
    assert of(some)["request_throughput"] == pytest.approx(96 / 48, rel=0.01)  # without the first round


def test_a_stopped_run_counts_what_was_in_flight_as_concurrency_alone(tmp_path):
    rows = [request(seq, seq / 4, ttft=0.5, gaps=[0.25, 0.25]) for seq in range(40)]
    cut_off = {"kind": "interrupted", "phase": "cooldown", "lasted": 0.4}
    rows += [failure(40 + seq, 10 + seq / 10, **cut_off) for seq in range(4)]
    runs = pk.open(write_run(tmp_path / "s.db", rows, load="closed", parallel=4, rate=None, status="interrupted"))
    assert runs.members[0].rate_window[1] - START == pytest.approx(10.3)
    assert of(runs)["request_throughput"] == pytest.approx(4, rel=0.04)
    assert runs.summary().rates["failed"].iloc[0] == 0


def test_failures_count_in_concurrency_and_nowhere_else(tmp_path):
    rows = [request(seq, float(seq), ttft=0.5, gaps=[0.5]) for seq in range(20)]
    rows += [failure(20 + seq, float(seq), lasted=1.0) for seq in range(20)]
    found = of(pk.open(write_run(tmp_path / "f.db", rows, load="closed", parallel=2, rate=None)))
    assert found[list(RULES)].tolist() == pytest.approx([1, 2, 10, 2], rel=0.01)


@pytest.mark.parametrize(
    ("known", "inside"),
    [
        ({"crossing_gaps": "[1.0, 5.0, 1.0]", "first_chunk_latency": 1.0}, 2),  # stamps 1, 2, 7 and 8 s
        ({"crossing_gaps": None, "first_chunk_latency": 1.0}, 4 * (4 - 1) / (9 - 1)),
        ({"crossing_gaps": None, "first_chunk_latency": np.nan}, 0),  # not streamed: at its end, 9 s
    ],
)
def test_tokens_count_by_their_chunks_else_evenly_else_at_the_end(known, inside):
    row = {"start_time": 0.0, "completed_time": 9.0, "window_start": 0.0, "window_end": 4.0, "success": True}
    frame = pd.DataFrame([row | {"completion_tokens": 4} | known])
    assert rates.tokens_inside(frame).tolist() == [inside]


@pytest.mark.parametrize(
    ("tokens", "choices", "inside"),
    [
        ([5, 1, 2], None, 6),  # as the server counts them: 5 at 1 s, 1 at 2 s, 2 at 7 s
        ([5, 1, -1], None, 8 * 2 / 3),  # not of all: the answer's 8 spread evenly
        (None, None, 8 * 2 / 3),
        (None, [0, 1, 0], 8 * 2 / 3),  # two choices, whose gaps one after the other would end after 12 s
    ],
)
def test_tokens_count_as_the_server_counts_those_of_each_chunk(tokens, choices, inside):
    arrivals, kinds = [1_000_000_000, 2_000_000_000, 7_000_000_000], [Kind.CONTENT] * 3
    blob = pack(Chunks(arrivals, [NO_LAG] * 3, [0, 1, 2], kinds, choices or [0] * 3, [0, 1, 2], tokens))
    row = {"start_time": 0.0, "completed_time": 9.0, "window_start": 0.0, "window_end": 4.0, "success": True}
    row |= {"completion_tokens": 8, "first_chunk_latency": 1.0, "crossing_chunks": blob, "crossing_gaps": "[6, 5]"}
    assert rates.tokens_inside(pd.DataFrame([row])).tolist() == pytest.approx([inside])


@pytest.mark.parametrize("number", [50, 400])
def test_users_who_begin_together_bias_no_rate(number):
    # The mean of many runs of log-normal latencies, at a level of 8 users / 1 s: their luck is a tenth of what it was.
    found = []
    for seed in range(60):
        starts, took = np.array(closed(number, 8, lambda rng: rng.lognormal(-0.125, 0.5), seed=seed)).T
        answers = {"start_time": starts, "completed_time": starts + took, "first_chunk_latency": took / 4}
        frame = pd.DataFrame({**answers, "success": True, "prompt_tokens": 1, "load": "closed", "parallel": 8})
        found.append([rates.request_throughput(frame), rates.prompt_throughput(frame)])
    assert np.mean(found, axis=0) == pytest.approx([8, 8], rel=0.03)


def test_a_run_without_a_steady_window_is_told_so_and_taken_whole(tmp_path):
    runs = run_of(tmp_path, [(0.0, 2.0)] * 8, parallel=8)
    assert of(runs)["request_throughput"] == pytest.approx(4)
    assert "rates are taken over the whole run" in str(runs.summary())


def test_the_drain_is_said_and_the_whole_runs_rate_has_a_name_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")  # heads on one line
    summary = run_of(tmp_path, closed(48, 8, lambda _: 1.0), parallel=8).summary()
    assert "rates are taken up to the last request sent; the drain after it, 1 s, is left out" in str(summary)
    assert "whole run" in str(summary)
    assert summary.rates["whole_run_request_throughput"].iloc[0] == pytest.approx(48 / 6)


def test_a_run_that_never_settles_is_told_so_and_one_that_does_is_not(tmp_path):
    growing = run_of(tmp_path, [(seq / 10, 0.5 + seq / 100) for seq in range(400)], load="open", rate=10.0)
    assert "never settled" in str(growing.summary())
    assert "never settled" in str(growing.trim("auto").summary())
    steady = run_of(tmp_path, closed(400, 4, lambda rng: rng.lognormal(0, 0.5)), parallel=4)
    assert "never settled" not in str(steady.summary()) + str(steady.trim("auto").summary())


def test_a_capped_schedule_says_from_where_its_latencies_count(tmp_path):
    runs = run_of(
        tmp_path, [(seq / 10, 0.5) for seq in range(60)], load="open", rate=10.0, arguments={"max_concurrency": 8}
    )
    assert "ttft_scheduled and e2e_scheduled count from the schedule" in str(runs.summary())


def test_a_rate_of_the_users_own_is_given_the_steady_requests(tmp_path):
    from perfkit.analysis.metrics import rate

    @rate("seen", unit="requests", columns=("success",))
    def seen(requests):
        return float(len(requests))

    try:
        runs = run_of(tmp_path, closed(20, 2, lambda _: 1.0), parallel=2, phases=["warmup"] * 5 + ["steady"] * 15)
        assert of(runs)["seen"] == 15
    finally:
        RATES.pop("seen")
