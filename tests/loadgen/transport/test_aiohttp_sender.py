"""The second transport, through a proxy and by plugins that send by themselves."""

import json
from pathlib import Path
from typing import Any

import pytest

from perfkit.apis.base import ApiPluginBase
from perfkit.registry import APIS
from perfkit.runfile.safe_pickle import decode_cell
from tests.measured import rows_of
from tests.ports import free_port
from tests.scripted import (
    ANSWER,
    BODY,
    CLOSE,
    DONE,
    FINISH,
    HANG,
    LAST,
    READ,
    RESET,
    STREAM,
    USAGE,
    Script,
    chunk,
    delta,
    scripted,
    whole,
)

pytestmark = pytest.mark.processes

TARGET = "http://model.invalid:8000"


def through(script: Script, folder: Path, **given: Any) -> tuple[dict[str, Any], bytes]:
    """Send one request through a proxy that plays a script; return its row and what the proxy got."""
    with scripted(script) as proxy:
        (row,) = rows_of(TARGET, folder, **{"proxy": proxy.url, **given})
        return row, b"".join(proxy.requests)


def test_a_proxy_is_asked_for_the_whole_url(tmp_path: Path) -> None:
    row, request = through([READ, STREAM, chunk(ANSWER), LAST, HANG], tmp_path)
    assert request.startswith(b"POST http://model.invalid:8000/v1/chat/completions HTTP/1.1\r\n")
    assert (row["success"], row["completion_tokens"], row["output_text"]) == (1, 2, "Hello")
    assert row["stamp_source"] == "user"


def test_a_proxy_is_asked_for_the_model_too(tmp_path: Path) -> None:
    listed = whole(b'{"data": [{"id": "theirs"}]}')
    row, requests = through([READ, listed, READ, whole(BODY), HANG], tmp_path, model=None)
    assert requests.startswith(b"GET http://model.invalid:8000/v1/models HTTP/1.1\r\n")
    assert decode_cell(row["request"], "request")["model"] == "theirs"


def test_pieces_are_stamped_as_they_come(tmp_path: Path) -> None:
    script = [READ, STREAM, 0.1, chunk(delta("Hel")), 0.1, chunk(delta("lo")), chunk(FINISH + USAGE + DONE), LAST, HANG]
    row, _ = through(script, tmp_path)
    assert row["first_chunk_latency"] >= 0.1
    assert json.loads(row["inter_token_latencies"])[0] > 0.05


def test_the_environment_names_the_proxy_only_when_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted([READ, whole(BODY), HANG]) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        assert rows_of(f"http://127.0.0.1:{free_port()}", tmp_path / "a") == []
        assert proxy.connections == 0
        (asked,) = rows_of(TARGET, tmp_path / "b", proxy="env")
    assert asked["success"] == 1


def test_credentials_of_a_proxy_reach_it_and_nothing_else(tmp_path: Path) -> None:
    told = b"bad pair: canary-proxy-0001 bWU6Y2FuYXJ5LXByb3h5LTAwMDE="
    with scripted([READ, whole(told, status="407 No", kind="text/plain"), HANG]) as proxy:
        (row,) = rows_of(TARGET, tmp_path, proxy=proxy.url.replace("//", "//me:canary-proxy-0001@"))
        assert b"Proxy-Authorization: Basic bWU6Y2FuYXJ5LXByb3h5LTAwMDE=" in proxy.requests[0]
    assert row["success"] == 0
    stored = b"".join(each.read_bytes() for each in tmp_path.iterdir())
    assert b"canary-proxy-0001" not in stored
    assert b"bWU6Y2FuYXJ5" not in stored


@pytest.mark.parametrize(
    ("script", "kind", "given"),
    [
        ([READ, RESET], "reset", {}),
        ([READ, STREAM, chunk(delta("Hello")), 0.05, CLOSE], "reset", {}),
        ([READ, HANG], "read_timeout", {"read_timeout": 0.2}),
        ([READ, STREAM, *[chunk(delta("")), 0.05] * 20], "total_timeout", {"total_timeout": 0.3}),
        ([READ, STREAM, chunk(delta("Hello")), HANG], "cancelled", {"cancel": 1, "cancel_after": 0.2}),
        ([READ, whole(b"", "Location: http://other.invalid/", status="302 Away"), HANG], "http_status", {}),
        ([READ, STREAM, *[chunk(b": " + b"x" * 2**20 + b"\n\n")] * 40, LAST, HANG], "too_large", {}),
        ([READ, b"garbage\r\n\r\n", HANG], "protocol", {}),
    ],
    ids=["RST", "FIN inside", "silence", "no end", "a client that leaves", "a redirect", "an endless body", "garbage"],
)
def test_what_goes_wrong_has_the_names_it_has_on_our_own_transport(
    script: Script, kind: str, given: dict[str, Any], tmp_path: Path
) -> None:
    row, _ = through(script, tmp_path, **given)
    assert (row["success"], row["error_kind"]) == (0, kind), row["error"]
    assert row["latency"] is None


def test_a_proxy_that_is_not_there_is_a_connection_that_failed(tmp_path: Path) -> None:
    port = free_port()
    (row,) = rows_of(TARGET, tmp_path, proxy=f"http://me:canary-proxy-0001@127.0.0.1:{port}")
    assert row["error_kind"] == "connect"
    assert row["error"] == f"cannot connect to the proxy 127.0.0.1:{port}: Connection refused"


def test_a_proxy_that_no_name_server_knows_is_named(tmp_path: Path) -> None:
    (row,) = rows_of("http://127.0.0.1:1", tmp_path, proxy="http://proxy.invalid:3128")
    assert row["error"].startswith("cannot connect to the proxy proxy.invalid:3128: ")


def test_a_proxy_that_refuses_a_tunnel_says_so(tmp_path: Path) -> None:
    with scripted([whole(b"", status="407 Who are you"), HANG]) as proxy:
        (row,) = rows_of("https://model.invalid", tmp_path, proxy=proxy.url)
    assert (row["error_kind"], row["error"]) == ("protocol", "the proxy refused the connection: HTTP 407 Who are you")


class Yielding(ApiPluginBase):
    """Sends by itself, as the first users' generator plugins do."""

    def build_request(self, messages: Any, param: Any = None) -> Any:
        return {"text": "hi"}

    async def process_request(self, session: Any, url: str, headers: Any, body: Any) -> Any:
        async with session.post(url, json=body, headers=headers) as answer:
            async for line in answer.content:
                if text := line.strip():
                    yield False, answer.status, text.decode().removeprefix("data: ")

    def parse_responses(self, responses: Any, request: Any = None, **kwargs: Any) -> Any:
        return 1, len(responses)


def test_each_yield_of_a_plugin_is_stamped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(APIS.own, "yielding", Yielding)
    script = [READ, STREAM, 0.1, chunk(delta("a")), 0.1, chunk(delta("b")), LAST, HANG]
    with scripted(script) as server:
        (row,) = rows_of(server.url, tmp_path, api="yielding")
    assert (row["success"], row["completion_tokens"]) == (1, 2)
    assert row["first_chunk_latency"] >= 0.1
    (gap,) = json.loads(row["inter_token_latencies"])
    assert gap > 0.05


def test_a_plugin_that_hangs_is_stopped_with_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(APIS.own, "yielding", Yielding)
    with scripted([READ, HANG]) as server:
        rows = rows_of(server.url, tmp_path, api="yielding", read_timeout=0.2)
    assert [row["error_kind"] for row in rows] == ["read_timeout"]
