"""The base classes that API plugins subclass, built-in ones included."""

import json
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import orjson

from perfkit.apis import answers
from perfkit.options.arguments import Arguments
from perfkit.records import Answer, Json, Message


@dataclass
class BenchmarkData:
    """One finished request, as a plugin's own ``process_request`` reports it.

    Times are seconds on any monotonic clock, durations seconds; ``request`` is the body as JSON text.
    """

    request: str | None = None
    start_time: float = 0.0
    completed_time: float = 0.0
    chunk_times: list[float] = field(default_factory=list)
    success: bool = False
    response_messages: list[Any] = field(default_factory=list)
    query_latency: float | None = None
    first_chunk_latency: float | None = None
    inter_chunk_latency: list[float] = field(default_factory=list)
    time_per_output_token: float | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    max_gpu_memory_cost: float = 0.0
    generated_text: str = ""
    error: str | None = None
    status_code: int | None = None
    request_id: str | None = None
    is_stream: bool | None = None


class ApiPluginBase:
    """An API: makes request bodies of prompts, and says what the messages of an answer carry.

    Subclass it, give ``build_request`` and, where the server does not report usage, ``parse_responses``. perfkit's
    own transport sends the body and stamps the answer, unless the class has a ``process_request`` of its own.

    Parameters
    ----------
    param : Arguments
        The run's settings.
    """

    path = "/v1/chat/completions"
    """What a base URL gains."""

    needs_model: ClassVar[bool] = True
    """False where requests name no model: the server is not asked for one."""

    takes: ClassVar[Collection[str] | None] = None
    """Options of the request body that this class sends; any other is refused. None: all."""

    answers_with: ClassVar[str] = "text"
    """What a whole answer is, in a word."""

    example: ClassVar[Mapping[str, str]] = {"prompt": "Say hello."}
    """Settings that make one request, where none were given."""

    def __init__(self, param: Arguments | None = None) -> None:
        self.param = param if param is not None else Arguments()
        self.model_path = self.param.tokenizer_path

    def build_request(self, messages: Any, param: Any = None) -> dict[str, Json] | None:
        """Make the body of one request.

        Parameters
        ----------
        messages : list of dict, str or dict
            What the dataset yielded: chat messages, a prompt, or a whole body.
        param : Arguments, optional
            Default: the plugin's own.

        Returns
        -------
        dict or None
            None skips the item.
        """
        raise TypeError(f"{type(self).__name__} must define build_request(messages, param)")

    def parse_responses(self, responses: list[Any], request: Any = None, **kwargs: Any) -> tuple[int, int]:
        """Return (prompt tokens, completion tokens) of an answer whose server reports no usage."""
        raise TypeError(f"{type(self).__name__} must define parse_responses(responses, request)")

    def headers(self, param: Arguments) -> dict[str, str]:
        """Return the headers this API needs besides the run's own; the key goes here."""
        return bearer(param)

    def encode_request(self, body: dict[str, Json]) -> tuple[bytes, dict[str, str]]:
        """Return the bytes to send for a body, and the headers that belong to them: a signature, a multipart boundary.

        Called for each request as it is made ready, up to 1,000 requests before it is sent; ``build_request`` made the
        body, which is what is stored. Headers of the same names are replaced. A plugin with a ``process_request``
        encodes there.

        Examples
        --------
        >>> ApiPluginBase().encode_request({"ask": "why?"})
        (b'{"ask":"why?"}', {})
        """
        return as_json(body), {}

    def read_message(self, message: Message, answer: Answer, event: str = "") -> None:
        """Note in ``answer`` what one message carries: an SSE payload, or the body of an answer not streamed.

        Called after the stream has ended, once per message in order of arrival. The default knows the dialects of
        ``perfkit.apis.answers`` by their shapes.

        Parameters
        ----------
        message : dict
            The decoded JSON.
        answer : Answer
            What is known so far; ``answer.chunk(kind, text, choice)`` adds a piece.
        event : str
            The SSE event name, where there was one.
        """
        answers.read_message(message, answer, event)

    def asks_stream(self, body: dict[str, Json]) -> bool:
        """Tell whether a request asks for a stream."""
        return body.get("stream") is True

    def read_headers(self, headers: Mapping[str, str], answer: Answer) -> None:
        """Note in ``answer`` what the headers of a successful answer say, such as counts; names in lower case."""

    @staticmethod
    def replace_values(template: Json, model: str, prompt: str) -> None:
        """Replace ``%m`` and ``%p`` in every str of nested dicts and lists, in place.

        Examples
        --------
        >>> body = {"model": "%m", "input": [{"text": "say %p"}]}
        >>> ApiPluginBase.replace_values(body, "qwen", "hi")
        >>> body
        {'model': 'qwen', 'input': [{'text': 'say hi'}]}
        """
        items = template.items() if isinstance(template, dict) else enumerate(template)
        for key, value in items:
            if isinstance(value, str):
                template[key] = value.replace("%m", model).replace("%p", prompt)
            elif isinstance(value, (dict, list)):
                ApiPluginBase.replace_values(value, model, prompt)


class DefaultApiPlugin(ApiPluginBase):
    """An API that speaks JSON and SSE like OpenAI's: the transport and the reading of answers are perfkit's.

    ``parse_responses`` gets decoded messages (dicts) and the request as JSON text, and only if usage is missing.
    """


class PerfPluginBase:
    """A plugin of the oldest kind: it reads the dataset, makes the bodies and counts the tokens, all in one class."""

    path = "/v1/chat/completions"

    def __init__(self, tokenizer_path: str | None = None) -> None:
        self.tokenizer_path = tokenizer_path

    def build_request(
        self,
        model: str,
        prompt: str | None = None,
        dataset: str | None = None,
        max_length: int = sys.maxsize,
        min_length: int = 0,
        **kwargs: Any,
    ) -> Iterator[dict[str, Json]]:
        """Yield request bodies.

        Parameters
        ----------
        model : str
        prompt : str, optional
            Given: every body asks this.
        dataset : str, optional
            Path of the dataset.
        max_length, min_length : int, characters
            Prompts outside are skipped.
        **kwargs
            What ``--parameters`` gave.
        """
        raise TypeError(f"{type(self).__name__} must define build_request(model, prompt, dataset, ...)")

    def encode_request(self, body: dict[str, Json]) -> tuple[bytes, dict[str, str]]:
        """Return the bytes to send for a body, and the headers that belong to them; as in ``ApiPluginBase``."""
        return as_json(body), {}

    def parse_responses(self, responses: list[str], **kwargs: Any) -> tuple[int, int]:
        """Return (prompt tokens, completion tokens) of an answer's messages, given as JSON texts."""
        raise TypeError(f"{type(self).__name__} must define parse_responses(responses)")

    def dataset_line_by_line(self, dataset: str) -> Iterator[str]:
        """Yield the lines of a text file, line ends included."""
        with open(dataset, encoding="utf-8") as file:
            yield from file

    def dataset_json_list(self, dataset: str) -> Iterator[Json]:
        """Yield the items of a file that holds one JSON array."""
        with open(dataset, encoding="utf-8") as file:
            yield from json.load(file)


def bearer(param: Arguments) -> dict[str, str]:
    """Return the header that carries the key, none without a key."""
    return {"Authorization": f"Bearer {param.api_key}"} if param.api_key else {}


def as_json(body: dict[str, Json]) -> bytes:
    """Return the body as it is sent: compact JSON in UTF-8."""
    try:
        return orjson.dumps(body)
    except TypeError:  # integers beyond 64 bits and lone surrogates, which the slower writer takes
        return json.dumps(body, ensure_ascii=True, separators=(",", ":")).encode()
