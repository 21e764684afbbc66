"""How the other dialects are read: OpenAI's responses, Anthropic's messages, DashScope, embeddings and rerank."""

import json
from collections.abc import Callable

from perfkit.apis.pieces import add_finish, add_text, error_text, text_of
from perfkit.apis.usage import read_usage
from perfkit.records import Answer, Json, Kind, Message

_RESPONSE_DELTAS = {
    "response.output_text.delta": Kind.CONTENT,
    "response.refusal.delta": Kind.CONTENT,
    "response.reasoning_text.delta": Kind.REASONING,
    "response.reasoning_summary_text.delta": Kind.REASONING,
    "response.function_call_arguments.delta": Kind.TOOL,
}

_OUTPUT_KINDS = {"message": Kind.CONTENT, "reasoning": Kind.REASONING, "function_call": Kind.TOOL}


def read_response(message: Message, answer: Answer) -> None:
    """Read one event of OpenAI's responses API, or the whole answer; texts that were streamed are not read again."""
    kind = message.get("type")
    if kind in _RESPONSE_DELTAS:
        add_text(answer, _RESPONSE_DELTAS[kind], message.get("delta"))
        return
    response = message.get("response") or message
    if kind is None:
        for item in response.get("output") or ():
            text = text_of(item.get("content")) or text_of(item.get("summary")) or text_of(item.get("arguments"))
            add_text(answer, _OUTPUT_KINDS.get(item.get("type"), Kind.OTHER), text)
    answer.server_request_id = text_of(response.get("id")) or answer.server_request_id
    if kind in (None, "response.completed", "response.incomplete", "response.failed"):
        _end_of_response(response, answer)


def _end_of_response(response: dict[str, Json], answer: Answer) -> None:
    read_usage(response.get("usage") or {}, answer)
    if response.get("error"):
        answer.error = error_text(response)
    details = response.get("incomplete_details") or {}
    add_finish(answer, details.get("reason") or response.get("status"))
    answer.done = True


_BLOCK_TEXTS = {"text": Kind.CONTENT, "thinking": Kind.REASONING, "partial_json": Kind.TOOL}


def _read_anthropic_start(message: Message, answer: Answer) -> None:
    started = message["message"]
    answer.server_request_id = text_of(started.get("id")) or None
    read_usage(started.get("usage") or {}, answer)
    answer.chunk(Kind.ROLE)


def _read_anthropic_block(message: Message, answer: Answer) -> None:
    """Read the start of a block: the name of a tool, or text that a server did not keep for the deltas."""
    block = message.get("content_block") or {}
    for field in ("text", "thinking"):
        add_text(answer, _BLOCK_TEXTS[field], block.get(field))
    if block.get("type") == "tool_use":
        add_text(answer, Kind.TOOL, block.get("name"))


def _read_anthropic_delta(message: Message, answer: Answer) -> None:
    delta = message.get("delta") or {}
    for field, kind in _BLOCK_TEXTS.items():
        add_text(answer, kind, delta.get(field))
    add_finish(answer, delta.get("stop_reason"))


def _read_anthropic_stop(message: Message, answer: Answer) -> None:
    answer.done = True
    answer.chunk(Kind.DONE)


def _read_anthropic_body(message: Message, answer: Answer) -> None:
    for block in message.get("content") or ():
        for field in ("text", "thinking"):
            add_text(answer, _BLOCK_TEXTS[field], block.get(field))
        if block.get("type") == "tool_use":
            answer.chunk(Kind.TOOL, f"{block.get('name')}{json.dumps(block.get('input'), ensure_ascii=False)}")
    add_finish(answer, message.get("stop_reason"))


def _read_nothing(message: Message, answer: Answer) -> None:
    """A message that only frames others."""


ANTHROPIC: dict[Json, Callable[[Message, Answer], None]] = {
    "message_start": _read_anthropic_start,
    "content_block_start": _read_anthropic_block,
    "content_block_delta": _read_anthropic_delta,
    "content_block_stop": _read_nothing,
    "message_delta": _read_anthropic_delta,
    "message_stop": _read_anthropic_stop,
    "message": _read_anthropic_body,
    "ping": _read_nothing,
}


def read_anthropic(message: Message, answer: Answer) -> None:
    """Read one event of Anthropic's messages API, or the whole answer."""
    ANTHROPIC[message["type"]](message, answer)


def read_dashscope(message: Message, answer: Answer) -> None:
    """Read one message of DashScope's text generation, whether each carries the new text or all text so far.

    Examples
    --------
    >>> answer = Answer()
    >>> for text in ("Hel", "Hello", "Hello!"):
    ...     read_dashscope({"output": {"text": text, "finish_reason": "null"}}, answer)
    >>> [piece[2] for piece in answer.pieces]
    ['Hel', 'lo', '!']
    """
    output = message["output"]
    choice = (output.get("choices") or [output])[0]
    part = choice.get("message") or {}
    reason = choice.get("finish_reason")
    ends = bool(reason) and reason != "null"
    texts = {Kind.REASONING: part.get("reasoning_content"), Kind.CONTENT: part.get("content") or output.get("text")}
    for kind, content in texts.items():
        add_text(answer, kind, _new_text(text_of(content), answer, kind, ends))
    for call in part.get("tool_calls") or ():
        answer.chunk(Kind.TOOL, json.dumps(call.get("function"), ensure_ascii=False))
    add_finish(answer, reason)


def _new_text(text: str, answer: Answer, kind: Kind, ends: bool) -> str:
    """Return what a text adds when it repeats all text before it, else the text itself."""
    first = next((piece[2] for piece in answer.pieces if piece[0] is kind), None)
    if first is None or not text.startswith(first) or (len(text) <= len(first) and not ends):
        return text
    so_far = "".join(piece[2] for piece in answer.pieces if piece[0] is kind)
    repeats = text.startswith(so_far) and (len(text) > len(so_far) or ends)
    return text[len(so_far) :] if repeats else text


LISTS = ("data", "results", "embeddings")


def read_list(message: Message, answer: Answer) -> None:
    """Read the answer of an embeddings or rerank API, which has a list and no text."""
    # Noting a piece without text keeps the answer from being taken for an empty one.
    answer.chunk(Kind.CONTENT)
    answer.done = True
    usage = message.get("usage") or message.get("meta", {}).get("billed_units") or {}
    total = usage.get("total_tokens") or usage.get("input_tokens")
    if isinstance(total, int):
        answer.prompt_tokens, answer.completion_tokens = total, 0
