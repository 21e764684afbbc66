"""Connections between a driver and its workers on other machines.

Each share has three, as a process has pipes, and each knows one direction or strict turns: orders, events, rows. Both
sides prove that they know the share's key, which came by another way, before anything else is said.
"""

import contextlib
import hmac
import json
import socket
import ssl
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from secrets import token_hex
from typing import Any, BinaryIO, cast

from perfkit import __version__
from perfkit.errors import WorkerLost
from perfkit.loadgen.workers import framing
from perfkit.runfile.remote import Answer, Question, RemoteStoreServer
from perfkit.secrets import Secret

PARTS = ("orders", "events", "rows")
PATIENCE = 10.0
"""Seconds for a connection and its first words."""
LINE = 4096
VERSION = f"perfkit {__version__} on Python {sys.version_info.major}.{sys.version_info.minor}"


@dataclass(frozen=True)
class Call:
    """Where a share reaches its driver, and how it proves itself.

    Parameters
    ----------
    host, port
        The driver's.
    index : int
        Of the share.
    key : Secret
        Of this share, for these connections alone.
    security : dict
        Where the cluster speaks TLS: its ca_file, and the worker's cert, key and ciphers, each a path or the text.
    """

    host: str
    port: int
    index: int
    key: Secret
    security: dict[str, Any] | None = None


@dataclass(frozen=True)
class Link:
    """One connection, proven on both sides."""

    end: socket.socket
    stream: BinaryIO
    index: int
    part: str
    version: str

    def close(self) -> None:
        """Hang up; whoever waits for its next word hears the end."""
        with contextlib.suppress(OSError):
            self.end.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError, ValueError):
            self.stream.close()
        self.end.close()

    def ask(self, question: Question) -> Answer:
        """Put a question to the driver's end of the rows and wait for the answer."""
        framing.send(self.stream, question)
        answer: Answer | None = framing.receive(self.stream)
        if answer is None:
            raise ConnectionResetError("it hung up")
        return answer

    def serve(self, far: RemoteStoreServer) -> None:
        """Answer what the share's store asks for, until it hangs up, or says what none of ours would."""
        try:
            while (question := framing.receive_plain(self.stream)) is not None:
                framing.send(self.stream, far.answer(question))
        except (OSError, ValueError):
            self.close()
        finally:
            far.close()


def dial(call: Call, parts: Sequence[str] = PARTS) -> dict[str, Link]:
    """Connect to the driver, from a share; return the connections by their part."""
    context = None
    if call.security is not None:
        from distributed.security import Security

        named = {"tls_ca_file": "ca_file", "tls_ciphers": "ciphers", "tls_worker_cert": "cert", "tls_worker_key": "key"}
        fields = {name: call.security[key] for name, key in named.items()}
        context = Security(**fields).get_connection_args("worker")["ssl_context"]
    return {part: _dialled(call, part, context) for part in parts}


def _dialled(call: Call, part: str, context: ssl.SSLContext | None) -> Link:
    end = _tuned(socket.create_connection((call.host, call.port), PATIENCE))
    end = context.wrap_socket(end, server_hostname=call.host) if context is not None else end
    stream = _stream(end)
    theirs, ours = _line(stream), token_hex(16)
    hello = {"index": call.index, "part": part, "nonce": ours, "version": VERSION}
    hello["proof"] = _proof(call.key, part, theirs)
    framing.tell(stream, hello)
    if not hmac.compare_digest(_line(stream), _proof(call.key, "driver", ours)):
        raise ConnectionRefusedError(f"what answers at {call.host}:{call.port} is not this share's driver")
    end.settimeout(None)
    return Link(end, stream, call.index, part, VERSION)


def answer(end: socket.socket, keys: Sequence[Secret], context: ssl.SSLContext | None) -> Link | None:
    """Take up a connection, at the driver; None, hung up, when the other side is not a share of ours."""
    try:
        end = _tuned(end)
        end.settimeout(PATIENCE)
        end = context.wrap_socket(end, server_side=True) if context is not None else end
        stream, ours = _stream(end), token_hex(16)
        _say(stream, ours)
        hello = json.loads(_line(stream))
        index, part = int(hello["index"]), str(hello["part"])
        if part not in PARTS or not hmac.compare_digest(str(hello["proof"]), _proof(keys[index], part, ours)):
            raise ConnectionRefusedError
        _say(stream, _proof(keys[index], "driver", str(hello["nonce"])))
        end.settimeout(None)
    except (OSError, ValueError, KeyError, IndexError, TypeError):  # a stranger may say anything
        end.close()
        return None
    return Link(end, stream, index, part, str(hello["version"]))


def gather(
    listener: socket.socket,
    keys: Sequence[Secret],
    context: ssl.SSLContext | None,
    give_up: Callable[[frozenset[int]], None],
) -> list[dict[str, Link]]:
    """Wait until every share has called; return its connections by their part."""
    links: list[dict[str, Link]] = [{} for _ in keys]
    listener.settimeout(0.2)
    try:
        while not all(len(parts) == len(PARTS) for parts in links):
            give_up(frozenset(index for index, parts in enumerate(links) if parts))
            with contextlib.suppress(TimeoutError):
                link = answer(listener.accept()[0], keys, context)
                if link is None:
                    continue
                links[link.index][link.part] = link
                _require_same(link)
    except BaseException:
        for parts in links:
            for link in parts.values():
                link.close()
        raise
    return links


def take_over(
    listener: socket.socket, keys: Sequence[Secret], context: ssl.SSLContext | None, serve: Callable[[Link], None]
) -> None:
    """Take up connections for rows until the listener is closed: of recorders in the place of those that died."""
    listener.settimeout(None)
    while True:
        try:
            end, _ = listener.accept()
        except OSError:
            return
        link = answer(end, keys, context)
        if link is not None and link.part == "rows" and link.version == VERSION:
            serve(link)
        elif link is not None:
            link.close()


def _require_same(link: Link) -> None:
    if link.version != VERSION:
        raise WorkerLost(f"worker {link.index + 1} has {link.version}, this is {VERSION}; install the same on both")


def _tuned(end: socket.socket) -> socket.socket:
    """Send small words at once, and notice within a quarter of a minute when the other machine is gone."""
    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    end.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 5), ("TCP_KEEPINTVL", 3), ("TCP_KEEPCNT", 3), ("TCP_USER_TIMEOUT", 14_000)):
        if hasattr(socket, name):
            end.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return end


def _stream(end: socket.socket) -> BinaryIO:
    return cast(BinaryIO, end.makefile("rwb"))


def _say(stream: BinaryIO, line: str) -> None:
    stream.write(line.encode() + b"\n")
    stream.flush()


def _line(stream: BinaryIO) -> str:
    return stream.readline(LINE).decode("ascii", "replace").strip()


def _proof(key: str, who: str, nonce: str) -> str:
    return hmac.new(key.encode(), f"{who} {nonce}".encode(), "sha256").hexdigest()
