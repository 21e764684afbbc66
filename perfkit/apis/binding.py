"""One face for plugins of every generation: which kind a class is, and how its methods are called.

=========== ============================================== ======== ==============================
generation  the class                                      sends    ``parse_responses`` gets
=========== ============================================== ======== ==============================
A           ApiPluginBase, no ``process_request``          perfkit  JSON texts, always
B           ``process_request`` is an async generator      itself   what it yielded, always
C           DefaultApiPlugin, no ``process_request``       perfkit  dicts, when usage is missing
C-own       ``process_request`` is a coroutine function    itself   its responses, when counts are missing
llmuses     PerfPluginBase                                 perfkit  JSON texts, always
=========== ============================================== ======== ==============================
"""

import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from numbers import Integral
from typing import Any, Literal

from perfkit.apis import answers
from perfkit.apis.base import ApiPluginBase, DefaultApiPlugin, PerfPluginBase, as_json, bearer
from perfkit.apis.bodies import prompt_of as prompt_of
from perfkit.apis.bodies import refuse_unsent
from perfkit.apis.error_places import STEPS, failure_in, is_own, place_of
from perfkit.apis.tokenizer import Calibration, Tokenizer, load_tokenizer
from perfkit.errors import PluginFailure, UsageError
from perfkit.options.arguments import Arguments
from perfkit.records import Answer, Json, Prompt
from perfkit.secrets import secrets_in

KEYS = 64
"""Values beyond which they are of one request each, such as signatures."""
Generation = Literal["A", "B", "C", "C-own", "llmuses"]


@dataclass(frozen=True, eq=False)
class BoundApi:
    """An API plugin ready for a run: instance, URL, headers and the calls that the engine makes.

    Parameters
    ----------
    api : object
        The plugin.
    generation : str
        See the module's table.
    arguments : Arguments
        The run's.
    """

    api: Any
    generation: Generation
    arguments: Arguments
    tokenizer: Tokenizer | None = field(default=None, repr=False)
    calibrations: tuple[Calibration, Calibration] = field(
        default_factory=lambda: (Calibration(), Calibration()), repr=False
    )
    """Of prompts and of answers: what is estimated where neither server nor tokenizer counts."""
    keys: set[str] = field(default_factory=set, repr=False)
    """Values of the headers that the plugin gives with single requests, which may be keys: the first of them."""

    @property
    def sends(self) -> bool:
        """True if the plugin's own ``process_request`` sends the request."""
        return self.generation in ("B", "C-own")

    @property
    def over_http(self) -> bool:
        """True if the URL is one of HTTP."""
        return self.arguments.address.startswith(("http://", "https://"))

    @property
    def url(self) -> str:
        """The full URL."""
        path = getattr(self.api, "path", ApiPluginBase.path)
        if not isinstance(path, str):
            raise PluginFailure(f"{place_of(type(self.api))}: path is a text such as /v1/completions, got {path!r}")
        return self.arguments.endpoint(path)

    @property
    def headers(self) -> dict[str, str]:
        """The headers of each request, the key included; those of the run win over the API's."""
        own = isinstance(self.api, ApiPluginBase)
        given = _called(self.api.headers, self.arguments) if own else bearer(self.arguments)
        if not (isinstance(given, Mapping) and _are_texts(given)):  # what they are may be a key
            raise PluginFailure(f"{place_of(self.api.headers)}: headers must return a dict of texts, each on one line")
        mine = {name.lower() for name in self.arguments.headers}
        defaults = {"Content-Type": "application/json", **given}
        return {
            **{name: value for name, value in defaults.items() if name.lower() not in mine},
            **self.arguments.headers,
        }

    def at(self, url: str) -> "BoundApi":
        """Return the same, for one of the run's URLs."""
        return replace(self, arguments=self.arguments.replace(url=url, balance="round-robin"))

    def build(self, prompt: Prompt) -> dict[str, Json] | None:
        """Make the body of a prompt; None skips it."""
        if self.generation == "llmuses" and isinstance(prompt.content, dict):
            return prompt.content  # made by the plugin's own generator, see bodies()
        build = self.api.build_request
        body = _called(build, prompt.content, *self._extra)
        if body is None or (isinstance(body, dict) and body):
            return body
        raise PluginFailure(f"{place_of(build)}: build_request returned {body!r}; a body is a dict that is not empty")

    def encode(self, body: dict[str, Json]) -> tuple[bytes, dict[str, str]]:
        """Return the bytes to send for a body, and the headers that belong to them."""
        encodes = self._encodes
        if encodes is None:
            try:
                return as_json(body), {}
            except (TypeError, ValueError, RecursionError) as error:
                own = f"{place_of(self.api.build_request)}: " if is_own(type(self.api)) else ""
                raise PluginFailure(f"{own}the body is not JSON: {error}") from None
        encoded = _called(encodes, body)
        data, headers = encoded if isinstance(encoded, tuple) and len(encoded) == 2 else (encoded, {})
        if not (isinstance(data, bytes) and isinstance(headers, Mapping) and _are_texts(headers)):
            raise PluginFailure(f"{place_of(encodes)}: encode_request returned {encoded!r:.100}, not (bytes, headers)")
        if len(self.keys) < KEYS:
            self.keys.update(secrets_in("", headers))
        return data, dict(headers)

    @cached_property
    def _encodes(self) -> Callable[..., Any] | None:
        """The plugin's own way to encode, None if it has none."""
        own = getattr(type(self.api), "encode_request", None)
        return (
            None
            if own in (None, ApiPluginBase.encode_request, PerfPluginBase.encode_request)
            else self.api.encode_request
        )

    @cached_property
    def _extra(self) -> tuple[Arguments, ...]:
        return (self.arguments,) if _takes(self.api.build_request, 2) else ()

    def bodies(self, arguments: Arguments) -> Iterator[dict[str, Json]]:
        """Yield the bodies that a plugin of the llmuses generation makes by itself.

        It is asked again and again when ``number`` or ``duration`` says how much is wanted.
        """
        endless = arguments.number is not None or arguments.duration is not None
        while True:
            body = None
            for body in self._one_pass(arguments):
                yield body
            if body is None:
                raise UsageError(f"{place_of(self.api.build_request)}: build_request yields no request")
            if not endless:
                return

    def _one_pass(self, arguments: Arguments) -> Iterator[dict[str, Json]]:
        try:
            for body in self.api.build_request(
                model=arguments.model,
                prompt=arguments.prompt_text(),
                dataset=arguments.dataset_path or arguments.dataset,
                max_length=arguments.max_prompt_length,
                min_length=arguments.min_prompt_length,
                **arguments.parameters,
            ):
                STEPS.begun += 1
                if not isinstance(body, dict):
                    place = place_of(self.api.build_request)
                    raise PluginFailure(f"{place}: build_request yielded {body!r:.100}; a body is a dict")
                yield body
        except (Exception, SystemExit) as error:
            raise failure_in(error, self.api.build_request) from error

    @cached_property
    def read_message(self) -> Callable[..., None]:
        """What notes in an answer what one decoded message carries; called with message, answer, event name."""
        own = getattr(type(self.api), "read_message", ApiPluginBase.read_message)
        if own is ApiPluginBase.read_message:
            return answers.read_message
        return partial(_called, self.api.read_message)

    def asks_stream(self, body: dict[str, Json]) -> bool:
        """Tell whether a request asks for a stream; False where the plugin sends by itself."""
        asks = getattr(self.api, "asks_stream", None)
        return bool(not self.sends and asks is not None and _called(asks, body))

    def read_headers(self, headers: Mapping[str, str], answer: Answer) -> None:
        """Note in an answer what its headers say."""
        if isinstance(self.api, ApiPluginBase):
            _called(self.api.read_headers, headers, answer)

    def count(self, messages: list[Any], body: dict[str, Json], answer: Answer) -> None:
        """Fill the token counts of an answer and say where they come from."""
        if _counted(answer):
            answer.token_source = answer.token_source or "server"
        if self._asks_plugin(answer):
            self._count_by_plugin(messages, body, answer)
        texts = prompt_of(body), answer.whole_text
        if answer.token_source == "server":
            self._calibrate(texts, answer)
        elif not _counted(answer):
            self._fill(texts, answer)

    def _calibrate(self, texts: tuple[str, str], answer: Answer) -> None:
        for calibration, text, tokens in zip(self.calibrations, texts, _counts(answer), strict=True):
            calibration.learn(text, tokens or 0)

    def _fill(self, texts: tuple[str, str], answer: Answer) -> None:
        """Count what nobody has counted by the tokenizer, else estimate it, else leave it unknown."""
        known = _counts(answer)
        if self.tokenizer is not None:
            counts: list[int | None] = [self.tokenizer.count(text) for text in texts]
        else:
            counts = [calibration.estimate(text) for calibration, text in zip(self.calibrations, texts, strict=True)]
        filled = [count if given is None else given for given, count in zip(known, counts, strict=True)]
        if filled != list(known):
            answer.prompt_tokens, answer.completion_tokens = filled
            answer.token_source = "tokenizer" if self.tokenizer is not None else "estimate"

    def _asks_plugin(self, answer: Answer) -> bool:
        parses = getattr(type(self.api), "parse_responses", None)
        if parses in (None, ApiPluginBase.parse_responses, PerfPluginBase.parse_responses):
            return False
        return self.generation in ("A", "B", "llmuses") or not _counted(answer)

    def _count_by_plugin(self, messages: list[Any], body: dict[str, Json], answer: Answer) -> None:
        responses, request = messages, body
        if self.generation in ("C", "C-own"):
            responses = [_decoded(text) for text in messages]
            request = json.dumps(body, ensure_ascii=False)  # type: ignore[assignment]
        counts = _called(self.api.parse_responses, responses, request=request)
        if not (isinstance(counts, tuple | list) and len(counts) == 2 and all(map(_is_count, counts))):
            place = place_of(self.api.parse_responses)
            raise PluginFailure(f"{place}: parse_responses returned {counts!r}, not (prompt tokens, completion tokens)")
        # A 0 is what the documented plugins return of what they could not count.
        prompt, completion = (None if n is None else int(n) for n in counts)
        if prompt or completion:
            answer.prompt_tokens = prompt or None
            answer.completion_tokens = completion or (None if answer.whole_text else completion)
            answer.token_source = "plugin"


def bind_api(cls: type, arguments: Arguments) -> BoundApi:
    """Make an instance of a plugin class and say how it is to be called; of several models it asks the first.

    Examples
    --------
    >>> from perfkit.apis.openai import OpenAI
    >>> bound = bind_api(OpenAI, Arguments(url="localhost:8000", model="qwen"))
    >>> bound.generation, bound.sends, bound.url
    ('C', False, 'http://localhost:8000/v1/chat/completions')
    """
    if isinstance(arguments.model, tuple):
        arguments = arguments.replace(model=arguments.models[0][0])
    if not callable(getattr(cls, "build_request", None)):
        raise UsageError(f"{cls.__module__}.{cls.__qualname__} has no build_request(messages, param)")
    # Only where the class itself says so: a subclass may send what its base does not.
    takes = vars(cls).get("takes")
    if takes is not None:
        refuse_unsent(arguments, ", ".join(takes) or "whole bodies, or texts alone", takes)
    tokenizer = load_tokenizer(arguments.tokenizer_path) if arguments.tokenizer_path else None
    generation = generation_of(cls)
    bound = BoundApi(_instance(cls, generation, arguments), generation, arguments, tokenizer)
    if bound.sends and len(arguments.urls) > 1:
        raise UsageError(f"{cls.__qualname__} sends by itself, and to one URL; got {len(arguments.urls)}")
    if not (bound.sends or bound.over_http):
        scheme = arguments.address.partition(":")[0]
        raise UsageError(
            f"perfkit sends to http:// and https://, got {scheme}://; an API for it sends by itself, "
            f"in a process_request of its own, which {cls.__qualname__} has not"
        )
    return bound


def generation_of(cls: type) -> Generation:
    """Say which generation a plugin class belongs to; see the module's table.

    Examples
    --------
    >>> generation_of(DefaultApiPlugin), generation_of(ApiPluginBase), generation_of(PerfPluginBase)
    ('C', 'A', 'llmuses')
    """
    sender = getattr(cls, "process_request", None)
    if inspect.isasyncgenfunction(sender):
        return "B"
    if inspect.iscoroutinefunction(sender):
        return "C-own"
    if issubclass(cls, PerfPluginBase):
        return "llmuses"
    return "C" if issubclass(cls, DefaultApiPlugin) else "A"


def _instance(cls: type, generation: Generation, arguments: Arguments) -> Any:
    wants = list(inspect.signature(cls).parameters.values())
    by_path = generation == "llmuses" or (generation == "A" and bool(wants) and _wants_path(wants[0]))
    given = (arguments.tokenizer_path if by_path else arguments,) if wants else ()
    instance = _called(cls, *given)
    if not hasattr(instance, "param"):
        instance.param = arguments
    return instance


def _wants_path(parameter: inspect.Parameter) -> bool:
    return parameter.annotation in (str, "str") or parameter.name in ("model_path", "mode_path")


def _takes(function: Callable[..., Any], count: int) -> bool:
    parameters = inspect.signature(function).parameters.values()
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return len(positional) >= count or any(p.kind is p.VAR_POSITIONAL for p in parameters)


def _called(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    STEPS.begun += 1
    try:
        return function(*args, **kwargs)
    except UsageError:
        raise  # not the plugin's doing, but what the run was given
    except (Exception, SystemExit) as error:  # exit() in a plugin ends no run
        raise failure_in(error, function) from error


def _counts(answer: Answer) -> tuple[int | None, int | None]:
    return answer.prompt_tokens, answer.completion_tokens


def _counted(answer: Answer) -> bool:
    return None not in _counts(answer)


def _are_texts(headers: Mapping[Any, Any]) -> bool:
    return all(isinstance(text, str) and not set(text) & set("\r\n\0") for pair in headers.items() for text in pair)


def _is_count(value: Any) -> bool:
    return value is None or (isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= 0)


def _decoded(text: Any) -> Any:
    """Return what a message's JSON says; the message itself where it is none, as in a protocol of a plugin's own."""
    try:
        return json.loads(text) if isinstance(text, (str, bytes)) else text
    except ValueError:
        return text
