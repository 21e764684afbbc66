import json
import os
import signal
import sqlite3
import sys
from contextlib import closing

import pytest

from perfkit.simulator import simulate
from tests.cli.commands import begun, perfkit
from tests.loadgen.workers.processes import children, lives, until
from tests.recording import recording
from tests.scripted import HANG, READ, scripted

pytestmark = pytest.mark.processes

KEY = "sk-0123456789abcdef"


def rows(path, sql="SELECT count(*) FROM result"):
    with closing(sqlite3.connect(path)) as file:
        return file.execute(sql).fetchall()


def test_a_url_is_enough(server, tmp_path):
    done = perfkit("run", "--url", server.url, "-n", 3, "--max-tokens", 4, folder=tmp_path)
    assert done.returncode == 0
    (file,) = (tmp_path / "outputs").iterdir()
    assert file.name.startswith("tiny_")
    assert rows(file) == [(3,)]
    assert "time to first token [ms]" in done.stdout
    assert f"kept in outputs/{file.name}" in done.stdout


def test_a_name_names_run_and_file_and_a_file_gains_a_run(server, tmp_path):
    for parallel in (1, 2):
        words = ("--parallel", parallel, "-n", 4, "--max-tokens", 2, "--name", "twice")
        assert perfkit("run", "--url", server.url, *words, folder=tmp_path).returncode == 0
    assert rows(tmp_path / "outputs/twice.db", "SELECT name, parallel FROM run ORDER BY parallel") == [
        ("twice", 1),
        ("twice", 2),
    ]


def test_lists_make_a_sweep_and_tags_are_kept(server, tmp_path):
    words = ("--parallel", 1, 2, "--number", 2, 4, "--max-tokens", 2, "--tag", "gpu=H100", "--tag", "tp=2")
    assert perfkit("run", "--url", server.url, *words, "--db", "s.db", folder=tmp_path).returncode == 0
    assert rows(tmp_path / "s.db", "SELECT parallel, sent, tags FROM run ORDER BY point") == [
        (1, 2, '{"gpu": "H100", "tp": "2"}'),
        (2, 4, '{"gpu": "H100", "tp": "2"}'),
    ]


def test_scrape_reads_the_page_beside_the_endpoint_and_the_summary_says_what_it_tells(server, tmp_path):
    words = ("-n", 3, "--max-tokens", 2, "--db", "s.db", "--scrape")
    done = perfkit("run", "--url", server.url, *words, folder=tmp_path)
    assert done.returncode == 0
    assert "agrees with ours" in done.stdout
    assert rows(tmp_path / "s.db", "SELECT DISTINCT page FROM server_series") == [(f"{server.url}/metrics",)]


def test_json_goes_to_stdout_and_nothing_else_does(server, tmp_path):
    words = ("-n", 3, "--max-tokens", 4, "--db", "j.db", "--json", "--log-every-n-query", 1, "--debug")
    done = perfkit("run", "--url", server.url, *words, folder=tmp_path)
    summary = json.loads(done.stdout)
    assert (summary["rates"][0]["requests"], summary["file"], summary["interrupted"]) == (3, "j.db", False)
    assert {row["metric"] for row in summary["metrics"]} >= {"ttft", "itl", "tpot", "e2e"}


def test_the_command_line_wins_over_the_config_file(server, tmp_path):
    (tmp_path / "bench.toml").write_text(f'url = "{server.url}"\nnumber = 2\nmax_tokens = 2\ndb = "file.db"\n')
    assert perfkit("run", "--config", "bench.toml", "-n", 5, folder=tmp_path).returncode == 0
    assert rows(tmp_path / "file.db") == [(5,)]


def test_debug_shows_requests_and_answers_without_secrets(server, tmp_path):
    words = ("-n", 1, "--max-tokens", 3, "--db", "d.db", "--debug", "--prompt", f"say {KEY}", "--api-key", KEY)
    said = perfkit("run", "--url", server.url, *words, folder=tmp_path).stderr
    assert 'request 0 > {"messages": [{"role": "user", "content": "say ***"}]' in said
    assert "request 0 < status 200" in said
    assert KEY not in said


def test_a_line_is_logged_every_n_queries(slow_server, tmp_path):
    words = ("-n", 6, "--max-tokens", 12, "--parallel", 2, "--db", "l.db", "--log-every-n-query", 2)
    said = perfkit("run", "--url", slow_server.url, *words, folder=tmp_path).stderr
    assert [line.split()[0] for line in said.splitlines() if "in flight" in line][:2] == ["2", "4"]


def test_a_literal_key_is_advised_against_and_stored_nowhere(server, tmp_path):
    words = ("-n", 2, "--max-tokens", 2, "--db", "k.db", "--headers", f"X-Key={KEY}x", "--api-key", KEY)
    done = perfkit("run", "--url", server.url, *words, folder=tmp_path)
    assert "--api-key env:NAME" in done.stderr
    assert KEY not in done.stdout + done.stderr
    assert rows(tmp_path / "k.db") == [(2,)]
    assert all(KEY.encode() not in file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())


def test_a_key_from_the_environment_is_sent_without_a_word(tmp_path):
    with recording() as server:
        words = ("--model", "m", "-n", 1, "--no-preflight", "--db", "k.db", "--api-key", "env:BENCH_KEY")
        done = perfkit("run", "--url", server.url, *words, folder=tmp_path, BENCH_KEY=KEY)
    assert "better" not in done.stderr
    assert [each.headers["authorization"] for each in server.received] == [f"Bearer {KEY}"]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_the_run_keeps_what_came_and_says_so(slow_server, tmp_path, number, status):
    running = begun(*("run", "--url", slow_server.url, "-n", 500, "--max-tokens", 4, "--db", "i.db"), folder=tmp_path)
    until(lambda: (tmp_path / "i.db").exists() and rows_so_far(tmp_path / "i.db") >= 2)
    running.send_signal(number)
    out, _ = running.communicate(timeout=300)
    assert running.returncode == status
    assert "interrupted: what had arrived is kept" in out
    assert rows(tmp_path / "i.db", "SELECT status FROM run") == [("interrupted",)]
    assert rows(tmp_path / "i.db")[0][0] >= 2


def test_a_signal_before_anything_was_measured_is_no_failure(tmp_path):
    with scripted([READ, HANG]) as server:
        running = begun("run", "--url", server.url, "-n", 500, "--db", "i.db", folder=tmp_path)
        until(lambda: server.requests)
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=300)
    assert (running.returncode, out, err) == (130, "interrupted before anything was measured\n", "")
    assert not (tmp_path / "i.db").exists()


def rows_so_far(path):
    try:
        return rows(path)[0][0]
    except sqlite3.OperationalError:  # the tables are being made
        return 0


@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc")
def test_a_second_signal_ends_at_once_though_the_worker_hangs(slow_server, tmp_path):
    running = begun(*("run", "--url", slow_server.url, "-n", 500, "--max-tokens", 4, "--db", "i.db"), folder=tmp_path)
    until(lambda: (tmp_path / "i.db").exists() and rows_so_far(tmp_path / "i.db") >= 1)
    (worker,) = children(running.pid)
    os.kill(worker, signal.SIGSTOP)
    running.send_signal(signal.SIGINT)
    running.send_signal(signal.SIGTERM)
    status = running.wait(20)
    os.kill(worker, signal.SIGCONT)
    out, _ = running.communicate(timeout=300)
    assert (status, out) == (143, "")
    until(lambda: not lives(worker))
    assert rows(tmp_path / "i.db", "SELECT status FROM run") == [("interrupted",)]


def test_no_success_is_status_three_and_the_commonest_error(tmp_path):
    with simulate(fail_every=1) as failing:
        done = perfkit("run", "--url", failing.url, "-n", 2, "--db", "f.db", folder=tmp_path)
    assert done.returncode == 3
    assert done.stderr.splitlines()[-1] == "perfkit: no request succeeded; HTTP 500: injected failure"
    assert rows(tmp_path / "f.db") == [(2,)]


def test_a_run_whose_requests_all_fail_is_ended_early_and_says_so_once(tmp_path):
    with simulate(fail_every=1) as failing:
        words = ("--parallel", 4, "-n", 1_000_000, "--prompt", "hi", "--db", "f.db")
        done = perfkit("run", "--url", failing.url, *words, folder=tmp_path)
    assert (done.returncode, done.stdout) == (3, "")
    sentence = done.stderr.splitlines()[-1]
    assert sentence.startswith("perfkit: ended early: ")
    assert sentence.endswith(
        "beyond max_error_rate 0.99 (1: never end for errors); the last: HTTP 500: injected failure"
    )
    ((stored,),) = rows(tmp_path / "f.db")
    assert 100 <= stored < 100_000
    problem = sentence.removeprefix("perfkit: ")
    assert rows(tmp_path / "f.db", "SELECT status, problem FROM run") == [("interrupted", problem)]


def test_a_run_with_more_errors_than_allowed_keeps_its_answers_and_ends_with_status_one(tmp_path):
    with simulate(ttft=0.01, itl=0.001, fail_every=4) as failing:
        words = ("--parallel", 8, "-n", 1_000_000, "--prompt", "hi", "--max-tokens", 2, "--db", "f.db")
        done = perfkit("run", "--url", failing.url, *words, "--max-error-rate", 0.1, folder=tmp_path)
    assert done.returncode == 1
    assert "time to first token [ms]" in done.stdout
    assert "beyond max_error_rate 0.1" in done.stdout  # where the summary says that its rates are of a part
    assert done.stderr.splitlines()[-1].startswith("perfkit: ended early: ")


def test_a_run_of_which_everything_fails_goes_on_if_it_may(tmp_path):
    with simulate(fail_every=1) as failing:
        words = ("--parallel", 8, "-n", 2_000, "--prompt", "hi", "--max-error-rate", 1, "--db", "f.db")
        done = perfkit("run", "--url", failing.url, *words, folder=tmp_path)
    assert (done.returncode, rows(tmp_path / "f.db")) == (3, [(2_000,)])


def test_a_detached_run_says_where_it_is_and_how_to_follow_and_end_it(server, tmp_path):
    words = ("--url", server.url, "--parallel", 2, "--max-tokens", 4, "--prompt", "hi", "--db", "d.db")
    done = perfkit("run", *words, "-n", 1_000_000, "--detach", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "under way: d.db\nwatch it with: perfkit attach d.db\nend it with:   perfkit stop d.db\n"
    watching = begun("attach", "d.db", folder=tmp_path)
    assert perfkit("stop", "d.db", folder=tmp_path).returncode == 0
    out, _ = watching.communicate(timeout=300)
    assert (watching.returncode, "time to first token [ms]" in out) == (0, True)


def test_an_interrupted_attach_says_that_the_job_goes_on(server, tmp_path):
    words = (server.url, "--parallel", 2, "--max-tokens", 4, "--prompt", "hi", "--db", "d.db")
    perfkit("run", *words, "-n", 1_000_000, "--detach", folder=tmp_path)
    watching = begun("attach", "d.db", folder=tmp_path)
    assert "requests" in watching.stderr.readline()
    watching.send_signal(signal.SIGINT)
    _, err = watching.communicate(timeout=300)
    assert watching.returncode == 130
    assert "done: " not in err
    assert "cut off" not in err
    goes_on = "the job goes on; follow it again with: perfkit attach d.db, end it with: perfkit stop d.db"
    assert err.splitlines()[-1] == goes_on
    assert perfkit("stop", "d.db", folder=tmp_path).returncode == 0


def test_a_detached_run_that_cannot_begin_fails_as_any_other(tmp_path):
    words = ("--url", "http://127.0.0.1:9", "--model", "m", "--prompt", "hi", "--detach")
    done = perfkit("run", *words, folder=tmp_path)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("perfkit: cannot connect to http://127.0.0.1:9")


def test_nobody_there_is_status_three(tmp_path):
    done = perfkit("run", "--url", "http://127.0.0.1:9", "--model", "m", folder=tmp_path)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("perfkit: cannot connect to http://127.0.0.1:9")


def test_a_file_that_cannot_be_written_is_status_four(server, tmp_path):
    done = perfkit("run", "--url", server.url, "-n", 1, "--db", "/proc/none/a.db", folder=tmp_path)
    assert done.returncode == 4
    assert done.stderr.startswith("perfkit: cannot write /proc/none/a.db")
