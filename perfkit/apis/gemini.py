"""Google's Gemini API."""

from typing import Any

from perfkit.apis.bodies import BODY_FIELDS, BodyApi, as_messages, merged, sampling_fields
from perfkit.apis.pieces import add_finish, add_text, call_text, text_of
from perfkit.apis.usage import read_usage
from perfkit.options.arguments import Arguments
from perfkit.records import Answer, Json, Kind, Message
from perfkit.registry import register_api

_FIELDS = {
    "max_tokens": "maxOutputTokens",
    "top_p": "topP",
    "top_k": "topK",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
    "stop": "stopSequences",
    "n": "candidateCount",
    "logprobs": "responseLogprobs",
}
_ROLES = {"assistant": "model", "model": "model"}


@register_api("gemini")
class Gemini(BodyApi):
    """Content generation: turns under ``contents``, the system prompt apart, all else in ``generationConfig``.

    Model and stream are in the path. A URL that ends with ``:streamGenerateContent`` alone is asked as it is, and
    answers with an array in place of events.

    Examples
    --------
    >>> Gemini(Arguments(model="flash", max_tokens=8)).build_request("hi")["generationConfig"]
    {'maxOutputTokens': 8}
    >>> Gemini(Arguments(model="flash")).path
    '/v1beta/models/flash:streamGenerateContent?alt=sse'
    """

    path = "/v1beta/models/{model}:streamGenerateContent?alt=sse"
    streams_arrays = True

    def __init__(self, param: Arguments | None = None) -> None:
        super().__init__(param)
        verb = "streamGenerateContent?alt=sse" if self.param.stream else "generateContent"
        self.path = f"/v1beta/models/{(self.param.model_name or '').removeprefix('models/')}:{verb}"

    def headers(self, param: Arguments) -> dict[str, str]:
        """Return the key under the name this API wants."""
        return {"x-goog-api-key": param.api_key} if param.api_key else {}

    def build_request(self, messages: Any, param: Arguments | None = None) -> dict[str, Json] | None:
        """Make the body of messages, of a prompt, or of a whole body."""
        body = super().build_request(messages, param)
        return None if body is None else {name: value for name, value in body.items() if name != "model"}

    def asking(self, asked: Any, param: Arguments) -> dict[str, Json]:
        """Return the turns, and the system prompt beside them."""
        messages = as_messages(asked)
        system = [part for each in messages if each.get("role") == "system" for part in _parts(each.get("content"))]
        turns = [
            {"role": _ROLES.get(str(each.get("role")), "user"), "parts": _parts(each.get("content"))}
            for each in messages
            if each.get("role") != "system"
        ]
        return {**({"systemInstruction": {"parts": system}} if system else {}), "contents": turns}

    def finished(self, body: dict[str, Json], param: Arguments) -> dict[str, Json]:
        """Return the body with the run's fields and ``parameters`` in its configuration."""
        held = {name: body[name] for name in BODY_FIELDS if name in body} | sampling_fields(param)
        if isinstance(held.get("stop"), str):
            held["stop"] = [held["stop"]]
        config: dict[str, Json] = {
            **(body.get("generationConfig") or {}),
            **{_FIELDS.get(name, name): value for name, value in held.items()},
        }
        config = merged(config, param.parameters)
        around = {name: value for name, value in body.items() if name not in BODY_FIELDS}
        return merged({**around, **({"generationConfig": config} if config else {})}, param.extra_args)

    def asks_stream(self, body: dict[str, Json]) -> bool:
        """Tell whether a request asks for a stream, which stands in no field of its body."""
        return self.param.stream

    @staticmethod
    def recognizes(message: Json) -> bool:
        """Tell whether a message has candidates, or says why it has none."""
        return isinstance(message, dict) and bool(message.keys() & {"candidates", "usageMetadata", "promptFeedback"})

    @staticmethod
    def read_answer(message: Message, answer: Answer) -> None:
        """Read one event of a stream, or the whole answer."""
        for candidate in message.get("candidates") or ():
            choice = candidate.get("index") or 0
            for part in (candidate.get("content") or {}).get("parts") or ():
                add_text(answer, Kind.REASONING if part.get("thought") else Kind.CONTENT, part.get("text"), choice)
                if call := part.get("functionCall"):
                    answer.chunk(Kind.TOOL, call_text(call, "args"), choice)
            add_finish(answer, candidate.get("finishReason"), choice)
        blocked = (message.get("promptFeedback") or {}).get("blockReason")
        if blocked and not message.get("candidates"):
            answer.error = f"the prompt was blocked: {blocked}"
        _read_counts(message.get("usageMetadata") or {}, answer)
        answer.server_request_id = text_of(message.get("responseId")) or answer.server_request_id


def _read_counts(usage: dict[str, Json], answer: Answer) -> None:
    """Note the counts, which are those so far; the tokens of thoughts are not among the candidates'."""
    written = [usage[name] for name in ("candidatesTokenCount", "thoughtsTokenCount") if usage.get(name) is not None]
    counts = {
        "prompt_tokens": usage.get("promptTokenCount"),
        "completion_tokens": sum(written) if written else None,
        "cached_tokens": usage.get("cachedContentTokenCount"),
        "reasoning_tokens": usage.get("thoughtsTokenCount"),
    }
    read_usage({name: count for name, count in counts.items() if count is not None}, answer)


def _parts(content: Json) -> list[Message]:
    """Return a chat message's content as this API's parts."""
    if not isinstance(content, list):
        return [{"text": text_of(content)}]
    return [_part(part) for part in content]


def _part(part: Message) -> Message:
    if part.get("type") != "image_url":
        return {"text": text_of([part])}
    url = part["image_url"]["url"]
    if not url.startswith("data:"):
        return {"fileData": {"fileUri": url}}
    kind, _, data = url.removeprefix("data:").partition(";base64,")
    return {"inlineData": {"mimeType": kind, "data": data}}
