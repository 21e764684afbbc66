import pytest

import perfkit as pk
from perfkit.analysis.results.evidence import evidence, verdict_of
from perfkit.runfile.chunks import NO_LAG, Chunks, pack
from perfkit.validity.evidence import Evidence
from perfkit.validity.thresholds import LIMITS
from perfkit.validity.verdict import Verdict, verdict
from tests.run_files import START, failure, request, write_run

DERIVED = {"send_lag", "turnaround", "missed_rate"}


@pytest.mark.parametrize("name", [name for name in LIMITS if name not in DERIVED])
def test_each_piece_of_evidence_is_judged_at_its_own_limits(name):
    limit = LIMITS[name]
    assert verdict(Evidence(**{name: limit.suspect * 0.99})).level == "VALID"
    assert verdict(Evidence(**{name: limit.suspect})).level == "SUSPECT"
    if limit.bound != float("inf"):
        assert verdict(Evidence(**{name: limit.bound})).level == "CLIENT-BOUND"


def test_a_run_without_evidence_is_not_accused():
    assert verdict(Evidence()).level == "VALID"


@pytest.mark.parametrize(
    ("censored", "requests", "level"),
    [
        (1, 64, "VALID"),  # where 1 of 100 are: one or more in 47 of 100 runs
        (2, 64, "VALID"),  # two or more in 13
        (3, 64, "SUSPECT"),  # three or more in 3
        (1, 2, "SUSPECT"),
        (12, 1000, "VALID"),
        (20, 1000, "SUSPECT"),
    ],
)
def test_few_censored_first_tokens_must_be_more_than_chance(censored, requests, level):
    found = verdict(Evidence(requests=requests, censored_first=censored / requests))
    assert found.level == level


def test_few_censored_gaps_must_be_more_than_chance_too():
    assert verdict(Evidence(gaps=120, censored_gaps=8 / 120)).level == "VALID"
    assert verdict(Evidence(gaps=120, censored_gaps=12 / 120)).level == "SUSPECT"
    assert verdict(Evidence(gaps=100_000, censored_gaps=0.052)).level == "SUSPECT"


def test_a_missed_rate_counts_unless_a_cap_held_it_back():
    assert verdict(Evidence(is_open=True, requested_rate=10, achieved_rate=9)).level == "SUSPECT"
    assert verdict(Evidence(is_open=True, requested_rate=10, achieved_rate=9, capped=True)).level == "VALID"
    assert verdict(Evidence(requested_rate=10, achieved_rate=9)).level == "VALID"  # a closed model asks for none


def test_lateness_is_of_the_schedule_or_of_the_turn_around_unless_a_cap_held_requests_back():
    assert [check.name for check in verdict(Evidence(is_open=True, late=0.03)).checks] == ["send lag"]
    assert [check.name for check in verdict(Evidence(late=0.3)).checks] == ["turn-around"]
    assert verdict(Evidence(is_open=True, late=0.3, capped=True)).checks == ()


@pytest.mark.parametrize("name", [name for name in LIMITS if name not in DERIVED])
def test_the_sentence_of_each_check_is_recognised_in_a_record_whatever_its_number(name):
    (judged,) = verdict(Evidence(**{name: LIMITS[name].suspect * 3})).checks
    (read,) = Verdict.stored("SUSPECT", [f"{judged.sentence}; {judged.remedy}"]).checks
    assert (read.name, read.sentence, read.remedy) == (judged.name, judged.sentence, judged.remedy)


def test_a_check_that_binds_nothing_is_suspect_in_the_record_of_a_client_bound_run():
    reasons = ["the client used 97 % of its core; more", "this platform's timers were not checked; see"]
    found = Verdict.stored("CLIENT-BOUND", reasons)
    assert [check.level for check in found.checks] == ["CLIENT-BOUND", "SUSPECT"]


def test_of_two_workers_verdicts_the_worse_stands_and_each_check_once():
    mild = Verdict.stored("SUSPECT", ["the client used 81 % of its core; more", "worker 2 died; see"])
    bad = Verdict.stored("CLIENT-BOUND", ["the client used 97 % of its core; more"])
    for found in (mild.with_those_of(bad), bad.with_those_of(mild)):
        assert found.level == "CLIENT-BOUND"
        assert found.reasons == ["the client used 97 % of its core; more", "worker 2 died; see"]


def test_a_platform_that_was_not_checked_is_at_best_suspect():
    assert verdict(Evidence(exact_clock=False)).level == "SUSPECT"
    assert verdict(Evidence(exact_clock=False, cpu_share=0.99)).level == "CLIENT-BOUND"


def test_a_processor_that_saves_power_is_suspect():
    assert verdict(Evidence(governor="powersave")).level == "SUSPECT"
    assert verdict(Evidence(governor="performance")).level == "VALID"


@pytest.mark.parametrize(
    ("status", "stored", "killed"),
    [("interrupted", None, True), ("interrupted", "VALID", False), ("finished", None, False)],
)
def test_an_interrupted_run_that_nobody_judged_at_its_end_was_killed(tmp_path, status, stored, killed):
    run = opened(tmp_path, [request(0)], status=status, verdict=stored)
    assert evidence(run).killed is killed
    assert any(check.name == "killed" for check in verdict_of(run).checks) is killed


def test_a_run_that_says_why_it_ended_was_not_killed(tmp_path):
    run = opened(tmp_path, [request(0)], status="interrupted", problem="line 301 of prompts.jsonl is not JSON")
    assert not evidence(run).killed


def test_a_server_that_refuses_connections_is_not_called_the_client():
    assert verdict(Evidence(connect_failures=0.9)).level == "SUSPECT"


def test_a_run_that_sent_nothing_is_not_judged(tmp_path):
    run = opened(tmp_path, [request(None, phase="preflight")], samples={"cpu_share": [1.0]}, status="finished")
    assert verdict_of(run) is None


def test_one_stall_in_a_thousand_beats_is_seen():
    late = verdict(Evidence(loop_lag=0.002, stall=0.3))
    assert (late.level, late.reasons[0].partition(";")[0]) == ("SUSPECT", "the client stood still for 300 ms")


def test_the_worst_check_comes_first_and_each_has_a_remedy():
    found = verdict(Evidence(loop_lag=0.02, cpu_share=0.99, backlog=20_000))
    assert [check.name for check in found.checks] == ["cpu", "loop lag", "backlog"]
    assert all(check.remedy for check in found.checks)


def opened(tmp_path, rows, **record):
    return pk.open(write_run(tmp_path / "v.db", rows, **record)).members[0]


def test_evidence_is_read_from_samples_and_rows(tmp_path):
    rows = [request(i, i, scheduled_time=START + i - 0.03) for i in range(99)] + [failure(99, 99, kind="connect")]
    # 200 beats, three of them late: two (one per cent) may be later than the percentile.
    beats = {"loop_beats": [100.0, 100.0], "loop_late": [0.004, 0.5, 0.030]}
    samples = {**beats, "cpu_share": [0.5, 0.7], "gc_pause": [0.01, 0.03], "backlog": [5.0]}
    found = evidence(opened(tmp_path, rows, samples=samples, load="open", rate=1.0))
    assert found.loop_lag == 0.004
    assert found.cpu_share == pytest.approx(0.6)
    assert found.gc_pause == 0.03
    assert found.backlog == 5
    assert found.send_lag == pytest.approx(0.03)
    assert found.turnaround is None
    assert found.connect_failures == 0.01


def test_evidence_that_no_row_tells_is_read_from_samples_and_the_record(tmp_path):
    waits = {"cpu_wait": [0.02, 0.04], "cpu_taken": [0.7, 0.9]}
    samples = {**waits, "no_socket": [0.25], "commit": [0.7], "calibrated": [1.5], "loop_late": [0.2]}
    found = evidence(opened(tmp_path, [request(0)], samples=samples, host='{"governor": "powersave"}'))
    assert (found.cpu_wait, found.cpu_taken) == (pytest.approx(0.03), pytest.approx(0.8))
    assert (found.no_socket, found.commit, found.calibrated, found.stall) == (0.25, 0.7, 1.5, 0.2)
    assert found.governor == "powersave"


def test_lag_of_a_closed_model_is_the_clients_turn_around(tmp_path):
    found = evidence(opened(tmp_path, [request(i, i, scheduled_time=START + i - 0.03) for i in range(5)]))
    assert (found.send_lag, found.turnaround) == (None, pytest.approx(0.03))


def test_a_rate_is_held_against_the_schedule_not_against_its_mean(tmp_path):
    rows = [request(i, 2 * i, scheduled_time=START + i) for i in range(11)]
    found = evidence(opened(tmp_path, rows, load="open", rate=50.0))
    assert (found.requested_rate, found.achieved_rate) == (pytest.approx(1.0), pytest.approx(0.5))
    assert found.missed_rate == pytest.approx(0.5)


def test_tokens_that_share_a_read_with_a_later_token_are_censored(tmp_path):
    # Content, content (one read), content: the first token's arrival is an upper bound, the last gap's is exact.
    blob = pack(Chunks([100, 100, 300], [NO_LAG] * 3, [0, 0, 1], [1, 1, 1], [0] * 3, [0, 1, 2]))
    found = evidence(opened(tmp_path, [request(0, chunks=blob), request(1, 1)]))
    assert found.censored_first == 0.5
    assert found.censored_gaps == 0


def test_a_finish_chunk_in_the_read_of_a_token_censors_nothing(tmp_path):
    blob = pack(Chunks([100, 200, 200], [NO_LAG] * 3, [0, 1, 1], [1, 1, 5], [0] * 3, [0, 1, 2]))
    found = evidence(opened(tmp_path, [request(0, chunks=blob)]))
    assert (found.censored_first, found.censored_gaps) == (0, 0)


def test_the_engines_own_count_of_shared_reads_spares_reading_every_chunk(tmp_path):
    blob = pack(Chunks([100, 100, 300], [NO_LAG] * 3, [0, 0, 1], [1, 1, 1], [0] * 3, [0, 1, 2]))
    counted = {"censored_first": [0.02, 0.01], "censored_gaps": [0.1, 0.2]}  # of two workers
    found = evidence(opened(tmp_path, [request(0, chunks=blob)], samples=counted))
    assert (found.censored_first, found.censored_gaps) == (0.02, 0.2)


def test_the_worse_of_stored_and_recomputed_verdict_stands(tmp_path):
    run = opened(tmp_path, [request(0)], verdict="CLIENT-BOUND", reasons='["the pipe was full; use more workers"]')
    found = verdict_of(run)
    assert found.level == "CLIENT-BOUND"
    assert found.reasons == ["the pipe was full; use more workers"]


def test_a_share_that_died_is_named_beside_what_the_rows_show(tmp_path):
    lost = "worker 2 of 2 died: its share of the load is missing"
    samples = {"cpu_wait": [0.2]}
    reasons = f'["{lost}; measure again", "the client waited for a processor 21 % of the time; close what else runs"]'
    run = opened(tmp_path, [request(0)], samples=samples, verdict="SUSPECT", reasons=reasons)
    found = verdict_of(run)
    assert [check.sentence for check in found.checks] == ["the client waited for a processor 20 % of the time", lost]


def test_runs_of_other_tools_are_not_judged(tmp_path):
    assert verdict_of(opened(tmp_path, [request(0)], source="evalscope")) is None


def test_a_filter_does_not_change_the_verdict(tmp_path):
    path = write_run(tmp_path / "f.db", [request(i, i, scheduled_time=START + i - 0.5) for i in range(9)])
    assert pk.open(path).where("seq = 100").verdicts["run"].level == "CLIENT-BOUND"


def test_a_saved_choice_of_requests_keeps_the_verdict_of_its_run(tmp_path):
    rows = [request(user, 2.0 * turn, ttft=1.0, gaps=(1.0,)) for turn in range(3) for user in range(40)]
    rows = [{**row, "seq": seq} for seq, row in enumerate(rows)]
    counted = {"in_flight": [40.0] * 5}
    path = write_run(tmp_path / "w.db", rows, samples=counted, parallel=40, sent=120, verdict="VALID", reasons="[]")
    assert pk.open(path).verdicts["run"].level == "VALID"
    part = pk.open(path).where("seq < 60").save(tmp_path / "part.db")
    assert pk.open(part).verdicts["run"].level == "VALID"


def in_flight(tmp_path, counted, lasting=2.0):
    """A run of 40 users whose answers take two seconds each, and what its client counted each second."""
    rows = [request(user, 2.0 * turn, ttft=lasting / 2, gaps=(lasting / 2,)) for turn in range(3) for user in range(40)]
    samples = {"in_flight": [float(count) for count in counted]}
    rows = [{**row, "seq": seq} for seq, row in enumerate(rows)]
    return evidence(opened(tmp_path, rows, samples=samples, parallel=40)).littles_gap


def test_requests_in_flight_are_rate_times_e2e(tmp_path):
    assert in_flight(tmp_path, [40, 40, 40, 40, 40]) == 0


def test_requests_that_waited_in_the_client_break_littles_law(tmp_path):
    # 40 counted at each moment, but the rows say that each was under way half of the time: at 0, 2 and 4 s only.
    assert in_flight(tmp_path, [40, 40, 40, 40, 40], lasting=1.0) == pytest.approx(0.4)
    assert "Little's law" in verdict(Evidence(littles_gap=0.4)).reasons[0]


def test_too_few_moments_say_nothing_of_littles_law(tmp_path):
    assert in_flight(tmp_path, [40, 10]) is None


def test_a_small_load_is_not_judged_by_littles_law(tmp_path):
    rows = [request(seq, 2.0 * seq, ttft=1.0, gaps=(0.9,)) for seq in range(5)]
    assert evidence(opened(tmp_path, rows, samples={"in_flight": [1.0] * 5})).littles_gap is None


def test_what_a_plugin_held_up_is_not_put_right_by_more_workers() -> None:
    told = verdict(Evidence(stall=0.2, loop_lag=0.15, plugin_held=0.05)).reasons
    assert len(told) == 3
    assert all(each.endswith("asyncio.to_thread; the remark of the run names file and line") for each in told)
    assert "use more workers" in verdict(Evidence(loop_lag=0.15, plugin_held=0.001)).reasons[0]
