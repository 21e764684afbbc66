import socket
from pathlib import Path

import pytest

import perfkit as pk
from perfkit.errors import NothingSucceeded, UsageError
from perfkit.runner.start import start
from tests.measured import SMALL, rows_of
from tests.scripted import ANSWER, HANG, LAST, READ, STREAM, chunk, head, scripted

GOOD = [READ, STREAM, chunk(ANSWER), LAST] * 3 + [HANG]


def listening(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(8)
    return listener


@pytest.mark.processes
@pytest.mark.parametrize(
    ("url", "option", "path"),
    [
        ("unix://{}", False, "/v1/chat/completions"),
        ("unix://{}:/api/v1", False, "/api/v1/chat/completions"),
        ("http://a.host/v1", True, "/v1/chat/completions"),
    ],
)
def test_a_unix_socket_is_measured(url: str, option: bool, path: str, tmp_path: Path) -> None:
    place = tmp_path / "server.sock"
    with scripted(GOOD, listener=listening(place)) as server:
        given = {"unix_socket": str(place)} if option else {}
        rows = rows_of(url.format(place), tmp_path, number=2, **given)
        request = server.requests[0]
    assert [(row["success"], row["output_text"], row["attempts"]) for row in rows] == [(1, "Hello", 1)] * 2
    assert request.startswith(f"POST {path} HTTP/1.1\r\nHost: {'a.host' if option else 'localhost'}\r\n".encode())


@pytest.mark.processes
def test_the_model_is_asked_for_on_the_socket_too(tmp_path: Path) -> None:
    place = tmp_path / "server.sock"
    models = b'{"data":[{"id":"named"}]}'
    ask = [b"", head(f"Content-Length: {len(models)}", kind="application/json") + models]
    with scripted([0.05, *ask, HANG], GOOD, listener=listening(place)):
        runs = pk.run(f"unix://{place}", **{**SMALL, "model": None}, db=str(tmp_path / "run.db"))
    assert runs[0].table["model"].tolist() == ["named"]


@pytest.mark.processes
def test_a_socket_that_is_not_there_is_named(tmp_path: Path) -> None:
    job = start(f"unix://{tmp_path}/no.sock", **SMALL, db=str(tmp_path / "run.db"))
    with pytest.raises(NothingSucceeded, match=r"cannot connect to .*no\.sock: No such file or directory"):
        job.wait(10)


@pytest.mark.parametrize("url", ["unix://", "unix://relative.sock"])
def test_a_socket_without_a_path_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match=r"url must look like unix:///path/of\.sock"):
        pk.Arguments(url=url)
