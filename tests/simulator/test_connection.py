import asyncio
import gc
import json
import socket
import ssl
import subprocess
import weakref

import pytest

from perfkit.simulator import simulate
from perfkit.simulator.connection import Connection
from perfkit.simulator.truth import read_requests
from tests.simulator.conversation import CHAT, chat

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def server():
    with simulate(ttft=0.001, itl=0.0, output_tokens=2) as running:
        yield running


def request(body, *headers, path=CHAT):
    content = json.dumps(body).encode()
    lines = [f"POST {path} HTTP/1.1", "host: x", f"content-length: {len(content)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + content


def converse(server, data):
    """Send bytes, then read until the server closes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(data)
        received = b""
        while piece := connection.recv(65536):
            received += piece
    return received


HELLO = {"messages": [{"role": "user", "content": "hi"}]}


def test_an_offer_of_another_protocol_is_refused_in_a_sentence(server):
    received = converse(server, request(HELLO, "connection: upgrade, http2-settings", "upgrade: h2c"))
    assert received.startswith(b"HTTP/1.1 400 ")
    assert b"leave the header Upgrade out" in received


def test_pipelined_requests_are_answered_in_order(server):
    bodies = [{**HELLO, "model": f"m{index}", "stream": index % 2 == 0} for index in range(100)]
    data = b"".join(map(request, bodies)) + request({**HELLO, "model": "last"}, "connection: close")
    received = converse(server, data).decode()
    firsts = [received.index(f'"model":"m{index}"') for index in range(100)] + [received.index('"model":"last"')]
    assert firsts == sorted(firsts)
    assert received.count("HTTP/1.1 200 OK") == 101


def test_a_request_in_single_bytes_is_one_request(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in request(HELLO, "connection: close"):
            connection.send(bytes((byte,)))
        assert connection.recv(15) == b"HTTP/1.1 200 OK"


def test_a_chunked_request_body_is_put_together(server):
    content = json.dumps(HELLO).encode()
    pieces = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (content[:7], content[7:]))
    head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n".encode()
    assert converse(server, head + pieces + b"0\r\n\r\n").startswith(b"HTTP/1.1 200 OK")


def test_a_body_of_megabytes_is_read(server):
    big = {"messages": [{"role": "user", "content": "word " * 600_000}]}
    assert b'"prompt_tokens":600000' in converse(server, request(big, "connection: close"))


def test_a_client_that_waits_for_100_continue_gets_it(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        head, _, body = request(HELLO, "expect: 100-continue", "connection: close").partition(b"\r\n\r\n")
        connection.sendall(head + b"\r\n\r\n")
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert connection.recv(15) == b"HTTP/1.1 200 OK"


def test_what_is_not_http_is_answered_with_400_and_closed(server):
    assert converse(server, b"\x16\x03\x01 hello\r\n\r\n").startswith(b"HTTP/1.1 400 Bad Request")


def test_connection_close_is_honoured_after_streams_too(server):
    received = converse(server, request({**HELLO, "stream": True}, "connection: close"))
    assert b"connection: close" in received
    assert received.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/v1/models", 200), ("GET", "/nothing", 404), ("GET", CHAT, 405)]
)
def test_paths_and_methods_have_their_status(server, method, path, status):
    received = converse(server, f"{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
    assert received.startswith(f"HTTP/1.1 {status} ".encode())


@pytest.mark.parametrize("content", [b"{", b"[]", b"{}", b'{"messages":[],"max_tokens":1}', b""])
def test_a_body_that_is_no_request_is_answered_with_400(server, content):
    head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {len(content)}\r\n\r\n".encode()
    assert converse(server, head + content).startswith(b"HTTP/1.1 400 Bad Request")


def test_an_idle_connection_is_closed_when_the_server_says_so():
    with simulate(ttft=0.0, idle_timeout=0.05) as server:
        received = converse(server, request({**HELLO, "max_tokens": 1}))
    assert received.startswith(b"HTTP/1.1 200 OK")


def test_a_connection_that_ended_is_freed_without_the_collector():
    class Server:
        idle_timeout = None

        def __init__(self):
            self.gone = asyncio.Event()

        def connected(self, connection):
            self.made = weakref.ref(connection)
            return 1

        def disconnected(self, connection):
            self.gone.set()

    async def visit():
        server = Server()
        listener = await asyncio.get_running_loop().create_server(lambda: Connection(server), "127.0.0.1", 0)
        _, writer = await asyncio.open_connection(*listener.sockets[0].getsockname())
        writer.close()
        await server.gone.wait()
        await asyncio.sleep(0)  # the loop's own callback still holds it
        listener.close()
        return server.made()

    gc.disable()
    try:
        assert asyncio.run(visit()) is None
    finally:
        gc.enable()


def test_a_slow_reader_gets_every_byte(tmp_path):
    log = tmp_path / "log.csv"
    with simulate(ttft=0.0, itl=0.0, output_tokens=40_000, log=str(log)) as server:
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect(("127.0.0.1", server.port))
            connection.sendall(request({**HELLO, "stream": True}, "connection: close"))
            chat(server, stream=True, timeout=30)  # all of another answer; ours meanwhile fills the buffers
            received = b"".join(iter(lambda: connection.recv(1 << 20), b""))
        server.stop()
    assert received.count(b'"delta":{"content":" ') == 40_000
    assert max(row.blocked for row in read_requests(log)) > 0


def test_a_certificate_makes_it_https(tmp_path):
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
    )
    subprocess.run([*command.split(), "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.create_default_context(cafile=str(certificate))
    with simulate(ttft=0.0, itl=0.0, output_tokens=3, certfile=str(certificate), keyfile=str(key)) as server:
        assert server.url.startswith("https://127.0.0.1:")
        with (
            socket.create_connection(("127.0.0.1", server.port), timeout=60) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
        ):
            connection.sendall(request({**HELLO, "stream": True}, "connection: close"))
            received = b"".join(iter(lambda: connection.recv(65536), b""))
    assert received.count(b'"delta":{"content":" ') == 3
