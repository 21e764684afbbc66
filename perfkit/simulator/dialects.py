"""The APIs that the simulator speaks: how each request is read, and what is answered.

An API is three functions: ``read`` takes the prompt's length and the limits from a body, ``stream`` yields lists of
events (those before the first token, those of each content event, those after the last token), and ``whole`` makes
the body of an answer that is not streamed. Bodies are checked as far as the answer depends on them.
"""

import base64
import itertools
from array import array
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeVar

import orjson

from perfkit.records import Json
from perfkit.simulator.model import mix
from perfkit.simulator.options import Simulation, Style
from perfkit.simulator.text import Text, count_tokens

CREATED = 1_700_000_000
"""When every answer was created: a constant, so that equal requests get equal answers."""

_DEFAULT_LENGTH = 64
_TEXT = "@@TEXT@@"  # stands in a template for text escaped for JSON
_COUNT = "@@COUNT@@"  # stands in a template for a number
_DONE = b"data: [DONE]\n\n"
_DIMENSIONS, _MOST_DIMENSIONS = 64, 8192

T = TypeVar("T")
Body = dict[str, Json]
Headers = Mapping[str, str]
"""By lower-case name."""
Events = Iterator[list[bytes]]
Write = Callable[[int, int], list[bytes]]
"""Makes the events of the tokens from the first number to before the second."""


class Wanted(NamedTuple):
    """What a body asks for; lengths in tokens."""

    prompt_tokens: int
    limit: Json = None
    stream: bool = False
    choices: int = 1
    generates: bool = True
    """False: no text is asked for, and the answer counts as one token."""


@dataclass(slots=True)
class Times:
    """When an answer's request came, was begun with, and had its first and its last token [ns]."""

    came: int = 0
    began: int = 0
    first: int = 0
    last: int = 0
    tokens: int = 0

    def token(self, came: int, began: int | None, due: int) -> None:
        """Note a token that is due."""
        if not self.tokens:
            self.came, self.began, self.first = came, came if began is None else began, due
        self.last = due
        self.tokens += 1

    def metrics(self) -> Body:
        """Return what vLLM says of an answer that is asked for with ``include_metrics``."""
        decoding, gaps = self.last - self.first, max(self.tokens - 1, 1)
        spans = {
            "time_to_first_token_ms": self.first - self.came,
            "generation_time_ms": decoding,
            "queue_time_ms": self.began - self.came,
            "mean_itl_ms": decoding / gaps,
        }
        return {
            **{name: span / 1e6 for name, span in spans.items()},
            "tokens_per_second": gaps / max(decoding, 1) * 1e9,
        }


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer to be sent, whatever its API. Lengths in tokens, per choice."""

    number: int
    body: Body
    simulation: Simulation
    model: str
    stream: bool
    prompt_tokens: int
    output_tokens: int
    sent_tokens: int
    """Fewer than ``output_tokens`` if a fault ends it."""
    finish: Literal["stop", "length"]
    choices: int
    times: Times = field(default_factory=Times)

    @property
    def metrics(self) -> Body:
        """The server's own times, in a field of the last message, if they are asked for."""
        return {"metrics": self.times.metrics()} if self.body.get("include_metrics") is True else {}

    @property
    def id(self) -> str:
        """The part of the answer's id that is this request's own."""
        return f"{self.number:08d}"

    @property
    def reasoning_tokens(self) -> int:
        """How many of the output tokens, from the first, are reasoning."""
        return min(self.simulation.reasoning_tokens, self.output_tokens)

    @property
    def cached_tokens(self) -> int:
        """How many of the prompt's tokens usage reports as cached."""
        return min(self.simulation.cached_tokens or 0, self.prompt_tokens)

    @property
    def prompt_details(self) -> Body:
        """What usage says of cached tokens: nothing, unless the server was told to."""
        if self.simulation.cached_tokens is None:
            return {}
        return {"prompt_tokens_details": {"cached_tokens": self.cached_tokens}}

    def text(self, choice: int = 0) -> Text:
        """Return the text of a choice."""
        return Text(self.simulation.text, self.simulation.seed + choice, self.number)


@dataclass(frozen=True, slots=True)
class Dialect:
    """One API: its name in the truth log, the paths it is served at, and its functions."""

    name: str
    paths: tuple[str, ...]
    read: Callable[[Body, Headers], Wanted]
    """ValueError for a body that is refused."""
    whole: Callable[[Answer], Json]
    stream: Callable[[Answer], Events] | None = None

    def answer(self, number: int, body: Body, headers: Headers, simulation: Simulation, share: float) -> Answer:
        """Read a request, of whose answer this share of the tokens will be sent.

        The answer is as long as the server's ``output_tokens``, else the limit asked for, else 64.
        """
        wanted = self.read(body, headers)
        limit = wanted.limit
        if limit is not None and (not isinstance(limit, int) or limit < 1):
            raise ValueError(f"max_tokens must be at least 1, got {limit}")
        length = (simulation.output_tokens or limit or _DEFAULT_LENGTH) if wanted.generates else 1
        return Answer(
            number=number,
            body=body,
            simulation=simulation,
            model=str(body.get("model") or simulation.model),
            stream=wanted.stream,
            prompt_tokens=wanted.prompt_tokens,
            output_tokens=length,
            sent_tokens=int(length * share),
            finish="length" if length == limit else "stop",
            choices=wanted.choices,
        )


# Parts that several APIs share.


def event(payload: Json, name: str = "") -> bytes:
    r"""Return a server-sent event.

    Examples
    --------
    >>> event({"a": 1}, name="ping")
    b'event: ping\ndata: {"a":1}\n\n'
    """
    head = b"event: %b\n" % name.encode() if name else b""
    return b"%bdata: %b\n\n" % (head, orjson.dumps(payload))


def as_template(made: bytes) -> bytes:
    r"""Return an event to fill in with ``%``: while tokens are due, nothing else is left to do.

    Examples
    --------
    >>> as_template(event({"text": "@@TEXT@@", "n": "@@COUNT@@"})) % (b" the", 7)
    b'data: {"text":" the","n":7}\n\n'
    """
    return made.replace(b"%", b"%%").replace(_TEXT.encode(), b"%b").replace(f'"{_COUNT}"'.encode(), b"%d")


def _deltas(
    answer: Answer, text: Write, thought: Write | None = None, turn: Callable[[], list[bytes]] = list
) -> Events:
    """Yield the events of each content event; ``turn`` makes those between reasoning and text."""
    reasoning = answer.reasoning_tokens if thought else 0
    for first in range(0, answer.sent_tokens, answer.simulation.tokens_per_event):
        end = min(first + answer.simulation.tokens_per_event, answer.sent_tokens)
        events: list[bytes] = []
        if thought and first < reasoning:
            events += thought(first, min(end, reasoning))
            if end >= reasoning:
                events += turn()
        if end > reasoning:
            events += text(max(first, reasoning), end)
        yield events


def _fill(templates: list[bytes], answer: Answer) -> Write:
    """Return what makes one event per choice, from its template."""
    pairs = [(template, answer.text(choice)) for choice, template in enumerate(templates)]
    return lambda first, end: [template % text.escaped(first, end) for template, text in pairs]


def _required(body: Body, field: str) -> Json:
    if not body.get(field):
        raise ValueError(f"{field!r} is required")
    return body[field]


def _optional(body: Body, field: str, kind: type[T], default: T) -> T:
    value = body.get(field)
    if value is None:
        return default
    if not isinstance(value, kind):
        raise ValueError(f"{field!r} must be {kind.__name__}, got {type(value).__name__}")
    return value


# OpenAI chat and text completions.


class _Shape(NamedTuple):
    """How a server's chat and completion streams look."""

    role: Body
    last: Body
    """Deltas of the role chunk and of the finish chunk."""
    usage_in_last: bool = False
    """Usage is in the finish chunk, whether it was asked for or not."""
    usage_chunk: bool = True
    done: bool = True
    reasoning: str = "reasoning_content"


_SHAPES: dict[Style, _Shape] = {
    "vllm": _Shape({"role": "assistant", "content": ""}, {"content": ""}, reasoning="reasoning"),
    "transformers": _Shape({"role": "assistant"}, {}, usage_in_last=True, usage_chunk=False, done=False),
    "llama.cpp": _Shape({"role": "assistant", "content": ""}, {}, usage_chunk=False),
}
# What stands around the words of a tool call, so that its arguments are JSON; itself escaped for JSON.
_ARGUMENTS = (b'{\\"query\\":\\"', b'\\"}')


def _read_chat(body: Body, headers: Headers) -> Wanted:
    _tool_name(body)
    return Wanted(
        count_tokens(_required(body, "messages")),
        limit=body.get("max_completion_tokens") or body.get("max_tokens"),
        stream=body.get("stream") is True,
        choices=_count_choices(body),
    )


def _stream_chat(answer: Answer) -> Events:
    shape, tool = _SHAPES[answer.simulation.style], _tool_name(answer.body)

    def chunk(choice: int, delta: Json) -> bytes:
        return event(_chunk(answer, "chat.completion.chunk", choice, {"delta": delta}))

    def templates(delta: Json) -> list[bytes]:
        return [as_template(chunk(choice, delta)) for choice in range(answer.choices)]

    def call(first: int, end: int) -> list[bytes]:
        opening = _ARGUMENTS[0] if first == answer.reasoning_tokens else b""
        closing = _ARGUMENTS[1] if end == answer.output_tokens else b""
        events = []
        for choice, template in enumerate(contents):
            if opening:
                head = {"index": 0, "id": f"call-{answer.id}-{choice}", "type": "function"}
                named = head | {"function": {"name": tool, "arguments": ""}}
                events.append(chunk(choice, {"tool_calls": [named]}))
            events.append(template % (opening + answer.text(choice).escaped(first, end) + closing))
        return events

    thoughts = templates({shape.reasoning: _TEXT})
    tool_delta = {"tool_calls": [{"index": 0, "function": {"arguments": _TEXT}}]}
    contents = templates(tool_delta if tool else {"content": _TEXT})
    roles = range(answer.choices if answer.simulation.role_chunk else 0)
    yield [chunk(choice, shape.role) for choice in roles]
    yield from _deltas(answer, call if tool else _fill(contents, answer), _fill(thoughts, answer))
    finish = "tool_calls" if tool else answer.finish
    yield _closing(answer, "chat.completion.chunk", {"delta": shape.last}, finish)


def _whole_chat(answer: Answer) -> Json:
    shape, tool = _SHAPES[answer.simulation.style], _tool_name(answer.body)
    choices = []
    for index in range(answer.choices):
        text, reasoning = answer.text(index), answer.reasoning_tokens
        content = text.plain(reasoning, answer.output_tokens)
        message: Body = {"role": "assistant", "content": content}
        if reasoning:
            message[shape.reasoning] = text.plain(0, reasoning)
        if tool:
            function = {"name": tool, "arguments": orjson.dumps({"query": content}).decode()}
            call = {"id": f"call-{answer.id}-{index}", "type": "function", "function": function}
            message |= {"content": None, "tool_calls": [call]}
        finish = "tool_calls" if tool else answer.finish
        choices.append({"index": index, "message": message, "logprobs": None, "finish_reason": finish})
    return _completion(answer, "chat.completion", choices, usage=_usage(answer), **answer.metrics)


def _tool_name(body: Body) -> str:
    """Return the tool an answer calls: the first one offered, unless the request forbids calls."""
    tools = _optional(body, "tools", list, [])
    if not tools or body.get("tool_choice") == "none":
        return ""
    match tools[0]:
        case {"function": {"name": str(name)}}:
            return name
    raise ValueError("each of 'tools' must have a 'function' with a 'name'")


def _read_completion(body: Body, headers: Headers) -> Wanted:
    prompt = _required(body, "prompt")
    prompts = len(prompt) if isinstance(prompt, list) and not isinstance(prompt[0], int) else 1
    return Wanted(
        count_tokens(prompt),
        limit=body.get("max_tokens"),
        stream=body.get("stream") is True,
        choices=prompts * _count_choices(body),
    )


def _stream_completion(answer: Answer) -> Events:
    chunks = [_chunk(answer, "text_completion", choice, {"text": _TEXT}) for choice in range(answer.choices)]
    yield []
    yield from _deltas(answer, _fill([as_template(event(chunk)) for chunk in chunks], answer))
    yield _closing(answer, "text_completion", {"text": ""}, answer.finish)


def _whole_completion(answer: Answer) -> Json:
    texts = [answer.text(index).plain(0, answer.output_tokens) for index in range(answer.choices)]
    rest = {"logprobs": None, "finish_reason": answer.finish}
    choices = [{"index": index, "text": text, **rest} for index, text in enumerate(texts)]
    return _completion(answer, "text_completion", choices, usage=_usage(answer), **answer.metrics)


def _completion(answer: Answer, kind: str, choices: list[Body], **more: Json) -> Body:
    prefix = "cmpl" if kind == "text_completion" else "chatcmpl"
    head = {"id": f"{prefix}-{answer.id}", "object": kind, "created": CREATED, "model": answer.model}
    return {**head, "choices": choices, **more}


def _chunk(answer: Answer, kind: str, index: int, piece: Body, finish: str | None = None, **more: Json) -> Body:
    choice = {"index": index, **piece, "logprobs": None, "finish_reason": finish}
    return _completion(answer, kind, [choice], **more)


def _closing(answer: Answer, kind: str, piece: Body, finish: str) -> list[bytes]:
    """Return the finish chunks, the usage chunk and [DONE], as far as this server sends them."""
    shape, simulation = _SHAPES[answer.simulation.style], answer.simulation
    in_last = {"usage": _usage(answer)} if shape.usage_in_last else {}
    events = [event(_chunk(answer, kind, index, piece, finish, **in_last)) for index in range(answer.choices)]
    asked = bool((answer.body.get("stream_options") or {}).get("include_usage"))
    if shape.usage_chunk and (simulation.usage == "always" or (simulation.usage == "asked" and asked)):
        events.append(event(_completion(answer, kind, [], usage=_usage(answer), **answer.metrics)))
    elif answer.metrics:
        events.append(event(_completion(answer, kind, [], **answer.metrics)))
    return [*events, _DONE] if shape.done and simulation.done else events


def _usage(answer: Answer) -> Body:
    prompt, completion = answer.prompt_tokens, answer.output_tokens * answer.choices
    counts: Body = {"prompt_tokens": prompt, "total_tokens": prompt + completion, "completion_tokens": completion}
    counts |= answer.prompt_details
    if answer.reasoning_tokens:
        counts["completion_tokens_details"] = {"reasoning_tokens": answer.reasoning_tokens * answer.choices}
    return counts


def _count_choices(body: Body) -> int:
    _optional(body, "stream_options", dict, {})
    choices = _optional(body, "n", int, 1)
    if not 1 <= choices <= 128:
        raise ValueError(f"n must be from 1 to 128, got {choices}")
    return choices


# OpenAI responses: named events with sequence numbers.


def _read_responses(body: Body, headers: Headers) -> Wanted:
    return Wanted(
        count_tokens(_required(body, "input")) + count_tokens(body.get("instructions")),
        limit=body.get("max_output_tokens"),
        stream=body.get("stream") is True,
    )


def _stream_responses(answer: Answer) -> Events:
    text, sequence, index = answer.text(), itertools.count(), 1 if answer.reasoning_tokens else 0
    place: Body = {"item_id": f"msg_{answer.id}", "output_index": index, "content_index": 0}
    summary: Body = {"item_id": f"rs_{answer.id}", "output_index": 0, "summary_index": 0}

    def made(kind: str, payload: Body, number: int | str) -> bytes:
        return event({"type": kind, **payload, "sequence_number": number}, kind)

    def following(kind: str, payload: Body) -> bytes:
        return made(kind, payload, next(sequence))

    def item(kind: str, index: int, content: Body) -> bytes:
        return following(f"response.output_item.{kind}", {"output_index": index, "item": content})

    def think(first: int, end: int) -> list[bytes]:
        return [thought % (text.escaped(first, end), next(sequence))]

    def write(first: int, end: int) -> list[bytes]:
        return [delta % (text.escaped(first, end), next(sequence))]

    def begin_message() -> list[bytes]:
        empty = {"type": "output_text", "text": "", "annotations": []}
        added = item("added", index, _message_item(answer, "in_progress", []))
        return [added, following("response.content_part.added", place | {"part": empty})]

    def turn() -> list[bytes]:
        return [item("done", 0, _reasoning_item(answer)), *begin_message()]

    thought = as_template(made("response.reasoning_summary_text.delta", summary | {"delta": _TEXT}, _COUNT))
    delta = as_template(made("response.output_text.delta", place | {"delta": _TEXT}, _COUNT))
    started = {"response": _response(answer, "in_progress")}
    opening = [following("response.created", started), following("response.in_progress", started)]
    if answer.reasoning_tokens:
        opening.append(item("added", 0, {"id": f"rs_{answer.id}", "type": "reasoning", "summary": []}))
    else:
        opening += begin_message()
    yield opening
    yield from _deltas(answer, write, think, turn)
    part, whole = _text_part(answer), _whole_response(answer)
    yield [
        following("response.output_text.done", place | {"text": part["text"], "logprobs": []}),
        following("response.content_part.done", place | {"part": part}),
        item("done", index, _message_item(answer, "completed", [part])),
        following(f"response.{whole['status']}", {"response": whole}),
    ]


def _whole_response(answer: Answer) -> Body:
    return _response(answer, "incomplete" if answer.finish == "length" else "completed")


def _response(answer: Answer, status: str) -> Body:
    output: list[Json] = []
    usage: Json = None
    if status != "in_progress":
        thoughts = [_reasoning_item(answer)] if answer.reasoning_tokens else []
        output = [*thoughts, _message_item(answer, "completed", [_text_part(answer)])]
        usage = {
            "input_tokens": answer.prompt_tokens,
            "input_tokens_details": {"cached_tokens": answer.cached_tokens},
            "output_tokens": answer.output_tokens,
            "output_tokens_details": {"reasoning_tokens": answer.reasoning_tokens},
            "total_tokens": answer.prompt_tokens + answer.output_tokens,
        }
    return {
        "id": f"resp_{answer.id}",
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "model": answer.model,
        "output": output,
        "usage": usage,
    }


def _text_part(answer: Answer) -> Body:
    text = answer.text().plain(answer.reasoning_tokens, answer.output_tokens)
    return {"type": "output_text", "text": text, "annotations": []}


def _message_item(answer: Answer, status: str, content: list[Body]) -> Body:
    head = {"id": f"msg_{answer.id}", "type": "message", "role": "assistant"}
    return {**head, "status": status, "content": content}


def _reasoning_item(answer: Answer) -> Body:
    text = answer.text().plain(0, answer.reasoning_tokens)
    return {"id": f"rs_{answer.id}", "type": "reasoning", "summary": [{"type": "summary_text", "text": text}]}


# Anthropic messages: typed events, content blocks, usage at both ends.


def _read_messages(body: Body, headers: Headers) -> Wanted:
    return Wanted(
        count_tokens(_required(body, "messages")) + count_tokens(body.get("system")),
        limit=_required(body, "max_tokens"),
        stream=body.get("stream") is True,
    )


def _stream_messages(answer: Answer) -> Events:
    last = 1 if answer.reasoning_tokens else 0

    def typed(kind: str, **payload: Json) -> bytes:
        return event({"type": kind, **payload}, kind)

    def delta(index: int, **piece: Json) -> bytes:
        return typed("content_block_delta", index=index, delta=piece)

    def start(index: int, block: Body) -> bytes:
        return typed("content_block_start", index=index, content_block=block)

    def turn() -> list[bytes]:
        signed = delta(0, type="signature_delta", signature=f"sig_{answer.id}")
        return [signed, typed("content_block_stop", index=0), start(1, {"type": "text", "text": ""})]

    thought = as_template(delta(0, type="thinking_delta", thinking=_TEXT))
    said = as_template(delta(last, type="text_delta", text=_TEXT))
    thinking = {"type": "thinking", "thinking": "", "signature": ""}
    block = thinking if answer.reasoning_tokens else {"type": "text", "text": ""}
    yield [typed("message_start", message=_message(answer, [], None, 1)), start(0, block), typed("ping")]
    yield from _deltas(answer, _fill([said], answer), _fill([thought], answer), turn)
    ending = {"stop_reason": _stop_reason(answer), "stop_sequence": None}
    yield [
        typed("content_block_stop", index=last),
        typed("message_delta", delta=ending, usage={"output_tokens": answer.output_tokens}),
        typed("message_stop"),
    ]


def _whole_message(answer: Answer) -> Json:
    text, reasoning, length = answer.text(), answer.reasoning_tokens, answer.output_tokens
    content: list[Json] = [{"type": "text", "text": text.plain(reasoning, length)}]
    if reasoning:
        thought = {"thinking": text.plain(0, reasoning), "signature": f"sig_{answer.id}"}
        content.insert(0, {"type": "thinking", **thought})
    return _message(answer, content, _stop_reason(answer), length)


def _stop_reason(answer: Answer) -> str:
    return "max_tokens" if answer.finish == "length" else "end_turn"


def _message(answer: Answer, content: list[Json], stop: str | None, output_tokens: int) -> Body:
    return {
        "id": f"msg_{answer.id}",
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "content": content,
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": {
            "input_tokens": answer.prompt_tokens - answer.cached_tokens,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": answer.cached_tokens,
            "output_tokens": output_tokens,
        },
    }


# DashScope: streams on a header, cumulative text unless incremental_output is set, usage in every event.


def _read_dashscope(body: Body, headers: Headers) -> Wanted:
    prompts = _optional(body, "input", dict, {})
    parameters = _optional(body, "parameters", dict, {})
    prompt = prompts.get("messages") or prompts.get("prompt")
    if not prompt:
        raise ValueError("'input' must have 'messages' or 'prompt'")
    return Wanted(
        count_tokens(prompt),
        limit=parameters.get("max_tokens"),
        stream=headers.get("x-dashscope-sse", "").lower() == "enable" or headers.get("accept") == "text/event-stream",
    )


def _stream_dashscope(answer: Answer) -> Events:
    text, prompt, numbers = answer.text(), answer.prompt_tokens, itertools.count(1)
    incremental = (answer.body.get("parameters") or {}).get("incremental_output") is True

    def made(payload: Body) -> bytes:
        # DashScope puts no space after the colons.
        return b"event:result\n:HTTP_STATUS/200\ndata:%b\n\n" % orjson.dumps(payload)

    def write(first: int, end: int) -> list[bytes]:
        start = first if incremental else 0
        return [b"id:%d\n" % next(numbers) + template % (text.escaped(start, end), end, prompt + end)]

    template = as_template(made(_generation(answer, "null", _TEXT, _COUNT, _COUNT)))
    yield []
    yield from _deltas(answer, write)
    length = answer.output_tokens
    rest = "" if incremental else text.plain(0, length)
    yield [b"id:%d\n" % next(numbers) + made(_generation(answer, answer.finish, rest, length, prompt + length))]


def _whole_dashscope(answer: Answer) -> Json:
    length = answer.output_tokens
    text = answer.text().plain(0, length)
    return _generation(answer, answer.finish, text, length, answer.prompt_tokens + length)


def _generation(answer: Answer, finish: str, text: str, tokens: Json, total: Json) -> Body:
    """Return an answer in the message format, or the older text format."""
    default = "message" if answer.body["input"].get("messages") else "text"
    output: Body = {"finish_reason": finish, "text": text}
    if (answer.body.get("parameters") or {}).get("result_format", default) == "message":
        message = {"role": "assistant", "content": text}
        output = {"choices": [{"message": message, "finish_reason": finish}]}
    usage = {"input_tokens": answer.prompt_tokens, "output_tokens": tokens, "total_tokens": total}
    request_id = f"{answer.id}-0000-4000-8000-000000000000"
    return {"output": output, "usage": usage | answer.prompt_details, "request_id": request_id}


# Embeddings and rerank: one answer, due when the first token of a generation would be.


def _read_embeddings(body: Body, headers: Headers) -> Wanted:
    if not 1 <= _optional(body, "dimensions", int, _DIMENSIONS) <= _MOST_DIMENSIONS:
        raise ValueError(f"dimensions must be from 1 to {_MOST_DIMENSIONS}, got {body['dimensions']}")
    return Wanted(count_tokens(_required(body, "input")), generates=False)


def _whole_embeddings(answer: Answer) -> Json:
    body, inputs, seed = answer.body, answer.body["input"], answer.simulation.seed
    several = isinstance(inputs, list) and not isinstance(inputs[0], int)
    data = []
    for index in range(len(inputs) if several else 1):
        places = range(body.get("dimensions") or _DIMENSIONS)
        values = array("f", (mix(seed, index, place) / 2**63 - 1 for place in places))
        packed = body.get("encoding_format") == "base64"
        embedding = base64.b64encode(values.tobytes()).decode() if packed else values.tolist()
        data.append({"object": "embedding", "index": index, "embedding": embedding})
    head = {"id": f"embd-{answer.id}", "object": "list", "model": answer.model}
    return {**head, "data": data, "usage": _prompt_usage(answer)}


def _read_rerank(body: Body, headers: Headers) -> Wanted:
    """The query counts once per document."""
    query, documents = _required(body, "query"), _required(body, "documents")
    _optional(body, "documents", list, [])
    _optional(body, "top_n", int, 0)
    return Wanted(count_tokens(query) * len(documents) + count_tokens(documents), generates=False)


def _whole_rerank(answer: Answer) -> Json:
    documents = [{"text": each} if isinstance(each, str) else each for each in answer.body["documents"]]
    scores = [mix(answer.simulation.seed, index) / 2**64 for index in range(len(documents))]
    best = sorted(range(len(documents)), key=lambda index: -scores[index])[: answer.body.get("top_n")]
    results = [{"index": each, "document": documents[each], "relevance_score": scores[each]} for each in best]
    head = {"id": f"rerank-{answer.id}", "model": answer.model}
    return {**head, "usage": _prompt_usage(answer), "results": results}


def _prompt_usage(answer: Answer) -> Body:
    return {"prompt_tokens": answer.prompt_tokens, "total_tokens": answer.prompt_tokens}


_DASHSCOPE_PATH = "/api/v1/services/aigc/text-generation/generation"
_ALL = (
    Dialect("chat", ("/v1/chat/completions",), _read_chat, _whole_chat, _stream_chat),
    Dialect("completions", ("/v1/completions",), _read_completion, _whole_completion, _stream_completion),
    Dialect("responses", ("/v1/responses",), _read_responses, _whole_response, _stream_responses),
    Dialect("messages", ("/v1/messages",), _read_messages, _whole_message, _stream_messages),
    Dialect("dashscope", (_DASHSCOPE_PATH,), _read_dashscope, _whole_dashscope, _stream_dashscope),
    Dialect("embeddings", ("/v1/embeddings",), _read_embeddings, _whole_embeddings),
    Dialect("rerank", ("/v1/rerank", "/rerank"), _read_rerank, _whole_rerank),
)

DIALECTS = {path: dialect for dialect in _ALL for path in dialect.paths}
"""By the path they are served at."""
