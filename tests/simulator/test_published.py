"""What the simulated server publishes is what it does, by its own log."""

from urllib.request import urlopen

import pytest

from perfkit.loadgen.scraping.page import parse
from perfkit.secrets import Scrubber
from perfkit.simulator import Simulation, simulate
from perfkit.simulator.model import SECOND, Work, make_schedule
from perfkit.simulator.truth import read_requests
from tests.simulator.conversation import chat


def published(server):
    """Return the values of the page by name, and by the ends of their buckets."""
    with urlopen(f"{server.url}/metrics") as answer:
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        found = parse(answer.read().decode(), Scrubber([]))
    return {
        (series.name.removeprefix("vllm:"), dict(series.labels).get("le")): value for series, value in found.items()
    }


@pytest.mark.parametrize(("slots", "expected"), [(None, ({1, 2, 3}, 0)), (1, ({1}, 2)), (2, ({1, 2}, 1))])
def test_a_schedule_tells_what_runs_and_how_many_wait(slots, expected):
    schedule = make_schedule(Simulation(slots=slots, ttft=0.05, itl=0.01, base_latency=0.0))
    for number in (1, 2, 3):
        schedule.arrive(number, 0, Work(10, 100))
    schedule.take(SECOND // 20)
    assert (set(schedule.running()), schedule.waiting()) == expected
    schedule.take(10 * SECOND)
    assert (set(schedule.running()), schedule.waiting()) == (set(), 0)


@pytest.mark.processes
def test_counters_and_histograms_are_those_of_its_log(tmp_path):
    log = tmp_path / "log.csv"
    with simulate(ttft=0.015, itl=0.001, jitter=0.5, cached_tokens=1, log=str(log)) as server:
        for length in (3, 5, 8):
            chat(server, max_tokens=length)
        found = published(server)
    truth = read_requests(log)
    assert len(truth) == 3
    assert found["generation_tokens_total", None] == 16
    assert (found["num_requests_running", None], found["num_requests_waiting", None]) == (0, 0)
    assert found["prefix_cache_hits_total", None] == 3
    assert found["prefix_cache_queries_total", None] == found["prompt_tokens_total", None] > 3
    count, total = (found[f"time_to_first_token_seconds_{part}", None] for part in ("count", "sum"))
    assert (count, found["request_queue_time_seconds_count", None]) == (3, 3)
    assert found["time_to_first_token_seconds_bucket", "+Inf"] == 3
    assert found["time_to_first_token_seconds_bucket", "0.005"] == 0
    # What is written is written when it is due or later.
    assert 0.0075 * 3 <= total <= sum(row.first_ns - row.recv_done_ns for row in truth) / 1e9


@pytest.mark.processes
def test_the_cache_holds_the_prompts_and_answers_of_what_runs():
    with simulate(ttft=0.0, itl=30.0, kv_cache_tokens=100) as server:
        from tests.simulator.test_server import opened

        connections = [opened(server, max_tokens=2) for _ in range(2)]
        for connection in connections:
            received = b""
            while received.count(b"data:") < 2:  # the role, and the first token
                received += connection.recv(65536)
        found = published(server)
        for connection in connections:
            connection.close()
    prompt = found["prompt_tokens_total", None] / 2
    assert found["num_requests_running", None] == 2
    assert found["kv_cache_usage_perc", None] == pytest.approx(2 * (prompt + 1) / 100)
