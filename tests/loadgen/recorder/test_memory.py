"""What endless answers cost in memory: of the process that measures, and of the one that stores."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import perfkit as pk
from tests.loadgen.workers.processes import children, family, until

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc"),
    pytest.mark.processes,
    pytest.mark.slow,
]

ENDLESS = """
import socket, sys, threading

event = b'data: {"choices": [{"index": 0, "delta": {"content": "%b"}}]}\\n\\n' % (b"x" * int(sys.argv[1]))
chunk = b"%x\\r\\n%b\\r\\n" % (len(event), event)
chunks = chunk * max(1, 65536 // len(chunk))
head = b"HTTP/1.1 200 OK\\r\\nContent-Type: text/event-stream\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n"


def answer(client):
    try:
        client.recv(65536)
        client.sendall(head)
        while True:
            client.sendall(chunks)
    except OSError:
        pass


with socket.create_server(("127.0.0.1", 0)) as server:
    print(server.getsockname()[1], flush=True)
    while True:
        threading.Thread(target=answer, args=(server.accept()[0],), daemon=True).start()
"""


@pytest.fixture
def endless(request: pytest.FixtureRequest) -> Iterator[str]:
    """Answer each request without an end, in events with so many characters of text."""
    words = [sys.executable, "-c", ENDLESS, str(request.param)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield f"http://127.0.0.1:{int(server.stdout.readline())}/v1/chat/completions"
        server.kill()


def peak(pid: int) -> int:
    """Return the most memory that a process has had so far, in MB; 0 where it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) // 1000 for line in lines if line.startswith("VmHWM")), 0)


@pytest.mark.parametrize("endless", [20, 5000], indirect=True, ids=["small events", "large events"])
def test_eight_endless_answers_take_no_more_than_150_mb_in_each_process(endless: str, tmp_path: Path) -> None:
    before = set(children(os.getpid()))
    path = tmp_path / "run.db"
    job = pk.start(endless, model="m", prompt="hi", number=8, parallel=8, preflight=False, db=str(path))
    peaks: dict[int, int] = {}

    def ended() -> bool:
        for worker in set(children(os.getpid())) - before:
            for pid in family(worker):
                peaks[pid] = max(peaks.get(pid, 0), peak(pid))
        return job.done()

    until(ended)
    with closing(sqlite3.connect(path)) as db:
        found = db.execute("SELECT error_kind, length(response_messages) FROM result").fetchall()
    assert [kind for kind, _ in found] == ["too_large"] * 8
    assert min(size for _, size in found) > 8_000_000  # what came is kept
    # 150 and some room: what a Python takes before anything was sent differs between builds.
    assert max(peaks.values()) < 165, peaks
