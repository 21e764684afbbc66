import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from perfkit.errors import PerfkitError, UsageError
from perfkit.simulator import simulate

pytestmark = pytest.mark.processes


def get(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path)
    return json.loads(connection.getresponse().read())


def test_a_simulated_server_answers_until_the_block_ends():
    with simulate(model="tiny") as server:
        assert [model["id"] for model in get(server.port, "/v1/models")["data"]] == ["tiny"]
        port = server.port
    with pytest.raises(ConnectionRefusedError):
        get(port, "/v1/models")


def test_a_port_in_use_is_said_in_the_error():
    with simulate() as server, pytest.raises(PerfkitError, match="in use"), simulate(port=server.port):
        pass


def test_an_option_out_of_range_never_starts_a_process():
    with pytest.raises(UsageError, match="jitter must be from 0 to below 1, got 2"), simulate(jitter=2):
        pass


def test_an_option_of_no_such_name_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'slots'"):
        simulate(slot=1)


def test_a_server_outlives_the_statement_that_started_it():
    server = simulate(model="kept")
    assert get(server.port, "/v1/models")["data"][0]["id"] == "kept"
    assert repr(server) == f"<simulated 'kept' at {server.url}>"
    server.stop()
    with pytest.raises(ConnectionRefusedError):
        get(server.port, "/health")


def test_stop_may_be_called_twice():
    with simulate() as server:
        server.stop()
        server.stop()


def test_a_server_killed_by_sigterm_has_written_its_log(tmp_path):
    log = tmp_path / "log.csv"
    with simulate(log=str(log), ttft=0.0, itl=0.0) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        body = json.dumps({"messages": [{"role": "user", "content": "hi"}], "max_tokens": 2})
        connection.request("POST", "/v1/chat/completions", body)
        connection.getresponse().read()
        os.kill(server.pid, signal.SIGTERM)
        server.stop()
    assert len(log.read_text().splitlines()) == 2


def test_the_server_ends_when_its_parent_is_killed():
    program = (
        "from perfkit.simulator import simulate\n"
        "with simulate() as server:\n"
        "    print(server.port, flush=True)\n"
        "    input()\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    pipe = subprocess.PIPE
    with (
        subprocess.Popen([sys.executable, "-c", program], stdin=pipe, stdout=pipe, env=environment) as parent,
        socket.create_connection(("127.0.0.1", int(parent.stdout.readline())), timeout=10) as connection,
    ):
        get(connection.getpeername()[1], "/health")  # by now the connection made before this one is accepted
        parent.kill()
        assert connection.recv(1) == b""
