"""The dialects that servers speak besides OpenAI's: what is asked, what is read, when each piece came."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pandas
import pytest

import perfkit as pk
from tests.replay import FIELD, Reply, replay

pytestmark = pytest.mark.processes

LINES = "application/x-ndjson"
SSE = "text/event-stream"
JSON = "application/json"


def piece(message: Any, kind: str = LINES) -> bytes:
    text = json.dumps(message).encode()
    return text + b"\n" if kind == LINES else b"data: " + text + b"\n\n"


def lines_of(name: str) -> list[bytes]:
    return (FIELD / "native-dialects" / name).read_bytes().splitlines(keepends=True)


def gemini(text: str, **more: Any) -> dict[str, Any]:
    thought = {"thought": True} if text.startswith("hm") else {}
    return {"candidates": [{"content": {"parts": [{"text": text, **thought}]}, "index": 0, **more}]}


def llama(text: str, **more: Any) -> dict[str, Any]:
    return {"index": 0, "content": text, "tokens": [1], "stop": False, "id_slot": 0, "tokens_evaluated": 9} | more


def tgi(index: int, text: str, special: bool = False, **more: Any) -> dict[str, Any]:
    token = {"id": 5, "text": text, "logprob": -1.0, "special": special}
    return {"index": index, "token": token, "generated_text": None, "details": None} | more


COUNTS = {"promptTokenCount": 7, "candidatesTokenCount": 2, "thoughtsTokenCount": 1, "cachedContentTokenCount": 4}
GEMINI = [gemini("hm "), gemini("a "), gemini("b", finishReason="STOP") | {"usageMetadata": COUNTS}]
OLLAMA_END = {"done": True, "done_reason": "length", "prompt_eval_count": 7, "eval_count": 3}
LLAMA_END = {
    "stop": True,
    "stop_type": "limit",
    "tokens_predicted": 3,
    "tokens_cached": 11,
    "timings": {"prompt_n": 4, "cache_n": 5, "predicted_n": 3},
}
TGI_END = {
    "generated_text": "a b",
    "details": {"finish_reason": "eos_token", "generated_tokens": 3, "input_length": 7},
}
STREAMS = {
    "ollama": (
        LINES,
        [
            piece({"model": "m", "message": {"role": "assistant", "content": "", "thinking": "hm "}, "done": False}),
            piece({"model": "m", "message": {"role": "assistant", "content": "a "}, "done": False}),
            piece({"model": "m", "message": {"role": "assistant", "content": "b"}, "done": False}),
            piece({"model": "m", "message": {"role": "assistant", "content": ""}, **OLLAMA_END}),
        ],
        (7, 3, None, "length"),
    ),
    "ollama_generate": (
        LINES,
        [
            piece({"model": "m", "response": "a ", "done": False}),
            piece({"model": "m", "response": "b", "done": False}),
            piece({"model": "m", "response": "", **OLLAMA_END, "context": [1, 2]}),
        ],
        (7, 3, None, "length"),
    ),
    "llama_cpp": (
        SSE,
        [piece(llama("a "), SSE), piece(llama("b"), SSE), piece(llama("", **LLAMA_END), SSE)],
        (9, 3, 5, "limit"),
    ),
    "tgi": (
        SSE,
        [piece(tgi(1, "a "), SSE), piece(tgi(2, "b"), SSE), piece(tgi(3, "</s>", special=True, **TGI_END), SSE)],
        (7, 3, None, "eos_token"),
    ),
    "gemini": (SSE, [piece(message, SSE) for message in GEMINI], (7, 3, 4, "STOP")),
}


def measure(reply: Reply, folder: Path, path: str = "", **options: Any) -> tuple[pandas.Series, pk.Runs, bytes]:
    """Return the row of one request, its run, and what was sent."""
    given = {"number": 1, "prompt": "hi", "model": "m", "preflight": False, "workers": 0, **options}
    with replay(reply) as server:
        runs = pk.start(f"http://127.0.0.1:{server.port}{path}", **given, db=str(folder / "a.db")).wait()
    return runs.decoded().iloc[0], runs, server.requests[0]


@pytest.mark.parametrize("api", STREAMS)
def test_a_stream_of_a_native_dialect_is_measured_piece_by_piece(tmp_path: Path, api: str) -> None:
    kind, pieces, (prompt, completion, cached, reason) = STREAMS[api]
    row, runs, _ = measure(Reply(pieces, kind), tmp_path, api=api)
    assert row["success"], row["error"]
    assert (row["output_text"], row["finish_reason"], row["is_stream"]) == ("a b", reason, 1)
    assert (row["prompt_tokens"], row["completion_tokens"], row["token_source"]) == (prompt, completion, "server")
    assert row["cached_tokens"] == cached if cached is not None else pandas.isna(row["cached_tokens"])
    tokens = runs.chunks[runs.chunks["kind"].isin(["content", "reasoning"])]
    assert len(tokens) == (3 if api in ("ollama", "gemini") else 2)
    assert row["ttft"] == tokens["arrival"].iloc[0] >= 0.04
    assert all(gap >= 0.03 for gap in json.loads(row["inter_token_latencies"]))
    assert row["tpot"] == pytest.approx((tokens["arrival"].iloc[-1] - row["ttft"]) / 2)


@pytest.mark.parametrize("api", STREAMS)
def test_a_stream_that_ends_before_its_last_message_is_incomplete(tmp_path: Path, api: str) -> None:
    kind, pieces, _ = STREAMS[api]
    row, _, _ = measure(Reply(pieces[:-1], kind, pause=0), tmp_path, api=api)
    assert (row["success"], row["error_kind"]) == (False, "incomplete")


WHOLE = {
    "ollama": {"model": "m", "message": {"role": "assistant", "content": "a b"}, **OLLAMA_END},
    "ollama_generate": {"model": "m", "response": "a b", **OLLAMA_END},
    "llama_cpp": llama("a b", **LLAMA_END),
    "tgi": {"generated_text": "a b", "details": TGI_END["details"]},
    "gemini": gemini("a b", finishReason="STOP") | {"usageMetadata": COUNTS},
}


@pytest.mark.parametrize("api", WHOLE)
def test_a_whole_answer_of_a_native_dialect_is_read(tmp_path: Path, api: str) -> None:
    row, _, _ = measure(Reply([json.dumps(WHOLE[api]).encode()], JSON), tmp_path, api=api, stream=False)
    assert (row["output_text"], row["is_stream"], row["completion_tokens"]) == ("a b", 0, 3)


ASKED = {
    "ollama": (
        "POST /api/chat ",
        {
            "messages": [{"role": "user", "content": "hi"}],
            "model": "m",
            "stream": True,
            "options": {"num_predict": 5, "temperature": 0.5, "stop": ["x"]},
        },
    ),
    "ollama_generate": (
        "POST /api/generate ",
        {
            "prompt": "hi",
            "model": "m",
            "stream": True,
            "options": {"num_predict": 5, "temperature": 0.5, "stop": ["x"]},
        },
    ),
    "llama_cpp": (
        "POST /completion ",
        {"prompt": "hi", "model": "m", "stream": True, "n_predict": 5, "temperature": 0.5, "stop": ["x"]},
    ),
    "tgi": (
        "POST /generate_stream ",
        {"inputs": "hi", "parameters": {"max_new_tokens": 5, "temperature": 0.5, "stop": ["x"], "details": True}},
    ),
    "gemini": (
        "POST /v1beta/models/m:streamGenerateContent?alt=sse ",
        {
            "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
            "generationConfig": {"maxOutputTokens": 5, "temperature": 0.5, "stopSequences": ["x"]},
        },
    ),
}


@pytest.mark.parametrize("api", ASKED)
def test_a_request_is_asked_as_its_api_wants_it(tmp_path: Path, api: str) -> None:
    kind, pieces, _ = STREAMS[api]
    row, _, sent = measure(Reply(pieces, kind, pause=0), tmp_path, api=api, max_tokens=5, temperature=0.5, stop=["x"])
    line, body = ASKED[api]
    assert sent.decode().startswith(line)
    assert json.loads(sent.partition(b"\r\n\r\n")[2]) == body
    assert row["prompt"] == "hi"


def test_images_and_a_system_prompt_go_where_the_api_has_them() -> None:
    from perfkit.registry import APIS

    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}}
    talk = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "what?"}, image]},
        {"role": "assistant", "content": "A cat."},
    ]
    asked = {name: APIS[name](pk.Arguments(model="m")).build_request(talk) for name in ("ollama", "gemini")}
    assert asked["ollama"]["messages"][1] == {"role": "user", "content": "what?", "images": ["QUJD"]}
    assert asked["gemini"]["systemInstruction"] == {"parts": [{"text": "Be brief."}]}
    assert asked["gemini"]["contents"] == [
        {"role": "user", "parts": [{"text": "what?"}, {"inlineData": {"mimeType": "image/png", "data": "QUJD"}}]},
        {"role": "model", "parts": [{"text": "A cat."}]},
    ]


@pytest.mark.parametrize("url", ["/api/chat", ""])
def test_ollamas_lines_are_measured_whether_the_api_was_named_or_not(tmp_path: Path, url: str) -> None:
    row, _, _ = measure(Reply(lines_of("ollama.ndjson"), LINES), tmp_path, url, api="ollama" if not url else "openai")
    assert (row["output_text"], row["prompt_tokens"], row["completion_tokens"]) == ("w0 w1 w2 w3 ", 7, 4)
    assert row["ttft"] >= 0.04
    assert row["tpot"] == pytest.approx(0.04, rel=0.5)


def test_a_json_array_that_comes_element_by_element_is_a_stream(tmp_path: Path) -> None:
    pieces = [
        (b"[" if index == 0 else b",\r\n") + json.dumps(message, indent=1).encode()
        for index, message in enumerate(GEMINI)
    ]
    path = "/v1beta/models/m:streamGenerateContent"
    row, runs, _ = measure(Reply([*pieces, b"]"], JSON), tmp_path, path, api="gemini")
    assert (row["output_text"], row["is_stream"], row["completion_tokens"]) == ("a b", 1, 3)
    assert len(json.loads(row["inter_token_latencies"])) == 2
    assert row["ttft"] < runs.chunks["arrival"].max() - 0.06


def test_a_blocked_prompt_is_an_error_with_its_reason(tmp_path: Path) -> None:
    blocked = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 7}}
    row, _, _ = measure(Reply([piece(blocked, SSE)]), tmp_path, api="gemini")
    assert (row["error_kind"], row["error"]) == ("error_event", "the prompt was blocked: SAFETY")


@pytest.mark.parametrize(
    ("api", "path"), [("tei", ""), ("embeddings", "/embed"), ("openai", "/embed")], ids=["tei", "embeddings", "openai"]
)
def test_embeddings_in_a_bare_list_are_an_answer(tmp_path: Path, api: str, path: str) -> None:
    reply = Reply(b"[[0.1, 0.2], [0.3, 0.4]]", JSON, headers=["x-compute-tokens: 6"])
    row, _, _ = measure(reply, tmp_path, path, api=api, stream=False)
    assert (row["success"], row["is_stream"], row["completion_tokens"]) == (True, 0, 0)
    assert row["prompt_tokens"] == 6 if api == "tei" else pandas.isna(row["prompt_tokens"])


def test_counts_of_a_whole_generated_text_may_stand_in_its_headers(tmp_path: Path) -> None:
    reply = Reply(b'{"generated_text": "a b"}', JSON, headers=["x-prompt-tokens: 7", "x-generated-tokens: 3"])
    row, _, _ = measure(reply, tmp_path, api="tgi", stream=False)
    assert (row["prompt_tokens"], row["completion_tokens"], row["token_source"]) == (7, 3, "server")


def test_no_model_is_asked_for_where_requests_name_none(tmp_path: Path) -> None:
    _, pieces, _ = STREAMS["tgi"]
    row, _, sent = measure(Reply(pieces, pause=0), tmp_path, api="tgi", model=None)
    assert row["success"]
    assert b'"model"' not in sent


class Words(pk.DefaultApiPlugin):
    """An API of one's own, whose answers are JSON lines of no known dialect."""

    path = "/words"
    seen: ClassVar[list[Any]] = []

    def build_request(self, messages: Any, param: Any = None) -> dict[str, Any]:
        return {"ask": messages}

    def read_message(self, message: Any, answer: Any, event: str = "") -> None:
        Words.seen.append(message)
        answer.chunk(pk.records.Kind.CONTENT, message["word"])

    def parse_responses(self, responses: Any, request: Any = None, **kwargs: Any) -> tuple[int, int]:
        return 1, len(responses)


@pytest.mark.parametrize("kind", [LINES, JSON, "text/plain", None, "application/jsonl; charset=utf-8"])
def test_read_message_of_a_plugin_sees_each_line(tmp_path: Path, kind: str | None) -> None:
    Words.seen = []
    pk.register_api("words")(Words)
    pieces: Sequence[bytes] = [b'{"word": "a "}\n', b'{"word"', b': "b "}\n', b'{"word": "c"}']
    row, runs, _ = measure(Reply(pieces, kind), tmp_path, api="words")
    assert Words.seen == [{"word": "a "}, {"word": "b "}, {"word": "c"}]
    assert (row["output_text"], row["completion_tokens"], row["is_stream"]) == ("a b c", 3, 1)
    assert row["ttft"] == runs.chunks["arrival"].iloc[0]
    assert runs.chunks["arrival"].diff().iloc[1] >= 0.07  # the second line came in two pieces


@pytest.mark.parametrize(
    ("kind", "body"),
    [(LINES, b'{"word": "a"}\n{"word": "b"}\n'), (SSE, b'data: {"word": "a"}\n\n'), (JSON, b'{"word": "a"}')],
)
def test_a_dialect_that_nobody_knows_is_called_so(tmp_path: Path, kind: str, body: bytes) -> None:
    row, _, _ = measure(Reply([body], kind, pause=0), tmp_path)
    assert row["error_kind"] == "protocol"
    assert row["error"].startswith('unknown dialect; a plugin with read_message can read it: \'{"word": "a"}\'')
