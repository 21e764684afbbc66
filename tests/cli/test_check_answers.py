"""``perfkit check`` says what an endpoint answered, whatever that was, and never ends in a traceback."""

import json
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

from perfkit.cli import main
from perfkit.simulator import simulate
from tests.replay import FIELD, Reply, replay
from tests.scripted import CLOSE, READ, scripted

pytestmark = pytest.mark.processes

JSON = "application/json"


def chat(**message: Any) -> bytes:
    return json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()


def event(**delta: Any) -> bytes:
    return b"data: " + json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode() + b"\n\n"


def field(name: str) -> bytes:
    return (FIELD / name).read_bytes()


CALL = {"index": 0, "id": "x", "type": "function", "function": {"name": "get", "arguments": '{"a": 1}'}}
END = b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\n'
USAGE = b'data: {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}\n\n'

ANSWERED = [
    (
        "a streamed tool call",
        field("check-tool-calls/response.sse"),
        None,
        "answer      a tool call: 'get{\"a\":1}' in ",
    ),
    ("a whole tool call", chat(content=None, tool_calls=[CALL]), JSON, "answer      a tool call: 'get{\"a\": 1}' in "),
    ("text and a tool call", chat(content="Hm.", tool_calls=[CALL]), JSON, "answer      'Hm.' and a tool call: "),
    ("reasoning alone", event(reasoning_content="hm") + END, None, "answer      reasoning: 'hm' in "),
    (
        "null, but counted",
        event(content=None) + END + USAGE,
        None,
        "answer      no text (the content is null or empty) in ",
    ),
    ("a whole answer", chat(content="Hi"), JSON, "stream      no, although it was asked for: TTFT and ITL cannot be "),
    (
        "embeddings",
        b'{"data": [{"embedding": [0.1, 0.2]}], "usage": {"prompt_tokens": 3, "total_tokens": 3}}',
        JSON,
        "answer      embeddings: 1 of 2 numbers in ",
    ),
    ("a bare list", b"[[0.1, 0.2, 0.3]]", JSON, "advice      the answer is in the dialect of --api tei: give that"),
    ("a ranking", b'{"results": [{"index": 0, "relevance_score": 0.5}]}', JSON, "answer      a ranking: 1 in "),
    (
        "Ollama",
        field("native-dialects/ollama.ndjson"),
        "application/x-ndjson",
        "advice      the answer is in the dialect of --api ollama: give that",
    ),
    (
        "Gemini",
        field("native-dialects/gemini.sse"),
        None,
        "advice      the answer is in the dialect of --api gemini: give that",
    ),
    ("control characters", chat(content="a\x1b[2Jb"), JSON, "answer      'a\\x1b[2Jb' in "),
]


@pytest.mark.parametrize(("body", "kind", "line"), [case[1:] for case in ANSWERED], ids=[case[0] for case in ANSWERED])
def test_an_answer_is_named(capsys: pytest.CaptureFixture[str], body: bytes, kind: str | None, line: str) -> None:
    with replay(Reply(body, kind or "text/event-stream", pause=0)) as server:
        status = main(["check", server.url, "--model", "m"])
    said = capsys.readouterr().out
    assert [each for each in said.splitlines() if each.startswith(line)], said
    assert status == 0


FASTAPI = b'{"detail": [{"type": "missing", "loc": ["body", "inputs"], "msg": "Field required", "input": {}}]}'
PAGE = b"<!DOCTYPE html><html><head><title>Open WebUI</title></head><body></body></html>"
NGINX = b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body></body>\r\n</html>"
REFUSED = [
    ("null content", Reply(chat(content=None), JSON), "carries no text, no tool call and no usage"),
    ("empty content", Reply(chat(content=""), JSON), "carries no text, no tool call and no usage"),
    ("an empty body", Reply(b"", JSON, chunked=False), ""),
    ("null", Reply(b"null", JSON), "not a JSON object"),
    ("a number", Reply(b"42", JSON), "not a JSON object"),
    ("plain text", Reply(b"OK", "text/plain"), "not a JSON object (text/plain): 'OK'"),
    ("an HTML page", Reply(PAGE, "text/html"), "an HTML page ('Open WebUI'), not JSON"),
    ("another dialect", Reply(b'{"word": "a"}', JSON), "unknown dialect; a plugin with read_message can read it"),
    ("401", Reply(b'{"error": {"message": "wrong key"}}', JSON, status="401 Unauthorized"), "HTTP 401: wrong key"),
    ("404", Reply(b'{"detail": "Not Found"}', JSON, status="404 Not Found"), "HTTP 404: Not Found"),
    ("422", Reply(FASTAPI, JSON, status="422 Unprocessable Entity"), "HTTP 422: body.inputs: Field required"),
    ("405 without a body", Reply(b"", None, status="405 Method Not Allowed", chunked=False), "HTTP 405"),
    ("a gateway's page", Reply(NGINX, "text/html", status="502 Bad Gateway"), "HTTP 502: 502 Bad Gateway"),
    (
        "a redirect",
        Reply(b"", None, ["Location: https://h/v1"], status="308 Permanent Redirect", chunked=False),
        "redirected to https://h/v1; give that URL",
    ),
    (
        "an array of errors",
        Reply(b'[{"error": {"message": "no such model"}}]', JSON, status="400 Bad Request"),
        "no such",
    ),
    ("an error in the stream", Reply(b'data: {"error": {"message": "no memory"}}\n\n'), "no memory"),
]


@pytest.mark.parametrize(("reply", "words"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_an_answer_that_cannot_be_measured_is_named_with_status_three(
    capsys: pytest.CaptureFixture[str], reply: Reply, words: str
) -> None:
    with replay(reply) as server:
        status = main(["check", server.url, "--model", "m"])
    captured = capsys.readouterr()
    assert status == 3, captured.out
    assert f"endpoint    {server.url}/chat/completions" in captured.out
    assert words in captured.out
    assert words in captured.err
    assert captured.err.startswith("perfkit: no request succeeded; ")


def test_a_path_of_another_api_is_named_when_the_request_fails(capsys: pytest.CaptureFixture[str]) -> None:
    with replay(Reply(FASTAPI, JSON, status="422 Unprocessable Entity")) as server:
        assert main(["check", server.url.replace("/v1", "/generate_stream"), "--model", "m"]) == 3
    assert "advice      the path is that of --api tgi: " in capsys.readouterr().out


def test_check_json_has_the_same_for_scripts(capsys: pytest.CaptureFixture[str]) -> None:
    with replay("check-tool-calls") as server:
        assert main(["check", server.url, "--model", "m", "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert (found["answer"], found["output_text"], found["dialect"]) == (
            "a tool call: 'get{\"a\":1}'",
            None,
            "openai",
        )
    with replay(Reply(b'{"detail": "no"}', JSON, status="401 Unauthorized")) as server:
        assert main(["check", server.url, "--model", "m", "--json"]) == 3
        found = json.loads(capsys.readouterr().out)
    assert (found["success"], found["status"], found["error_kind"], found["error"]) == (
        *(False, 401, "http_status"),
        "HTTP 401: no",
    )


@pytest.mark.parametrize("api", ["embeddings", "rerank"])
def test_check_of_an_api_without_text_counts_its_tokens(capsys: pytest.CaptureFixture[str], api: str) -> None:
    with simulate() as server:
        status = main(["check", server.url, "--api", api])
    captured = capsys.readouterr()
    assert status == 0, captured.err
    assert "usage       from the server: " in captured.out


def _closed_at_once() -> AbstractContextManager[Any]:
    return scripted([READ, CLOSE])


def _not_http() -> AbstractContextManager[Any]:
    return scripted([b"SSH-2.0-OpenSSH_9.2\r\n", READ, 0.2, CLOSE])


def _tls_alert() -> AbstractContextManager[Any]:
    return scripted([READ, b"\x15\x03\x01\x00\x02\x02\x46", CLOSE])


def _plain_for_tls() -> AbstractContextManager[Any]:
    return scripted([0.1, b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", CLOSE])


@pytest.mark.parametrize(
    ("serve", "scheme", "words"),
    [
        (_closed_at_once, "http", "closed the connection"),
        (_not_http, "http", "not an HTTP answer"),
        (_tls_alert, "http", "speaks TLS; give https://"),
        (_plain_for_tls, "https", "does not speak TLS; give http://"),
    ],
    ids=["an empty reply", "not HTTP", "TLS on the other side", "no TLS on the other side"],
)
def test_what_is_no_http_is_named(
    capsys: pytest.CaptureFixture[str], serve: Callable[[], AbstractContextManager[Any]], scheme: str, words: str
) -> None:
    with serve() as server:
        status = main(["check", f"{scheme}://127.0.0.1:{server.port}", "--model", "m"])
    assert status == 3
    assert words in capsys.readouterr().err


def test_a_port_that_nobody_listens_on_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert main(["check", f"http://127.0.0.1:{port}", "--model", "m"]) == 3
    assert "Connection refused" in capsys.readouterr().err
