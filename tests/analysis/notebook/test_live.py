import io
import math
import sys
import tempfile
import threading
from dataclasses import replace
from pathlib import Path
from time import monotonic, thread_time

import pytest

import perfkit as pk
from perfkit.analysis.notebook.live import Line, Seldom, SeveralJobs, Terminal, sentence, share, show
from perfkit.analysis.results.so_far import Failures, Figures, PointSoFar
from perfkit.runner.job import Progress


class Job:
    """A job that ends when it is told to."""

    interrupted, problem, path = False, None, None

    def __init__(self, progress):
        self.progress = progress
        self.ended = threading.Event()

    def done(self):
        return self.ended.is_set()

    def stop(self):
        self.interrupted = True
        self.ended.set()


class Wall:
    """A painter that keeps what was painted, and lets a test wait for it."""

    def __init__(self):
        self.painted, self.figures, self.charts, self.seen, self.button = [], [], [], threading.Condition(), True

    def paint(self, text, share, *, over):
        with self.seen:
            self.painted.append((text, share, over))
            self.seen.notify_all()

    def most_done(self):
        return max((point.done for each, _ in self.figures if each for point in each.points), default=0)

    def look(self, figures, verdict):
        with self.seen:
            self.figures.append((figures, verdict))
            self.seen.notify_all()

    def draw(self, chart):
        self.charts.append(chart)

    def blocked(self):
        self.button = False

    def wait_for(self, condition):
        with self.seen:
            assert self.seen.wait_for(lambda: condition(self.painted), timeout=10)


def test_a_sentence_says_what_is_left_at_the_rate_so_far():
    progress = Progress(done=100, elapsed=10, expected=300, in_flight=4)
    assert sentence(progress) == "100 of 300 requests · 4 in flight · 10.0 requests/s · 10 s, about 20 s left"


def test_failures_are_told_only_where_there_are_some():
    assert "failed" not in sentence(Progress(done=1, elapsed=1))
    assert "3 failed" in sentence(Progress(done=9, failed=3, elapsed=1))


def test_a_sweep_says_its_point():
    assert sentence(Progress(point=1, points=3)).startswith("point 2 of 3 · ")


def test_what_is_not_known_is_left_out():
    assert sentence(Progress()) == "0 requests · 0 in flight · 0 s"
    assert math.isnan(share(Progress(done=5)))


def test_a_limit_of_time_counts_as_much_as_one_of_requests():
    assert share(Progress(elapsed=5, duration=10)) == 0.5
    assert share(Progress(done=9, expected=10, elapsed=5, duration=10)) == 0.9


def test_jobs_one_after_the_other_share_a_place_and_say_which_of_them_it_is():
    wall = Wall()
    several = SeveralJobs(wall)
    for before, after in (("point 1 of 2", ""), ("point 2 of 2", "met at 4")):
        job = Job(Progress(done=4, expected=4, sent=4, elapsed=2.0))
        job.ended.set()
        with several(job, before, after):
            pass
    assert [text for text, _, _ in wall.painted] == [
        "point 1 of 2 · done: 4 of 4 requests · 2.0 requests/s · 2 s",
        "point 2 of 2 · done: 4 of 4 requests · 2.0 requests/s · 2 s · met at 4",
    ]


def test_the_line_follows_the_job_to_its_end():
    job, wall = Job(Progress(expected=4)), Wall()
    line = Line(job, wall)
    job.progress = replace(job.progress, done=2, elapsed=1.0)
    wall.wait_for(lambda painted: painted[-1][1] == 0.5)
    job.progress = replace(job.progress, done=4, elapsed=2.0)
    job.ended.set()
    wall.wait_for(lambda painted: painted[-1][2])
    line.close()
    assert wall.painted[-1] == ("done: 4 of 4 requests · 2.0 requests/s · 2 s", 1.0, True)


def test_a_stopped_job_is_not_called_done():
    job, wall = Job(Progress()), Wall()
    job.stop()
    Line(job, wall).close()
    assert wall.painted[-1][0].startswith("stopped: ")


def test_in_a_cell_that_blocks_there_is_no_button():
    job, wall = Job(Progress()), Wall()
    job.ended.set()
    with Line(job, wall):
        pass
    assert not wall.button


def test_an_error_in_the_block_ends_the_line():
    job, wall = Job(Progress()), Wall()
    with pytest.raises(KeyboardInterrupt), Line(job, wall):
        raise KeyboardInterrupt
    assert wall.painted[-1][2]


class Screen(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_rewrites_one_line(monkeypatch):
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    terminal = Terminal()
    terminal.paint("1 request", 0.5, over=False)
    terminal.paint("done", math.nan, over=True)
    assert screen.getvalue() == "\r 50% 1 request\x1b[K\rdone\x1b[K\n"


FIGURES = Figures(
    (PointSoFar("8 users", 12, 2, 2.0, 5.0, 80.0, (0.05, 0.1), (0.01, 0.02)),),
    (Failures("http_status", 2, "the queue\x1b[2J is full"),),
)


def test_a_terminal_rewrites_its_figures_with_the_line_and_no_escape_sequence_of_a_server(monkeypatch):
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("COLUMNS", "200")
    terminal = Terminal()
    terminal.look(FIGURES, ["so far VALID"])
    terminal.paint("12 requests", math.nan, over=False)
    terminal.look(Figures(), [])
    terminal.paint("done", math.nan, over=True)
    rates = "80.0 output tokens/s · TTFT p50 50.0, p95 100.0 ms · TPOT p50 10.0, p95 20.0 ms"
    first = [
        "12 requests",
        rates,
        "2 failed, http_status: the queue\N{REPLACEMENT CHARACTER}[2J is full",
        "so far VALID",
    ]
    then = "\r\x1b[3A" + "\x1b[K\n".join(["done", "", "", ""]) + "\x1b[K\n"
    assert screen.getvalue() == "\r" + "\x1b[K\n".join(first) + "\x1b[K" + then


def test_a_look_that_costs_more_comes_later():
    def costly():
        began = thread_time()
        while thread_time() - began < 0.05:
            pass
        calls.append(monotonic())
        return len(calls)

    calls = []
    seldom = Seldom(costly, 0)
    assert [seldom(), seldom()] == [1, 1]
    assert seldom._due - calls[0] == pytest.approx(0.05 / 0.01, rel=0.2)
    assert seldom(now=True) == 2


@pytest.mark.processes
def test_the_panel_of_a_job_has_the_figures_of_its_file_while_it_runs_and_of_all_at_its_end():
    wall = Wall()
    with pk.simulate(ttft=0.02, itl=0.002, fail_every=5) as server, tempfile.TemporaryDirectory() as folder:
        job = pk.start(server.url, parallel=2, duration=60, max_tokens=4, db=f"{folder}/a.db", workers=0)
        line = Line(job, wall)
        with wall.seen:
            # Every fifth request fails: of ten some do, and some do not.
            assert wall.seen.wait_for(lambda: wall.most_done() >= 10, timeout=30)
        runs = job.stop()
        line.close()
        rows = runs.requests
    (point,) = wall.figures[-1][0].points
    good = rows[rows["success"] == 1]
    assert (point.load, point.done) == ("2 users", (rows["error_kind"] != "interrupted").sum())
    assert point.ttft == pytest.approx((good["ttft"].quantile(0.5), good["ttft"].quantile(0.95)))
    assert point.tpot == pytest.approx((good["tpot"].quantile(0.5), good["tpot"].quantile(0.95)))
    assert sum(each.number for each in wall.figures[-1][0].failures) == point.failed > 0


def test_nothing_is_written_where_nobody_looks(monkeypatch):
    log = io.StringIO()
    monkeypatch.setattr(sys, "stderr", log)
    job = Job(Progress())
    job.ended.set()
    show(job).close()
    assert log.getvalue() == ""


def test_the_last_line_of_a_job_that_is_shown_by_itself_says_why_it_was_ended_and_names_its_file():
    wall, job = Wall(), Job(Progress())
    job.problem, job.path, job.interrupted = "the preflight request failed: refused", Path("outputs/a.db"), True
    job.ended.set()
    Line(job, wall, alone=True).close()
    assert wall.painted[-1][0] == "stopped: the preflight request failed: refused · 0 requests · 0 s · outputs/a.db"
