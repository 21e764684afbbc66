"""What servers published: by common names, whoever they are, and what of it each request knows."""

import sqlite3
from contextlib import closing

import numpy as np
import pytest

import perfkit as pk
from perfkit.analysis.query.server_names import QUANTITIES
from tests.published import page, publish
from tests.run_files import START, request, write_run

NAN = float("nan")
MIB = 1024 * 1024


@pytest.fixture
def path(tmp_path):
    """A run of four requests, two seconds apart."""
    return write_run(tmp_path / "r.db", [request(seq, 2.0 * seq) for seq in range(4)])


def told(path, *looks, **where):
    """Return ``runs.server`` of a run with looks at a page."""
    return pk.open(publish(path, *looks, **where)).server


KNOWN = {
    "vllm-0.6": {"running": 8, "waiting": 3, "kv_cache_use": 0.25, "preemptions": 0},
    "vllm-0.9": {"running": 16, "waiting": 5, "kv_cache_use": 0.5, "preemptions": 0},
    # Two engines: requests add up, shares are averaged.
    "vllm-0.32": {"running": 22, "waiting": 7, "kv_cache_use": 0.625, "preemptions": 0},
    "sglang": {"running": 162, "waiting": 2826, "kv_cache_use": 0.28, "prefix_cache_hits": 0.0075, "preemptions": 0},
    "tgi": {"running": 12, "waiting": 7},
    "llamacpp-2024": {"running": 4, "waiting": 9, "kv_cache_use": 0.125},
    "llamacpp": {"running": 2, "waiting": 0},
    "triton-trtllm": {
        **{"running": 6, "waiting": 3, "kv_cache_use": 0.4875},
        **{"power": 210.5, "utilisation": 0.5, "memory": MIB},
    },
    "trtllm-serve": {"running": 5, "waiting": 2, "kv_cache_use": 0.375, "prefix_cache_hits": 0.5},
    "dynamo-frontend": {"running": 12, "waiting": 4},
    "dynamo-worker": {"kv_cache_use": 0.0625, "prefix_cache_hits": 0.25},
    "litellm": {"running": 11},
    # Two GPUs: watts and bytes add up, utilisation is averaged.
    "dcgm": {"power": 792.5, "utilisation": 0.75, "memory": 80_000 * MIB},
    "dcgm-1": {"power": 10.101, "utilisation": 0.25, "memory": 16 * MIB},
}
"""What is known after two looks at each of the pages, worked out by hand."""


@pytest.mark.parametrize("name", KNOWN)
def test_a_page_of_each_server_is_read_by_common_names(path, name):
    last = told(path, (-1.0, page(name)), (0.0, page(name))).iloc[-1]
    assert {column: last[column] for column in QUANTITIES if last[column] == last[column]} == pytest.approx(KNOWN[name])


def test_every_look_is_a_row_with_its_time(path):
    table = told(path, (-1.0, page("tgi")), (0.0, None), (1.0, page("tgi")))
    assert table["time"].tolist() == [START - 1, START, START + 1]
    assert table["t"].tolist() == [-1, 0, 1]
    assert table["up"].tolist() == [True, False, True]
    assert table["waiting"].tolist() == pytest.approx([7, NAN, 7], nan_ok=True)
    assert set(table["page"]) == {"http://h/metrics"}
    assert list(table.columns) == ["run", "page", "time", "t", "up", *QUANTITIES]


def test_a_run_that_nobody_looked_at_has_no_rows_but_the_columns(path):
    table = pk.open(path).server
    assert len(table) == 0
    assert list(table.columns) == ["run", "page", "time", "t", "up", *QUANTITIES]


def counters(queries, hits, preemptions):
    """Return a page with vLLM's counters."""
    values = {"prefix_cache_queries": queries, "prefix_cache_hits": hits, "num_preemptions": preemptions}
    return "".join(f"# TYPE vllm:{name}_total counter\nvllm:{name}_total {value}\n" for name, value in values.items())


def test_of_counters_what_they_grew_by_since_the_look_before_is_told(path):
    table = told(
        path,
        (0.0, counters(1000, 900, 5)),
        (1.0, counters(1100, 925, 5)),
        (3.0, counters(1100, 925, 9)),
        (4.0, counters(10, 0, 0)),  # the server was started anew
        (5.0, counters(20, 10, 1)),
    )
    assert table["prefix_cache_hits"].tolist() == pytest.approx([NAN, 0.25, NAN, NAN, 1.0], nan_ok=True)
    assert table["preemptions"].tolist() == pytest.approx([NAN, 0, 2, NAN, 1], nan_ok=True)


def test_what_llama_cpp_had_cached_is_a_share_of_all_tokens_of_prompts(path):
    def counted(cached, processed):
        names = {"prompt_tokens_cached_total": cached, "prompt_tokens_total": processed}
        return "".join(f"# TYPE llamacpp:{name} counter\nllamacpp:{name} {value}\n" for name, value in names.items())

    table = told(path, (0.0, counted(100, 50)), (1.0, counted(130, 60)))
    assert table["prefix_cache_hits"].iloc[-1] == pytest.approx(0.75)


def test_a_share_below_zero_is_unknown(path):
    assert np.isnan(told(path, (0.0, page("vllm-0.6")))["prefix_cache_hits"].iloc[0])


def test_a_summary_says_which_looks_were_in_vain(tmp_path):
    def notes(name, *looks, **record):
        path = write_run(tmp_path / f"{name}.db", [request(seq, 2.0 * seq) for seq in range(4)], name=name, **record)
        return [note for note in pk.open(publish(path, *looks) if looks else path).summary().notes if "publish" in note]

    assert notes("a", (0.0, page("tgi")), (1.0, None), (2.0, page("tgi"))) == [
        "a: 1 of 3 looks at http://h/metrics failed, and what it published then is not known"
    ]
    assert notes("b", (0.0, None), (1.0, None)) == [
        "b: every look at http://h/metrics failed, and what it published then is not known"
    ]
    assert notes("c", arguments={"scrape": True}) == [
        "c: nothing is stored of what its server published, though scrape asked for it"
    ]
    assert notes("d") == notes("e", (0.0, page("tgi"))) == []


def test_what_is_published_no_more_is_unknown(path):
    gauge = "# TYPE tgi_queue_size gauge\ntgi_queue_size 7\n"
    table = told(path, (0.0, gauge), (1.0, "other 1\n"), (2.0, gauge))
    assert table["waiting"].tolist() == pytest.approx([7, NAN, 7], nan_ok=True)


def waiting(count):
    """Return a page with a queue."""
    return f"# TYPE vllm:num_requests_waiting gauge\nvllm:num_requests_waiting {count}\n"


def test_each_request_knows_what_was_published_last_before_it(path):
    publish(path, (-0.5, waiting(3)), (1.9, waiting(5)), (2.1, waiting(7)), (3.0, None), (5.9, waiting(9)))
    runs = pk.open(path)
    # The third is sent at 4.0: the look before it, at 3.0, was in vain.
    assert runs.requests["server_waiting"].tolist() == pytest.approx([3, 5, NAN, 9], nan_ok=True)
    assert runs.column("waiting_at_start")["waiting_at_start"].tolist() == pytest.approx([3, 5, NAN, 9], nan_ok=True)
    assert runs.requests["server_kv_cache"].isna().all()


def test_what_is_older_than_two_and_a_half_seconds_is_not_known(path):
    publish(path, (-0.4, waiting(3)))
    assert pk.open(path).requests["server_waiting"].tolist() == pytest.approx([3, 3, NAN, NAN], nan_ok=True)


def test_requests_are_chosen_by_the_queue_that_they_met_and_their_rates_stay(path):
    publish(path, *((at - 0.5, waiting(at)) for at in (0, 2, 4, 6)))
    chosen = pk.open(path).where("server_waiting > 4")
    assert chosen.requests["seq"].tolist() == [3]
    assert not chosen.by_outcome


def test_two_replicas_queues_add_up_and_a_front_end_counts_where_no_engine_does(path):
    publish(path, (-0.5, waiting(3)), url="http://a/metrics")
    publish(path, (-0.3, waiting(4)), url="http://b/metrics")
    publish(path, (-0.2, page("dynamo-frontend")), url="http://c/metrics")
    first = pk.open(path).requests.iloc[0]
    assert (first["server_waiting"], first["server_running"]) == (7, 12)


def test_the_power_that_gpus_published_makes_the_energy_of_a_token(path):
    watts = '# TYPE DCGM_FI_DEV_POWER_USAGE gauge\nDCGM_FI_DEV_POWER_USAGE{{gpu="0"}} {}\n'
    publish(path, *((float(at), watts.format(300 if at % 2 else 500)) for at in range(-1, 9)))
    runs = pk.open(path)
    (row,) = runs.summary().rates.to_dict("records")
    low, high = (at - START for at in runs.members[0].rate_window)
    # Each look's value counts until the next one, a second later.
    looks = [max(0.0, min(at + 1, high) - max(at, low)) * (300 if at % 2 else 500) for at in range(-1, 9)]
    assert row["energy_per_output_token"] == pytest.approx(sum(looks) / (high - low) / row["output_throughput"])
    (told,) = runs.tag(power="800").summary().rates.to_dict("records")
    assert told["energy_per_output_token"] == pytest.approx(800 / row["output_throughput"])


def test_runs_of_one_file_know_their_own_servers(tmp_path):
    paths = [write_run(tmp_path / f"{name}.db", [request(0)], name=name) for name in "ab"]
    for count, each in enumerate(paths):
        publish(each, (-0.5, waiting(count)))
    pk.open(paths).save(tmp_path / "both.db")
    both = pk.open(tmp_path / "both.db").requests
    assert both.set_index("run")["server_waiting"].to_dict() == {"a": 0, "b": 1}


def test_cells_that_are_not_what_they_should_be_are_unknown(path):
    publish(path, (-0.5, waiting(3)))
    with closing(sqlite3.connect(path)) as file:
        file.execute("UPDATE server_series SET labels = '[1' WHERE name LIKE 'vllm%'")
        file.execute("INSERT INTO server_sample SELECT series, ?, 'many' FROM server_series", [START - 0.4])
        file.execute("INSERT INTO server_sample SELECT series, 'soon', 1.0 FROM server_series")
        file.commit()
    runs = pk.open(path)
    assert runs.server["up"].tolist() == [True, False]
    assert np.isnan(runs.requests["server_waiting"].iloc[0])


@pytest.mark.slow
def test_why_slow_ranks_the_queue(tmp_path):
    rng = np.random.default_rng(1)
    queue = rng.integers(0, 20, 100)
    rows = [
        request(each, at + 0.5, ttft=float(0.1 + 0.02 * queue[at] + rng.normal(0, 0.01)))
        for at in range(100)
        for each in (4 * at, 4 * at + 1, 4 * at + 2, 4 * at + 3)
    ]
    path = write_run(tmp_path / "r.db", rows)
    publish(path, *((float(at), waiting(int(count))) for at, count in enumerate(queue)))
    found = pk.open(path).why_slow("ttft > p80")
    assert found.table["column"].iloc[0] == "server_waiting"
    assert found.sentences[0].startswith("requests in the server's queue at its start: ")
