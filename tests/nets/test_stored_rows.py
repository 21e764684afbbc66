"""Seeded runs against the simulator: every stored value that does not depend on the clock, and the order of times."""

import base64
import json
import pickle
import sqlite3
from contextlib import closing
from itertools import pairwise

import pytest

import perfkit as pk
from tests.nets.golden import ROOT, RUNS, agrees, plain

pytestmark = pytest.mark.processes

SAMPLE = ROOT / "sample_data"
SERVER = {"ttft": 0.01, "itl": 0.001, "output_tokens": 5, "seed": 3}
ASKED = {"number": 6, "parallel": 1, "workers": 0, "preflight": False, "dataset": "sample"}
TURNS = {"dataset": "multi_turn", "dataset_path": str(SAMPLE / "share_gpt.json"), "number": 4}
OPEN = {"parallel": None, "rate": 200.0, "number": 12, "arrival_seed": 7}

RUN_KINDS = {
    "streamed": ({"style": "vllm", "cached_tokens": 3}, {"max_tokens": 5, "temperature": 0.5, "seed": 9}),
    "failing": ({"fail_every": 3, "fail_status": 503}, {}),
    "cut off": ({"drop_every": 3}, {}),
    "not streamed": ({}, {"stream": False}),
    "not streamed failing": ({"fail_every": 2, "fail_status": 429}, {"stream": False}),
    "many turns": ({}, TURNS),
    "two answers": ({}, {"n_choices": 2, "number": 3}),
    "reasoning": ({"reasoning_tokens": 2}, {}),
    "without usage": ({"usage": "never"}, {"tokenizer_path": str(SAMPLE / "tokenizer")}),
    "uncounted": ({"usage": "never"}, {}),
    "several tokens an event": ({"tokens_per_event": 2}, {}),
    "llama.cpp": ({"style": "llama.cpp", "text": "emoji"}, {}),
    "transformers": ({"style": "transformers", "crlf": True, "done": False}, {}),
    "completions": ({}, {"api": "completions"}),
    "responses": ({}, {"api": "responses"}),
    "anthropic": ({}, {"api": "anthropic", "max_tokens": 5}),
    "shuffled": ({}, {"shuffle": True, "prompt_seed": 5, "dataset_offset": 2, "max_prompt_length": 200}),
    "template": ({}, {"query_template": '{"model": "%m", "messages": [{"role": "user", "content": "%p"}]}'}),
    "warm-up": ({}, {"warmup": 2}),
}
"""What the simulator is told, and what is asked, beside SERVER and ASKED."""

CLOCK = {
    *(
        "start_time",
        "completed_time",
        "latency",
        "first_chunk_latency",
        "first_answer_latency",
        "inter_token_latencies",
        "scheduled_time",
    ),
    *("time_per_output_token", "dns_time", "connect_time", "tls_time", "written_time", "headers_time"),
    *("first_byte_time", "last_token_time", "stamp_lag"),
}
"""Columns that a clock fills."""

BY_LUCK = {"dns_time", "stamp_lag", "inter_token_latencies", "time_per_output_token"}
"""Of these, columns that are unknown where a busy machine hands over an answer in one read."""

DRAWN = {"run_id", "request_id", "connection", "stamp_source"}
"""Columns that differ from run to run, or between systems."""


def rows(path, table="result", order="rowid"):
    """Return the rows of a table as a program that knows sqlite alone reads them."""
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(f"SELECT * FROM {table} ORDER BY {order}")]


def cell(text):
    """Read a cell as the programs do that people have: base64 of a pickle."""
    return None if text is None else pickle.loads(base64.b64decode(text))


def stored(row):
    """Return what a row holds that no clock decides, bodies and answers decoded; flags without those of timing."""
    kept = {name: value for name, value in row.items() if name not in CLOCK | DRAWN | {"chunks"}}
    kept["request"], kept["response_messages"] = cell(row["request"]), cell(row["response_messages"])
    kept["response_headers"] = row["response_headers"] and json.loads(row["response_headers"])
    kept["flags"] = sorted(flag for flag in (row["flags"] or "").split() if not flag.startswith("censored"))
    kept["error"] = bool(row["error"])
    kept["clock"] = sorted(name for name in CLOCK if row[name] is not None and name not in BY_LUCK)
    kept["chunks"] = row["chunks"] is not None
    return kept


def hold_their_order(row):
    """Assert that the times of a row stand in the order in which things happen, and durations are their differences."""
    known = {name: row[name] for name in CLOCK if row[name] is not None}
    slack = 1e-3  # kernel stamps and user stamps are of two clocks, lined up
    # Headers have a user stamp: where the client was late, chunks with a kernel stamp are older than they.
    for order in (
        ("scheduled_time", "start_time", "headers_time", "completed_time"),
        *(("start_time", name, "completed_time") for name in ("written_time", "first_byte_time", "last_token_time")),
    ):
        times = [known[name] for name in order if name in known]
        assert all(one <= other + slack for one, other in pairwise(times)), [each - times[0] for each in times]
    if row["latency"] is not None:
        assert row["latency"] == pytest.approx(row["completed_time"] - row["start_time"], abs=1e-5)
    if row["first_chunk_latency"] is not None:
        gaps = json.loads(row["inter_token_latencies"])
        assert 0 < row["first_chunk_latency"] <= row["latency"]
        if gaps and cell(row["request"]).get("n", 1) == 1:  # else the gaps are those of each answer
            last = row["last_token_time"] - row["start_time"]
            assert row["first_chunk_latency"] + sum(gaps) == pytest.approx(last, abs=1e-5)
        assert min(gaps, default=0) >= 0
    assert row["stamp_source"] in ("kernel", "user", "plugin")


def chunks(runs):
    """Return the kinds of the chunks of each answer."""
    found = runs.chunks
    kinds = found["kind"] + found["choice"].map(lambda choice: f" {choice}" if choice else "")
    return {str(request): list(each) for request, each in kinds.groupby(found["request"])}


@pytest.fixture(scope="module")
def measure(tmp_path_factory):
    def run(server, asked):
        path = tmp_path_factory.mktemp("runs") / "a.db"
        with pk.simulate(**SERVER, **server) as simulated:
            job = pk.start(simulated.url, db=str(path), model="simulated", name="n", **{**ASKED, **asked})
            return path, job.wait()

    return run


@pytest.mark.parametrize("name", RUN_KINDS)
def test_a_seeded_run_stores_what_it_stored(measure, name):
    path, runs = measure(*RUN_KINDS[name])
    found = rows(path, order="seq")
    for row in found:
        hold_their_order(row)
    (run,) = rows(path, "run")
    held = ("name", "model", "api", "load", "parallel", "rate", "number", "status", "sent", "succeeded", "failed")
    said = {"rows": [stored(row) for row in found], "chunks": chunks(runs), "run": {each: run[each] for each in held}}
    agrees("rows", name, plain(said, folder=ROOT))


def test_the_open_model_is_due_when_its_seed_says(measure):
    path, _ = measure({}, OPEN)
    found = rows(path, order="seq")
    for row in found:
        hold_their_order(row)
    due = [row["scheduled_time"] - found[0]["scheduled_time"] for row in found]
    prompts = [row["prompt_hash"] for row in found]
    agrees("rows", "open", plain({"due": due, "prompts": prompts, "phases": [row["phase"] for row in found]}))


@pytest.mark.parametrize("arrival", ["constant", "gamma"])
def test_other_arrivals_are_due_when_their_seed_says(measure, arrival):
    path, _ = measure({}, {**OPEN, "arrival": arrival, "burstiness": 0.5 if arrival == "gamma" else 1.0})
    due = [row["scheduled_time"] for row in rows(path, order="seq")]
    agrees("rows", f"open {arrival}", plain({"due": [each - due[0] for each in due]}))


def test_a_sweep_in_a_process_of_its_own_stores_its_points(measure):
    path, runs = measure({}, {"parallel": [1, 2], "number": [3, 4], "workers": 1, "tags": {"gpu": "x"}, "note": "why"})
    kept = ("name", "note", "tags", "point", "parallel", "number", "sent", "succeeded", "failed", "status", "source")
    found = [{name: run[name] for name in kept} for run in rows(path, "run", "point")]
    counted = runs.requests.groupby("run")["seq"].apply(lambda seqs: sorted(int(seq) for seq in seqs)).to_dict()
    agrees("rows", "sweep", plain({"runs": found, "labels": runs.labels, "seqs": counted}))


def test_the_preflight_request_is_kept_apart(measure):
    _, runs = measure({}, {"preflight": True, "number": 2})
    one = runs.preflight
    said = {"requests": len(runs.requests), "preflight": len(one), "success": plain(one["success"].tolist())}
    agrees("rows", "preflight", {**said, "prompt_tokens": plain(one["prompt_tokens"].tolist())})


def test_a_file_keeps_its_tables_and_columns(measure):
    """More may be added; what others read keeps its name and type, and the first fourteen of result their places."""
    path, _ = measure({}, {"number": 1})
    for each in (path, RUNS):
        with closing(sqlite3.connect(each)) as connection:
            names = "SELECT name, type FROM sqlite_master WHERE type IN ('table', 'view') ORDER BY name"
            tables = connection.execute(names).fetchall()
            found = {
                f"{kind} {name}": {each[1]: each[2] for each in connection.execute(f"PRAGMA table_info({name})")}
                for name, kind in tables
            }
            found["first of result"] = list(found["table result"])[:14]
            found["application_id"] = connection.execute("PRAGMA application_id").fetchone()[0]
            samples = [name for (name,) in connection.execute("SELECT DISTINCT name FROM sample ORDER BY name")]
        agrees("rows", f"schema {'now' if each == path else 'of the first format'}", found)
        assert "cpu_share" in samples


def test_capacity_counts_what_misses_its_objectives(tmp_path):
    with pk.simulate(ttft=0.01, itl=0.001, output_tokens=2) as server:
        found = pk.capacity(
            server.url,
            slo={"ttft": ("p50", "1ms"), "e2e": ("p90", 10)},
            low=200,
            points=1,
            number=60,
            db=str(tmp_path / "a.db"),
            workers=0,
        )
    kept = ["load", "objective", "n", "failed"]  # what holds depends on the verdict, so on what else runs
    agrees("rows", "capacity", plain({"table": found.table[kept], "columns": list(found.table.columns)}))


def test_a_replay_sends_the_same_bodies_at_the_same_times(measure, tmp_path):
    path, _ = measure({}, OPEN)
    with pk.simulate(**SERVER) as server:
        pk.replay(str(path), url=server.url, db=str(tmp_path / "b.db"), workers=0).wait()
    before, after = (rows(each, order="seq") for each in (path, tmp_path / "b.db"))
    after = [row for row in after if row["phase"] != "preflight"]
    assert [cell(row["request"]) for row in after] == [cell(row["request"]) for row in before]
    sent = [row["start_time"] - before[0]["start_time"] for row in before]
    assert [row["scheduled_time"] - after[0]["scheduled_time"] for row in after] == pytest.approx(sent, abs=2e-3)
