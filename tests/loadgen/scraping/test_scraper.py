"""Jobs that read what their server publishes: what is stored, once per run; a page that fails costs nothing."""

import json
import re
import sqlite3
import threading
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pandas as pd
import pytest

import perfkit as pk
from perfkit.loadgen.scraping.page import Page, PublishedAt, Series
from perfkit.loadgen.scraping.scraper import PageReader, Scraper
from perfkit.runfile.published import ServerSample, write_apart
from tests.loadgen.workers.processes import children, until
from tests.recording import recording
from tests.run_files import request, write_run

ROOT = Path(__file__).parents[3]
SMALL = {"number": 4, "parallel": 2, "max_tokens": 2, "preflight": False}


def rows(path, sql, *values):
    """Return the rows of a query on a run file."""
    with closing(sqlite3.connect(path)) as file:
        return file.execute(sql, values).fetchall()


STORED = """
    SELECT run_id, page, name, labels, kind, time, value FROM server_series JOIN server_sample USING (series)
    ORDER BY time, server_sample.rowid"""


@contextmanager
def publishing(*pages, status=200):
    """Serve pages one after the other, the last one for ever; yield its address and what was asked."""
    left, asked = list(pages), []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append((self.path, dict(self.headers)))
            page = (left.pop(0) if len(left) > 1 else left[0]).encode()
            self.send_response(status)
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, format, *args):
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


def looked(*pages, run_ids=None):
    """Return the rows that looks at a page make, each as (run, name, value); None is a look without an answer."""
    reader = PageReader(PublishedAt("http://h/metrics"), lambda *_: None, lambda sentence: None)
    made = []
    for at, (run_id, values) in enumerate(zip(run_ids or ["r"] * len(pages), pages, strict=True)):
        page = (
            Page(float(at), 0.5, {Series(name, (), "gauge"): value for name, value in values.items()})
            if values
            else None
        )
        made.append([(row.run_id, row.name, row.value) for row in reader.samples(run_id, page)])
    return made


UP, DOWN = ("r", "up", 1.0), ("r", "up", 0.0)
TOOK = ("r", "scrape_duration_seconds", 0.5)


def test_only_what_has_changed_is_stored_and_each_look_says_that_it_was():
    first, second, third = looked({"a": 1.0, "b": 2.0}, {"a": 1.0, "b": 3.0}, {"a": 1.0, "b": 3.0})
    assert first == [UP, TOOK, ("r", "a", 1.0), ("r", "b", 2.0)]
    assert second == [UP, TOOK, ("r", "b", 3.0)]
    assert third == [UP, TOOK]


def test_a_series_that_is_published_no_more_is_null_once_and_may_come_again():
    _, second, third, fourth = looked({"a": 1.0, "b": 2.0}, {"a": 1.0}, {"a": 1.0}, {"a": 1.0, "b": 2.0})
    assert [second, third, fourth] == [[UP, TOOK, ("r", "b", None)], [UP, TOOK], [UP, TOOK, ("r", "b", 2.0)]]


def test_what_is_no_number_is_stored_once_while_it_stays():
    first, second = looked({"a": float("nan")}, {"a": float("nan")})
    assert len(first) == 3
    assert second == [UP, TOOK]


def test_a_look_without_an_answer_says_so_and_nothing_of_the_series():
    assert looked({"a": 1.0}, None, {"a": 1.0})[1:] == [[DOWN], [UP, TOOK]]


def test_each_run_has_what_was_published_before_it_and_after_it():
    made = looked({"a": 1.0}, {"a": 2.0}, {"a": 3.0}, {"a": 4.0}, run_ids=[None, "p", "q", "q"])
    values = [[(run, value) for run, name, value in look if name == "a"] for look in made]
    assert values == [[], [("p", 1.0), ("p", 2.0)], [("p", 3.0), ("q", 2.0), ("q", 3.0)], [("q", 4.0)]]


def test_a_worker_that_ends_before_the_first_look_leaves_nothing_waiting(tmp_path):
    with publishing("a 1\n") as (url, _):
        scraper = Scraper([PublishedAt(url)], lambda sentence: None)
        scraper.hear({"event": "ended", "error": "UsageError", "text": "no"})
        scraper.start()


@pytest.mark.processes
def test_a_run_keeps_what_its_server_published(tmp_path):
    with pk.simulate(ttft=0.01, itl=0.001) as server:
        runs = pk.start(server.url, db=str(tmp_path / "a.db"), scrape=True, **SMALL).wait()
    (run,) = runs.members
    stored = rows(tmp_path / "a.db", STORED)
    assert {row[0] for row in stored} == {run.run_id}
    assert {row[1] for row in stored} == {f"{server.url}/metrics"}
    running = [row for row in stored if row[2] == "vllm:num_requests_running"]
    assert {(json.loads(row[3])["model_name"], row[4]) for row in running} == {("simulated", "gauge")}
    count = [(row[5], row[6]) for row in stored if row[2] == "vllm:time_to_first_token_seconds_count"]
    assert (count[0][1], count[-1][1]) == (0, 4)
    begun = runs.requests["start_time"].min()
    assert count[0][0] < begun
    assert count[-1][0] > begun
    (query,) = re.findall(r"```sql\n(.*?)```", (ROOT / "docs/server.md").read_text(encoding="utf-8"), re.DOTALL)
    assert next(value for _, value in rows(tmp_path / "a.db", query)) == 0


@pytest.mark.processes
def test_a_sweep_of_several_workers_reads_each_page_once_and_gives_every_point_its_own_rows(tmp_path):
    with pk.simulate(ttft=0.01, itl=0.001) as server, publishing("DCGM_FI_DEV_POWER_USAGE 100\n") as (gpu, asked):
        given = {**SMALL, "parallel": [1, 2], "workers": 2, "scrape": [f"{server.url}/metrics", f"{gpu}/metrics"]}
        runs = pk.start(server.url, db=str(tmp_path / "a.db"), **given).wait()
    stored = rows(tmp_path / "a.db", STORED)
    ups = [(row[0], row[1], row[5]) for row in stored if row[2] == "up"]
    assert len(set(ups)) == len(ups)
    assert {row[0] for row in stored} == {run.run_id for run in runs.members}
    looks = {time for _, page, time in ups if page.startswith(gpu)}
    assert len(looks) <= len(asked)
    assert {path for path, _ in asked} == {"/metrics"}
    series = rows(
        tmp_path / "a.db", "SELECT run_id, page, name, labels, count(*) FROM server_series GROUP BY 1, 2, 3, 4"
    )
    assert {row[-1] for row in series} == {1}


@pytest.mark.processes
def test_a_server_that_publishes_nothing_costs_nothing_and_is_told_once(tmp_path):
    with recording() as server, publishing("no\n", status=404) as (url, _):
        server.models = ["m"]
        job = pk.start(server.url, db=str(tmp_path / "a.db"), scrape=[f"{url}/m", f"{url}/m?api_key=abcdefgh"], **SMALL)
        runs = job.wait()
    assert int(runs.requests["success"].sum()) == 4
    assert sorted(job.progress.remarks) == [
        f"cannot read what the server publishes at {url}/m: HTTP 404; the run goes on without it",
        f"cannot read what the server publishes at {url}/m?api_key=***: HTTP 404; the run goes on without it",
    ]
    assert {row[2:] for row in rows(tmp_path / "a.db", "SELECT run_id, page, name, labels FROM server_series")} <= {
        ("up", "{}")
    }
    assert b"abcdefgh" not in (tmp_path / "a.db").read_bytes()


@pytest.mark.processes
def test_a_server_that_stops_publishing_is_told_once_and_leaves_what_it_had(tmp_path):
    with recording() as server, publishing("a 1\n", "<html>") as (url, _):
        server.models = ["m"]
        given = {**SMALL, "number": 12, "parallel": 1, "think_time": 0.2}
        job = pk.start(server.url, db=str(tmp_path / "a.db"), scrape=url, **given)
        job.wait()
    (sentence,) = job.progress.remarks
    assert "not in Prometheus' text format" in sentence
    stored = [(name, value) for _, _, name, _, _, _, value in rows(tmp_path / "a.db", STORED)]
    assert ("a", 1.0) in stored
    assert ("up", 0.0) in stored


@pytest.mark.processes
def test_runs_that_are_looked_at_meanwhile_do_not_keep_the_last_look_from_being_stored(tmp_path):
    with pk.simulate(ttft=0.01, itl=0.001) as server:
        given = {**SMALL, "number": None, "duration": 1.5}
        job = pk.start(server.url, db=str(tmp_path / "a.db"), scrape=True, **given)
        until(lambda: job.progress.done > 0)
        held = [job.runs, job.runs]  # connections from before the journal is folded
        runs = job.wait()
    assert job.progress.remarks == ()
    counted = [
        value for _, _, name, *_, value in rows(tmp_path / "a.db", STORED) if name.endswith("first_token_seconds_count")
    ]
    assert counted[-1] == len(runs.requests)
    assert len(held) == 2


@pytest.mark.processes
def test_samples_are_written_by_another_process_too_and_its_series_are_the_same(tmp_path):
    path = tmp_path / "a.db"
    write_run(path, [request(0)], run_id="r")
    sample = ServerSample("r", "http://h/m", "a", (("b", "c"),), "gauge", 1.5, 2.0)
    write_apart(str(path), [sample, sample._replace(time=2.5, value=None)])
    write_apart(str(path), [sample._replace(time=3.5, value=4.0), sample._replace(run_id="gone")])
    assert rows(path, STORED) == [
        ("r", "http://h/m", "a", '{"b": "c"}', "gauge", time, value)
        for time, value in ((1.5, 2.0), (2.5, None), (3.5, 4.0))
    ]
    with pytest.raises(pk.PerfkitError, match="No such file"):
        write_apart(str(tmp_path / "no.db"), [sample])


@pytest.mark.processes
def test_a_mistaken_run_leaves_no_rows_of_its_server(tmp_path):
    with pk.simulate(ttft=0.0) as server:
        job = pk.start(server.url, db=str(tmp_path / "a.db"), scrape=True, dataset_path="no/such/file", **SMALL)
        with pytest.raises(pk.PerfkitError):
            job.wait()
    assert not (tmp_path / "a.db").exists() or rows(tmp_path / "a.db", STORED) == []


@pytest.mark.processes
@pytest.mark.parametrize("workers", [1, 2])
def test_a_detached_job_reads_pages_from_a_process_that_measures_nothing(tmp_path, workers):
    with pk.simulate(ttft=0.01, itl=0.001) as server:
        given = {**SMALL, "workers": workers, "scrape": True}
        job = pk.start(server.url, db=str(tmp_path / "a.db"), detach=True, **given)
        runs = job.wait()
        until(lambda: not list(children(job._worker.pid)))
    assert job.problem is None
    counted = [
        value for _, _, name, *_, value in rows(tmp_path / "a.db", STORED) if name.endswith("first_token_seconds_count")
    ]
    assert (counted[0], counted[-1]) == (0, len(runs.requests)) == (0, 4)
    (pid,) = rows(tmp_path / "a.db", "SELECT pid FROM run")
    assert pid != (job._worker.pid,)  # the first worker's, not that of the process which drives it


@pytest.mark.processes
def test_saved_and_scrubbed_copies_hold_the_same_rows(tmp_path):
    from perfkit.analysis.results.scrub import scrub

    with pk.simulate(ttft=0.01, itl=0.001) as server:
        runs = pk.start(server.url, db=str(tmp_path / "a.db"), scrape=True, **SMALL).wait()
    saved = runs.save(tmp_path / "b.db")
    scrub(tmp_path / "a.db", tmp_path / "c.db")
    before = rows(tmp_path / "a.db", STORED)
    assert before
    assert rows(saved, STORED) == rows(tmp_path / "c.db", STORED) == before


def test_a_file_of_an_earlier_perfkit_has_nothing_of_its_servers(tmp_path):
    frame = pk.from_frame(pd.DataFrame({"ttft": [0.1], "e2e": [0.2]}), run="a")
    saved = frame.save(tmp_path / "a.db")
    with closing(sqlite3.connect(saved)) as file:
        file.execute("DROP TABLE server_series")
        file.execute("DROP TABLE server_sample")
        file.commit()
    again = pk.open(saved)
    assert len(again.save(tmp_path / "b.db").read_bytes()) > 0
    assert rows(tmp_path / "b.db", STORED) == []
