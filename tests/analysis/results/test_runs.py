import subprocess
import sys

import pandas as pd
import pytest

import perfkit as pk
from perfkit.errors import UnsafeFile, UsageError
from tests.run_files import failure, request, write_run


@pytest.fixture
def folder(tmp_path):
    """Two runs in one file: 10 answers, 1 failure and a preflight; 10 slower answers on another GPU."""
    path = tmp_path / "both.db"
    preflight = request(None, -1, phase="preflight")
    fast = [request(i, i, ttft=0.1 * (i + 1)) for i in range(10)]
    write_run(path, [preflight, *fast, failure(10, 10)], name="fast", parallel=1, tags={"gpu": "A100"})
    slow = [request(i, i, ttft=0.2 * (i + 1)) for i in range(10)]
    write_run(path, slow, name="slow", parallel=8, tags={"gpu": "H100"})
    return tmp_path


@pytest.fixture
def runs(folder):
    return pk.open(folder)


def test_requests_hold_failures_but_neither_preflight_nor_bodies(runs):
    assert len(runs["fast"].requests) == 11
    assert len(runs["fast"].preflight) == 1
    assert not {"request", "response_messages", "prompt_text", "output_text", "chunks"} & set(runs.requests)


def test_times_count_from_the_first_request_of_the_load(runs):
    assert runs["fast"].requests["t"].tolist() == pytest.approx(list(range(11)))
    assert runs["fast"].preflight["t"].tolist() == pytest.approx([-1])


def test_an_index_stays_with_its_row_through_filters_and_choices(runs):
    slow = runs.pick("slow").where("ttft > 1.5").requests
    assert runs.requests.loc[slow.index, "ttft"].tolist() == pytest.approx([1.6, 1.8, 2.0])
    assert runs.requests.index.is_unique


def test_runs_added_to_themselves_have_rows_of_their_own(runs):
    twice = runs + runs
    assert len(twice) == 4
    assert len(set(twice.labels)) == 4
    assert twice.requests.index.is_unique
    assert len(twice.requests) == 2 * len(runs.requests)


def test_two_filters_of_one_run_can_be_laid_side_by_side(runs):
    fast = runs["fast"]
    both = fast.where("ttft < 0.45").rename("quick") + fast.where("ttft >= 0.45").rename("late")
    assert both.requests.groupby("run", sort=False).size().to_dict() == {"quick": 4, "late": 6}


@pytest.mark.parametrize(
    ("condition", "kept"),
    [
        ("ttft > 500ms", 5),
        ("first_chunk_latency <= 0.5", 5),
        ("success = 0", 1),
        ("gpu = 'A100' and t < 3", 3),
        ("parallel = 8", 0),
        ("itl_p95 >= 250ms", 10),
        ("itl_mean is null", 1),
        ("itl_p50 > 0 and error_kind is null and run = 'fast'", 10),
        ("prompt_text = 'prompt 3'", 1),
    ],
)
def test_where_reads_columns_metrics_settings_and_tags(runs, condition, kept):
    assert len(runs["fast"].where(condition).requests) == kept


@pytest.mark.slow
def test_where_takes_a_mask_and_keeps_what_it_names(runs):
    requests = runs.requests
    chosen = runs.where(requests["ttft"] > 1.5)
    assert chosen.requests["run"].unique().tolist() == ["slow"]
    assert chosen.where("t < 9").requests["ttft"].tolist() == pytest.approx([1.6, 1.8])


@pytest.mark.parametrize(
    ("condition", "sentence"),
    [
        ("tttf > 1", "did you mean 'ttft'"),
        ("itl > 1ms", "itl_mean"),
        ("ttft > 1 & tpot > 1", "write 'and'"),
        ("first_chunk_latency > '100ms'", "is a number and '100ms' a string; write numbers without quotes"),
        ("success = 1 and not status_code in ('ok', 200)", "status_code is a number and 'ok' a string"),
    ],
)
def test_a_filter_that_cannot_be_read_says_what_to_write(runs, condition, sentence):
    with pytest.raises(UsageError, match=sentence):
        runs.where(condition)


def test_a_mask_must_be_of_bools(runs):
    with pytest.raises(UsageError, match="mask"):
        runs.where(runs.requests["ttft"])


@pytest.mark.slow
def test_rates_after_a_filter_on_outcomes_are_unknown_and_say_why(runs):
    summary = runs.where("ttft > 0.5").summary()
    assert summary.rates["output_throughput"].isna().all()
    assert "by their outcome" in str(summary)


@pytest.mark.slow
def test_rates_after_a_filter_on_what_was_asked_stay(runs):
    assert runs.where("prompt_tokens > 1").summary().rates["output_throughput"].notna().all()


@pytest.mark.slow
def test_groups_that_cut_runs_have_no_rates(runs):
    summary = runs.summary(by="finish_reason")
    assert summary.rates["concurrency"].isna().all()
    assert "part" in str(summary)


def test_pick_takes_labels_patterns_settings_and_lists(runs):
    assert runs.pick("s*").labels == ["slow"]
    assert runs.pick("slow", "fast").labels == ["slow", "fast"]
    assert runs.pick(parallel=[8, 32]).labels == ["slow"]
    assert runs.pick(gpu="A*").labels == ["fast"]


@pytest.mark.parametrize("choice", [{"gpu": "B200"}, {"gpus": "A100"}])
def test_pick_of_nothing_is_an_error(runs, choice):
    with pytest.raises(UsageError, match="gpu"):
        runs.pick(**choice)


def test_a_run_is_found_by_position_and_by_label(runs):
    assert runs[0].labels == runs["fast"].labels == ["fast"]
    assert [run.labels for run in runs] == [["fast"], ["slow"]]
    with pytest.raises(KeyError, match="did you mean 'slow'"):
        runs["slo"]


def test_tags_and_names_are_given_without_touching_the_file(runs, folder):
    named = runs.rename("one", "two").tag(lab="north")
    assert named.labels == ["one", "two"]
    assert named.requests["lab"].unique().tolist() == ["north"]
    assert pk.open(folder).labels == ["fast", "slow"]


def test_decoding_brings_dicts_and_texts(runs):
    row = runs["fast"].where("seq = 3").decoded().iloc[0]
    assert row["request"] == {"model": "m", "messages": [{"role": "user", "content": "prompt 3"}]}
    assert row["response_messages"][0] == {"choices": [{"delta": {"content": "a"}}]}
    assert (row["prompt"], row["output_text"], row["refused"]) == ("prompt 3", "aaa", None)


def test_decoded_requests_have_their_own_prompt_where_the_run_was_given_one(tmp_path):
    path = write_run(tmp_path / "a.db", [request(0)], arguments={"prompt": "@asked.txt"})
    assert list(pk.open(path).decoded()["prompt"]) == ["prompt 0"]


def test_a_refused_cell_is_flagged_and_its_neighbours_load(tmp_path):
    evil = request(0, request="Y29zCnN5c3RlbQou", prompt_text=None)
    path = write_run(tmp_path / "evil.db", [evil, request(1, 1)])
    decoded = pk.open(path).decoded()
    assert decoded["request"].tolist()[0] is None
    assert "no pickle" in decoded["refused"].iloc[0]
    assert decoded["prompt"].iloc[1] == "prompt 1"


@pytest.mark.slow
def test_one_bad_file_of_two_is_listed_not_raised(folder):
    (folder / "bad.db").write_bytes(b"no database at all")
    runs = pk.open(folder)
    assert len(runs) == 2
    assert [problem.path for problem in runs.problems] == [str(folder / "bad.db")]
    assert "not opened" in str(runs.summary())


def test_a_single_bad_file_is_raised(tmp_path):
    (tmp_path / "bad.db").write_bytes(b"no database at all")
    with pytest.raises(UnsafeFile, match="not a SQLite file"):
        pk.open(tmp_path / "bad.db")


def test_failures_count_kinds_with_an_example(runs):
    (row,) = runs.failures().to_dict("records")
    assert (row["run"], row["error_kind"], row["count"], row["example"]) == ("fast", "http_status", 1, "boom")
    assert row["share"] == pytest.approx(1 / 11)


def test_goodput_counts_requests_that_meet_every_objective(runs):
    # 3 of the fast run's TTFT are within 0.35 s. Its window opens after the first round, which holds one of them, and
    # closes 9 s later, when the last request is sent.
    assert runs.goodput({"ttft": "350ms", "e2e": 10})["fast"] == pytest.approx(2 / 9)
    with pytest.raises(UsageError, match=r"an objective of each request reads .ttft < 500ms., got one of its p95"):
        runs.goodput({"ttft": ("p95", 0.5)})


@pytest.mark.parametrize("limit", [350, 350.0, "350"])
def test_a_bound_of_minutes_without_a_unit_is_asked_about(runs, limit):
    with pytest.raises(UsageError, match="would be 350 seconds: write '350ms'"):
        runs.goodput({"ttft": limit})
    assert (runs.goodput({"ttft": "350s"}) >= runs.goodput({"ttft": 9.9})).all()


def test_chunks_have_a_row_each_with_gaps_within_their_request(runs):
    chunks = runs["fast"].chunks
    assert len(chunks) == 30
    first = chunks[chunks["seq"] == 0]
    assert first["arrival"].tolist() == pytest.approx([0.1, 0.35, 0.6])
    assert pd.isna(first["gap"].iloc[0])
    assert set(chunks["kind"]) == {"content"}
    assert not chunks["censored"].any()


@pytest.mark.slow
def test_texts_of_files_are_escaped_in_a_notebook(tmp_path):
    path = write_run(tmp_path / "x.db", [request(0)], name="<img src=x onerror=alert(1)>")
    html = pk.open(path)._repr_html_()
    assert "<img" not in html
    assert "&lt;img" in html


def test_a_narrow_scan_never_walks_the_pages_of_the_texts(runs):
    run = runs.members[0]
    sql, parameters = run.query(["start_time", "latency", "first_chunk_latency", "prompt_tokens"], "steady")
    plan = " ".join(row[3] for row in run.source.connection.execute(f"EXPLAIN QUERY PLAN {sql}", parameters))
    assert "COVERING INDEX result_narrow" in plan
    assert "TEMP B-TREE" not in plan


def test_a_run_keeps_its_place_in_the_palette_when_others_leave(runs):
    assert runs.pick("slow").palette == ("fast", "slow")
    assert runs.rename(slow="late").pick("late").palette == ("fast", "late")


@pytest.mark.slow
def test_a_file_that_is_saved_opens_with_the_same_rows_and_tags(runs, tmp_path):
    path = runs.where("ttft > 1 or success = 0").tag(lab="north").save(tmp_path / "saved.db")
    saved = pk.open(path)
    assert saved.labels == ["fast", "slow"]
    assert saved.pick("slow").requests["ttft"].tolist() == pytest.approx([1.2, 1.4, 1.6, 1.8, 2.0])
    assert saved.requests["lab"].unique().tolist() == ["north"]
    assert saved.decoded()["prompt"].iloc[-1] == "prompt 9"


def test_a_file_saved_without_bodies_keeps_the_numbers(runs, tmp_path):
    saved = pk.open(runs.save(tmp_path / "thin.db", body=False))
    assert saved.percentiles("ttft").equals(runs.percentiles("ttft"))
    assert saved.decoded()["prompt"].isna().all()


def test_saving_never_overwrites(runs, folder):
    with pytest.raises(UsageError, match="exists"):
        runs.save(folder / "both.db")


@pytest.mark.slow
def test_trim_chooses_the_steady_state_by_count_share_and_time(runs):
    fast = runs["fast"]
    assert fast.trim(warmup=3).steady["seq"].min() == 3
    assert fast.trim(warmup=0.2).steady["seq"].min() == 2
    assert fast.trim(warmup="2500ms").steady["seq"].min() == 3
    # The failure's second ends the run at 11 s.
    assert fast.trim(cooldown="4s").steady["seq"].max() == 7
    assert fast.trim(warmup=3, cooldown=2).steady["seq"].tolist() == [3, 4, 5, 6, 7, 8]
    assert "3 warm-up, 2 cool-down" in str(fast.trim(warmup=3, cooldown=2).summary())


@pytest.mark.slow
def test_stored_warm_up_is_left_out_until_trim_takes_it_in(tmp_path):
    rows = [request(0, 0, phase="warmup", ttft=9.0), request(1, 1), request(2, 2)]
    runs = pk.open(write_run(tmp_path / "w.db", rows))
    assert runs.percentiles("ttft")["n"].tolist() == [2]
    assert runs.trim().percentiles("ttft")["n"].tolist() == [3]
    assert "left out: 1 warm-up" in str(runs)


def test_show_decodes_the_slowest_with_prompt_and_answer(runs):
    shown = runs.show("slowest", 2)
    assert shown.frame["run"].tolist() == ["slow", "slow"]
    assert shown.frame["seq"].tolist() == [9, 8]
    assert "> prompt 9" in str(shown)
    assert "failed: http_status" in str(runs.show("failed"))


@pytest.mark.slow
def test_numbers_of_different_origin_are_named(tmp_path):
    write_run(tmp_path / "x.db", [request(0)], name="ours")
    write_run(tmp_path / "x.db", [request(0)], name="theirs", basis='{"ttft": "stored:vllm"}')
    assert "ttft is not measured the same way: stamps (ours), stored:vllm (theirs)" in str(pk.open(tmp_path))


@pytest.mark.slow
def test_a_file_without_a_metric_is_of_no_other_origin(tmp_path):
    write_run(tmp_path / "x.db", [request(0)], name="ours")
    write_run(tmp_path / "x.db", [request(0)], name="theirs", basis='{"itl": null, "ttft": "stored:vllm"}')
    shown = str(pk.open(tmp_path))
    assert "ttft is not measured the same way" in shown
    assert "itl is not measured" not in shown


def test_percentiles_come_with_intervals_when_asked_for(tmp_path):
    rows = [request(i, i, ttft=0.1 + (i * 37 % 100) / 1000) for i in range(100)]
    table = pk.open(write_run(tmp_path / "i.db", rows)).percentiles("ttft", [50, 99], intervals=True)
    (row,) = table.to_dict("records")
    assert row["p50_low"] < row["p50"] < row["p50_high"]
    assert row["mean_low"] < row["mean"] < row["mean_high"]
    assert pd.isna(row["p99_low"])


def test_batches_hold_the_same_rows_as_requests(runs):
    batches = pd.concat(list(runs.batches("run", "ttft", "gpu")))
    assert batches["ttft"].equals(runs.requests["ttft"])
    assert batches["gpu"].tolist() == runs.requests["gpu"].tolist()


@pytest.mark.slow
def test_requests_go_to_parquet_and_back(runs, tmp_path):
    pytest.importorskip("pyarrow")
    path = runs.to_parquet(tmp_path / "r.parquet")
    assert pd.read_parquet(path)["ttft"].tolist() == pytest.approx(runs.requests["ttft"].tolist(), nan_ok=True)


@pytest.mark.processes
def test_a_summary_does_not_wait_for_scipy_stats():
    # It takes longer to load than four thousand requests take to be summed up.
    program = "import sys, perfkit.analysis.results.runs; sys.exit('scipy.stats' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize(
    ("condition", "sentence"),
    [
        ("model = GPT", r"where: nothing is called 'GPT'; strings need quotes: model = 'GPT'$"),
        ("A != model", r"nothing is called 'A'; strings need quotes: model = 'A'$"),
        ("TTFT > 20ms", r"no column 'TTFT'; did you mean 'ttft'\?$"),
        ("zzzzz > 1", r"no column 'zzzzz' \(known: \w+, \w+, \w+ and \d+ more\); runs.requests.columns"),
    ],
)
def test_a_name_that_nothing_has_is_a_line_that_says_what_to_write(runs, condition, sentence):
    with pytest.raises(UsageError, match=sentence) as caught:
        runs.where(condition)
    assert len(str(caught.value)) < 160


# A container ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def many(tmp_path):
    for parallel in (2, 14, 6):
        path = tmp_path / f"tp{parallel}.db"
        write_run(path, [request(0), request(1, 1, ttft=1.0)], name=f"tp{parallel}", run_id=str(parallel))
    return pk.open(tmp_path)


def test_files_are_opened_in_the_order_of_their_numbers(many, tmp_path):
    assert many.labels == pk.open(tmp_path / "*.db").labels == ["tp2", "tp6", "tp14"]


def test_runs_are_picked_by_patterns_and_lists(many):
    assert many["tp1*"].labels == ["tp14"]
    assert many["tp?"].labels == ["tp2", "tp6"]
    assert many[["tp14", "tp2"]].labels == many[[2, 0]].labels == ["tp14", "tp2"]
    assert many[["tp14", "tp*"]].labels == ["tp14", "tp2", "tp6"]
    assert many[("tp2", -1)].labels == ["tp2", "tp14"]
    assert many[[]].labels == []


@pytest.mark.parametrize("key", ["tp3", "x*", ["tp2", "x*"], [9]])
def test_a_run_that_is_not_there_is_an_error(many, key):
    with pytest.raises((KeyError, IndexError)):
        many[key]


def test_a_label_that_looks_like_a_pattern_is_that_run(many):
    assert many.rename("a*", "ab", "ac")["a*"].labels == ["a*"]


def test_a_union_counts_no_run_twice(many, tmp_path):
    both = many[:2] | pk.open(tmp_path / "tp6.db", tmp_path / "tp14.db")
    assert both.labels == ["tp2", "tp6", "tp14"]
    assert len(both.requests) == 6
    assert both.requests.index.is_unique
    assert (many | many) == many


def test_a_union_keeps_other_rows_of_the_same_run(many):
    apart = many["tp2"].where("ttft < 0.75") | many["tp2"].where("ttft > 0.75")
    assert len(apart) == 2
    assert len(apart.requests) == 2


def test_in_asks_for_labels_and_for_runs(many):
    assert "tp2" in many
    assert "tp*" not in many
    assert many["tp6"] in many
    assert many not in many["tp6"]
    assert many["tp6"].where("ttft > 0.75") not in many
    assert 3 not in many


def test_runs_are_equal_that_show_the_same_rows(many, tmp_path):
    assert many == pk.open(tmp_path)
    assert hash(many) == hash(pk.open(tmp_path))
    assert many != many[::-1]
    assert many != many.where("ttft > 0.75")
    assert many.where("ttft > 0.75") == many.where("ttft > 750ms")
    assert many != many.rename("a", "b", "c")
    assert many != 3


def test_two_frames_are_not_the_same_runs():
    frame = pd.DataFrame({"ttft": [0.1]})
    one, other = pk.from_frame(frame, run="a"), pk.from_frame(frame, run="a")
    assert one == one[:]
    assert one != other
    assert len(one | other) == 2
