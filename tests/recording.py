"""A server that keeps what it is sent: what the tests of options ask."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ANSWER = {
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 1},
}


@dataclass(frozen=True)
class Received:
    """One request as it came over the wire; names of headers in lower case."""

    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class Recording:
    """A running server: where it is, what it got, what it answers, and which models it lists."""

    url: str
    received: list[Received] = field(default_factory=list)
    answer: Any = field(default_factory=lambda: ANSWER)
    status: int = 200
    models: list[str] = field(default_factory=list)


class _Server(ThreadingHTTPServer):
    request_queue_size = 128  # of five, as is usual, a busy machine refuses connections


@contextmanager
def recording() -> Iterator[Recording]:
    """Answer every POST with the same JSON and keep what was asked; list ``models`` to whoever asks for them."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            kept.received.append(Received(self.path, headers, json.loads(body)))
            self._reply(kept.status, kept.answer)

        def do_GET(self) -> None:
            self._reply(200, {"data": [{"id": name} for name in kept.models]})

        def _reply(self, status: int, content: Any) -> None:
            data = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = _Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    kept = Recording(f"http://127.0.0.1:{server.server_port}")
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield kept
    finally:
        server.shutdown()
        server.server_close()
