"""A server that answers every POST with bytes given beforehand, a piece at a time: what servers in the field sent."""

import contextlib
import re
import socketserver
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

FIELD = Path(__file__).parent / "fixtures" / "field"
"""Answers rebuilt from public bug reports, a folder each; see its README."""

PAUSE = 0.04
MODELS = b'{"object": "list", "data": [{"id": "m"}]}'


@dataclass(frozen=True)
class Reply:
    """One answer: its body is cut after each event, or comes in the pieces given, each an HTTP chunk of its own."""

    body: bytes | Sequence[bytes] = b""
    kind: str | None = "text/event-stream"
    headers: Sequence[str] = ()
    status: str = "200 OK"
    pause: float = PAUSE
    chunked: bool = True

    @property
    def pieces(self) -> list[bytes]:
        """What is sent, with a pause before each."""
        if not isinstance(self.body, bytes):
            return list(self.body)
        if not self.body.startswith(b"data:"):
            return [self.body]
        end = rb"\n\n" if b"\n\n" in self.body else rb"\n"
        return re.findall(rb".+?" + end + rb"|.+", self.body, re.DOTALL)


@dataclass
class Replay:
    """A running server, the requests that it was sent, and when it wrote each piece of their answers (Unix, s)."""

    port: int
    requests: list[bytes] = field(default_factory=list)
    written: list[list[float]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"


Answer: TypeAlias = Reply | bytes | str
"""A reply, the events of a stream, or the name of a case in the field (with its file, if not ``response.sse``)."""


@contextlib.contextmanager
def replay(*answers: Answer) -> Iterator[Replay]:
    """Serve until the block ends: POST i gets answer i, all further ones the last; a GET lists one model, m."""
    replies = [_reply(answer) for answer in answers]

    class Handler(socketserver.StreamRequestHandler):
        disable_nagle_algorithm = True

        def handle(self) -> None:
            with contextlib.suppress(OSError):  # the client has gone
                while head := self._head():
                    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
                    body = self.rfile.read(int(length[1]) if length else 0)
                    if head.startswith(b"GET"):
                        self._send(Reply(MODELS, "application/json", pause=0), [])
                        continue
                    with lock:
                        count = len(state.requests)
                        state.requests.append(head + body)
                        state.written.append(written := [])
                    self._send(replies[min(count, len(replies) - 1)], written)

        def _head(self) -> bytes:
            lines = [self.rfile.readline()]
            while lines[-1] not in (b"\r\n", b""):
                lines.append(self.rfile.readline())
            return b"".join(lines) if lines[-1] else b""

        def _send(self, reply: Reply, written: list[float]) -> None:
            size = f"Content-Length: {sum(map(len, reply.pieces))}"
            framing = "Transfer-Encoding: chunked" if reply.chunked else size
            kind = [f"Content-Type: {reply.kind}"] if reply.kind else []
            lines = [f"HTTP/1.1 {reply.status}", *kind, *reply.headers, framing, "", ""]
            self.wfile.write("\r\n".join(lines).encode())
            for piece in reply.pieces:
                if reply.pause and ended.wait(reply.pause):
                    return
                written.append(time.time())
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if reply.chunked and piece else piece)
            self.wfile.write(b"0\r\n\r\n" if reply.chunked else b"")

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True
        block_on_close = False
        request_queue_size = 64

    lock, ended = threading.Lock(), threading.Event()
    with Server(("127.0.0.1", 0), Handler) as server:
        state = Replay(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield state
        finally:
            ended.set()
            server.shutdown()
            thread.join(5)


def _reply(answer: Answer) -> Reply:
    if isinstance(answer, str):
        file = FIELD / answer
        answer = (file if file.is_file() else file / "response.sse").read_bytes()
    return answer if isinstance(answer, Reply) else Reply(answer)
