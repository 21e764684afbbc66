"""Connections between a driver and its shares: proven on both sides before anything else is said."""

import pickle
import socket
import threading
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from perfkit.errors import WorkerLost
from perfkit.loadgen.workers import framing
from perfkit.loadgen.workers import remote as room
from perfkit.loadgen.workers.remote import PARTS, Call, dial, gather
from perfkit.runfile.remote import RemoteStoreServer
from perfkit.secrets import Secret

KEYS = [Secret("k" * 64), Secret("l" * 64)]


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def call(listener: socket.socket, index: int, key: str | None = None) -> Call:
    return Call("127.0.0.1", listener.getsockname()[1], index, Secret(key or KEYS[index]))


def dialled(*calls: Call) -> "tuple[threading.Thread, list[Any]]":
    """Dial in turn on a thread; return it and what came of each."""
    outcomes: list[Any] = []

    def run() -> None:
        for each in calls:
            try:
                outcomes.append(dial(each))
            except OSError as error:
                outcomes.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, outcomes


def test_every_share_gets_its_connections_and_words_pass(listener: socket.socket) -> None:
    thread, outcomes = dialled(call(listener, 1), call(listener, 0))
    links = gather(listener, KEYS, None, lambda _: None)
    thread.join()
    assert [sorted(parts) for parts in links] == [sorted(PARTS)] * 2
    for theirs, index in zip(outcomes, (1, 0), strict=True):
        framing.send(links[index]["orders"].stream, ("go", index))
        assert framing.receive(theirs["orders"].stream) == ("go", index)
        theirs["events"].close()
        assert list(framing.heard(links[index]["events"].stream)) == []


def test_a_stranger_is_hung_up_on_and_waiting_goes_on(listener: socket.socket) -> None:
    thread, outcomes = dialled(call(listener, 0, "x" * 64), call(listener, 0))
    (parts,) = gather(listener, KEYS[:1], None, lambda _: None)
    thread.join()
    assert isinstance(outcomes[0], OSError)
    assert set(parts) == set(PARTS) == set(outcomes[1])


@pytest.mark.parametrize("words", [b"", b"\n", b"GET / HTTP/1.1\r\n\r\n", b'{"index": 7, "part": "orders"}\n', b"[]\n"])
def test_whatever_a_stranger_says_it_is_refused(words: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as stranger:
        accepted, _ = server.accept()
        stranger.sendall(words)
        stranger.shutdown(socket.SHUT_WR)
        assert room.answer(accepted, KEYS, None) is None


def test_a_share_does_not_talk_to_a_driver_that_does_not_know_its_key(listener: socket.socket) -> None:
    thread, outcomes = dialled(call(listener, 0))
    accepted, _ = listener.accept()
    with accepted, accepted.makefile("rwb") as stream:
        stream.write(b"nonce\n")
        stream.flush()
        stream.readline()
        stream.write(b"0" * 64 + b"\n")
        stream.flush()
        thread.join()
    assert "is not this share's driver" in str(outcomes[0])


def test_waiting_ends_when_it_is_told_to_and_hangs_up_on_those_who_called(listener: socket.socket) -> None:
    def give_up(called: frozenset[int]) -> None:
        if called == {0}:
            raise WorkerLost("enough")

    thread, outcomes = dialled(call(listener, 0))
    with pytest.raises(WorkerLost, match="enough"):
        gather(listener, KEYS, None, give_up)
    listener.close()
    thread.join()
    assert isinstance(outcomes[0], OSError) or framing.receive(outcomes[0]["orders"].stream) is None


def test_another_version_is_told(listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    thread, _ = dialled(call(listener, 0))
    accepted, _ = listener.accept()
    answered = room.answer(accepted, KEYS, None)
    monkeypatch.setattr(room, "VERSION", "perfkit 9 on Python 4")
    assert answered is not None
    with pytest.raises(WorkerLost, match=r"worker 1 has perfkit .* this is perfkit 9 on Python 4; install the same"):
        room._require_same(answered)
    answered.close()
    listener.close()
    thread.join()


def test_a_driver_reads_nothing_but_plain_data_from_a_share() -> None:
    def framed(message: object) -> BytesIO:
        data = pickle.dumps(message)
        return BytesIO(len(data).to_bytes(8, "little") + data)

    row = {"run_id": "R", "chunks": b"\x00", "latency": 0.5, "error": None}
    assert framing.receive_plain(framed(("add_results", [[row]], {}))) == ("add_results", [[row]], {})
    with pytest.raises(ValueError, match=r"builtins.print is not plain data"):
        framing.receive_plain(framed(print))


def test_a_share_that_sends_something_else_is_hung_up_on_and_its_file_closed(
    listener: socket.socket, tmp_path: Path
) -> None:
    thread, outcomes = dialled(call(listener, 0))
    (parts,) = gather(listener, KEYS[:1], None, lambda _: None)
    thread.join()
    serving = threading.Thread(target=parts["rows"].serve, args=(RemoteStoreServer(tmp_path),))
    serving.start()
    rows = outcomes[0]["rows"]
    assert rows.ask(("open", ["r.db"], {})) == (None, None)
    with pytest.raises(ConnectionError):
        rows.ask(("add_results", [print], {}))
    serving.join(5)
    assert not (tmp_path / "r.db-wal").exists()


def test_a_key_is_masked_where_its_call_is_shown(listener: socket.socket) -> None:
    assert KEYS[0] not in repr(call(listener, 0))
