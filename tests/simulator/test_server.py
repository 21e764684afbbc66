import asyncio
import contextlib
import http.client
import json
import os
import socket
from itertools import pairwise
from types import SimpleNamespace
from urllib.request import Request, urlopen

import pytest

from perfkit.errors import PerfkitError
from perfkit.simulator import Simulation, simulate
from perfkit.simulator.model import Work, make_schedule
from perfkit.simulator.server import serve
from perfkit.simulator.truth import read_requests
from tests.simulator.conversation import CHAT, ask, chat, payloads, stream, user
from tests.simulator.logs import read_chunks

pytestmark = pytest.mark.processes


def stats(server):
    return json.load(urlopen(server.url + "/__stats"))


def opened(server, **body):
    """Send a request on a connection of its own and return the connection."""
    content = json.dumps({"messages": [user("hi")], "stream": True} | body).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(content)}\r\n\r\n".encode()
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=60)
    connection.sendall(head + content)
    return connection


def test_two_thousand_streams_are_open_together_and_all_end_well():
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2200:
        pytest.skip(f"2,000 connections need more than {hard} files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    def counts_of(ttft):
        with simulate(ttft=ttft, itl=0.05, output_tokens=3) as server:
            connections = [opened(server) for _ in range(2000)]
            for connection in connections:
                received = b""
                while not received.endswith(b"0\r\n\r\n"):
                    received += connection.recv(65536)
                connection.close()
            return stats(server)

    counts, ttft = counts_of(1.0), 1.0
    while counts["most_open_streams"] < 2000 and ttft < 60:  # a busy machine takes longer to open them all
        ttft *= 4
        counts = counts_of(ttft)
    assert counts["most_open_streams"] == 2000
    assert counts["outcomes"] == {"ok": 2000}
    assert counts["events"] == 6000


def test_a_client_that_leaves_stops_its_stream(tmp_path):
    log = tmp_path / "log.csv"
    with simulate(ttft=0.0, itl=0.005, output_tokens=100_000, log=str(log)) as server:
        connection = opened(server)
        while b'"content":" ' not in connection.recv(65536):
            pass
        connection.close()
        while stats(server)["open_streams"]:
            pass
        server.stop()
    [row] = read_requests(log)
    assert row.outcome == "client_closed"
    assert 0 < row.tokens < 1000


def test_requests_unfinished_when_the_server_stops_are_logged(tmp_path):
    log = tmp_path / "log.csv"
    with simulate(ttft=0.0, itl=60.0, log=str(log)) as server, opened(server) as connection:
        while b'"content":" ' not in connection.recv(65536):
            pass
        server.stop()
        assert connection.recv(65536) == b""
    [row] = read_requests(log)
    assert (row.outcome, row.tokens) == ("client_closed", 1)


def test_the_standard_loop_serves_as_well_as_uvloop():
    async def converse():
        until, address = asyncio.Event(), asyncio.get_running_loop().create_future()
        serving = asyncio.create_task(serve(Simulation(itl=0.001, ttft=0.0), address.set_result, until))
        port = int((await address).rpartition(":")[2])
        body = await asyncio.to_thread(chat, SimpleNamespace(port=port), stream=True, max_tokens=5)
        until.set()
        await serving
        return payloads(body)

    assert len(asyncio.run(converse())) == 1 + 5 + 1 + 1


def test_equal_seeds_answer_equally_and_requests_differently():
    with simulate(ttft=0.0, itl=0.0, seed=5) as one, simulate(ttft=0.0, itl=0.0, seed=5) as other:
        first, second = chat(one), chat(one)
        assert first == chat(other)
    texts = [json.loads(answer)["choices"][0]["message"]["content"] for answer in (first, second)]
    assert texts[0] != texts[1]


def test_ids_are_unique_per_request():
    with simulate(ttft=0.0, itl=0.0) as server:
        assert len({json.loads(chat(server))["id"] for _ in range(20)}) == 20


def test_an_engine_with_one_slot_answers_one_after_the_other(tmp_path):
    log = tmp_path / "log.csv"
    with simulate(slots=1, itl=0.002, base_latency=0.0, output_tokens=10, log=str(log)) as server:
        connections = [opened(server) for _ in range(5)]
        for connection in connections:
            while b"[DONE]" not in connection.recv(65536):
                pass
            connection.close()
        server.stop()
    rows = sorted(read_requests(log), key=lambda row: row.first_ns)
    assert [row.tokens for row in rows] == [10] * 5
    assert all(earlier.last_ns < later.first_ns for earlier, later in pairwise(rows))


def test_the_server_sends_tokens_when_virtual_time_says(tmp_path):
    log, chunk_log = tmp_path / "log.csv", tmp_path / "chunks.bin"
    options = Simulation(slots=3, itl=0.003, base_latency=0.03, output_tokens=8, jitter=0.4, prefill_rate=500.0)
    with simulate(options, log=str(log), chunk_log=str(chunk_log)) as server:
        connections = [opened(server) for _ in range(8)]
        for connection in connections:
            while b"[DONE]" not in connection.recv(65536):
                pass
            connection.close()
        server.stop()
    schedule, expected = make_schedule(options), []
    for row in sorted(read_requests(log), key=lambda row: row.recv_done_ns):
        expected += schedule.take(row.recv_done_ns)
        schedule.arrive(row.req, row.recv_done_ns, Work(prompt_tokens=1, output_tokens=8))
    while (due := schedule.next_due()) is not None:
        expected += schedule.take(due)
    assert [(chunk.due, chunk.req) for chunk in read_chunks(chunk_log)] == expected


def test_tokens_in_one_event_come_when_the_first_is_due(tmp_path):
    log = tmp_path / "log.csv"
    with simulate(ttft=0.0, itl=0.001, output_tokens=10, tokens_per_event=4, log=str(log)) as server:
        events = [event for event in stream(server) if event != "[DONE]"]
        server.stop()
    texts = [event["choices"][0]["delta"]["content"] for event in events]
    assert [len(text.split()) for text in texts] == [0, 4, 4, 2, 0]
    [row] = read_requests(log)
    assert (row.events, row.tokens) == (3, 10)
    assert row.last_ns - row.recv_done_ns >= 8_000_000


def test_events_in_one_write_share_a_stamp(tmp_path):
    log = tmp_path / "log.csv"
    with simulate(ttft=0.0, itl=0.001, output_tokens=6, events_per_write=6, log=str(log)) as server:
        assert len(stream(server)) == 1 + 6 + 1 + 1
        server.stop()
    [row] = read_requests(log)
    assert row.events == 6
    assert row.first_ns == row.last_ns


def test_the_role_chunk_can_come_before_the_first_token():
    with simulate(ttft=0.5, role_lead=0.4, output_tokens=1) as server, opened(server) as connection:
        received = b""
        while b'"role"' not in received:
            received += connection.recv(65536)
        assert b'"content":" ' not in received
        while b"[DONE]" not in received:
            received += connection.recv(65536)
        assert received.count(b'"role"') == 1


def test_headers_can_wait_for_the_first_event(tmp_path):
    logs = {name: str(tmp_path / name) for name in ("early", "late")}
    for name, path in logs.items():
        with simulate(ttft=0.3, output_tokens=1, early_headers=name == "early", log=path) as server:
            assert len(stream(server)) == 4
    [early], [late] = (read_requests(path) for path in logs.values())
    assert early.headers_ns - early.recv_done_ns < 300_000_000 <= late.headers_ns - late.recv_done_ns


def test_a_comment_comes_before_each_nth_event():
    with simulate(ttft=0.0, itl=0.0, output_tokens=3, ping_every=2) as server:
        lines = chat(server, stream=True).decode().split("\n\n")
    assert [index for index, line in enumerate(lines) if line == ": ping"] == [1, 4, 7]


@pytest.mark.parametrize(
    ("options", "outcomes"),
    [
        ({"fail_every": 3}, {"ok": 4, "fail": 2}),
        ({"drop_every": 2}, {"ok": 3, "drop": 3}),
        ({"reset_every": 6}, {"ok": 5, "drop": 1}),
    ],
)
def test_each_nth_request_goes_wrong(options, outcomes):
    with simulate(ttft=0.0, itl=0.0, output_tokens=2, **options) as server:
        for _ in range(6):
            with contextlib.suppress(ConnectionError, http.client.HTTPException):
                ask(server, messages=[user("hi")], stream=True)
        assert stats(server)["outcomes"] == outcomes


def test_reset_begins_a_new_measurement(tmp_path):
    log = tmp_path / "log.csv"
    with simulate(ttft=0.0, itl=0.0, log=str(log)) as server:
        chat(server)
        urlopen(Request(server.url + "/__reset", method="POST"))
        chat(server)
        assert stats(server)["requests"] == 1
        server.stop()
    assert [row.req for row in read_requests(log)] == [2]


def test_stats_flush_the_log(tmp_path):
    log = tmp_path / "log.csv"
    with simulate(ttft=0.0, itl=0.0, log=str(log)) as server:
        chat(server)
        stats(server)
        assert len(read_requests(log)) == 1


def test_a_log_that_cannot_be_written_is_an_error_before_serving(tmp_path):
    missing = os.path.join(tmp_path, "none", "log.csv")
    with pytest.raises(PerfkitError, match="No such file"), simulate(log=missing):
        pass
