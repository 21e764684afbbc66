"""A small server that speaks no OpenAI: JSON lines, signed requests, uploads, a websocket; it keeps the truth."""

import asyncio
import contextlib
import hashlib
import hmac
import json
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from time import time
from typing import Any

from aiohttp import WSMsgType, web

KEY = b"a key that both sides know"
FIRST, GAP = 0.04, 0.03
"""Seconds until the first piece, and between pieces."""


def pieces_of(asked: str) -> list[str]:
    """Return the pieces of the answer to a question: its words, last one first."""
    return [f"{word} " for word in reversed(asked.split())]


@dataclass
class Told:
    """One answer as the server sent it: when each piece of text went out (Unix seconds)."""

    asked: str
    pieces: list[str]
    moments: list[float] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.pieces)


@dataclass
class Server:
    """A running server and what it has told so far, in order of arrival."""

    port: int = 0
    told: list[Told] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def url(self, path: str, scheme: str = "http") -> str:
        return f"{scheme}://127.0.0.1:{self.port}/{path}"

    def answer(self, asked: str) -> Told:
        self.told.append(Told(asked, pieces_of(asked)))
        return self.told[-1]

    async def messages(self, asked: str) -> AsyncIterator[dict[str, Any]]:
        """Yield the messages of one answer at their times: the pieces, then the counts."""
        told = self.answer(asked)
        begin = asyncio.get_running_loop().time()
        for index, piece in enumerate(told.pieces):
            await asyncio.sleep(begin + FIRST + index * GAP - asyncio.get_running_loop().time())
            told.moments.append(time())
            yield {"kind": "piece", "text": piece}
        yield {"kind": "end", "read": len(asked.split()), "written": len(told.pieces)}

    async def lines(self, request: web.Request) -> web.StreamResponse:
        """Answer ``{"ask": text}`` with JSON lines."""
        asked = (await request.json())["ask"]
        return await self._stream(request, asked, "application/x-ndjson", "{}\n")

    async def signed(self, request: web.Request) -> web.StreamResponse:
        """Answer a body whose HMAC is in the header X-Signature with events of its own kind."""
        body = await request.read()
        given, due = request.headers.get("X-Signature", ""), hmac.new(KEY, body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(given, due):
            self.refused.append(given)
            return web.json_response({"error": "the signature is wrong"}, status=401)
        return await self._stream(request, json.loads(body)["ask"], "text/event-stream", "data: {}\n\n")

    async def upload(self, request: web.Request) -> web.StreamResponse:
        """Answer an uploaded file (multipart, field ``file``) with one JSON object."""
        parts = {}
        async for part in await request.multipart():  # type: ignore[union-attr]
            parts[part.name] = (await part.text(), part.filename)  # type: ignore[union-attr]
        asked, name = parts["file"]
        told = self.answer(asked)
        await asyncio.sleep(FIRST)
        told.moments.append(time())
        return web.json_response(
            {"file": name, "text": told.text, "read": len(asked.split()), "written": len(told.pieces)}
        )

    async def socket(self, request: web.Request) -> web.StreamResponse:
        """Answer each question that comes over a websocket with messages."""
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                async for each in self.messages(json.loads(message.data)["ask"]):
                    await socket.send_json(each)
        return socket

    async def _stream(self, request: web.Request, asked: str, kind: str, frame: str) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": kind})
        await answer.prepare(request)
        async for message in self.messages(asked):
            await answer.write(frame.replace("{}", json.dumps(message)).encode())
        await answer.write_eof()
        return answer


@contextlib.contextmanager
def serving() -> Iterator[Server]:
    """Serve on a free port, on a loop and thread of its own, until the block ends."""
    server, loop, ready = Server(), asyncio.new_event_loop(), threading.Event()
    app = web.Application()
    for path in ("lines", "signed", "upload"):
        app.router.add_post(f"/{path}", getattr(server, path))
    app.router.add_get("/socket", server.socket)
    runner = web.AppRunner(app, shutdown_timeout=0.1)

    async def begin() -> None:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        server.port = runner.addresses[0][1]
        ready.set()

    def serve() -> None:
        loop.run_until_complete(begin())
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.close()

    thread = threading.Thread(target=serve, name="plugin-server", daemon=True)
    thread.start()
    ready.wait(10)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
