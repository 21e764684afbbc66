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
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, Literal

from perfkit.apis import answers
from perfkit.apis.base import ApiPluginBase, DefaultApiPlugin, PerfPluginBase, bearer
from perfkit.apis.bodies import prompt_of as prompt_of
from perfkit.arguments import Arguments
from perfkit.errors import PluginFailure, UsageError
from perfkit.records import Answer, Json, Prompt
from perfkit.tokens import Calibration, Tokenizer, load_tokenizer

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

    @property
    def sends(self) -> bool:
        """True if the plugin's own ``process_request`` sends the request."""
        return self.generation in ("B", "C-own")

    @property
    def url(self) -> str:
        """The full URL."""
        return self.arguments.endpoint(getattr(self.api, "path", ApiPluginBase.path))

    @property
    def headers(self) -> dict[str, str]:
        """The headers of each request, the key included; those of the run win over the API's."""
        given = self.api.headers(self.arguments) if isinstance(self.api, ApiPluginBase) else bearer(self.arguments)
        mine = {name.lower() for name in self.arguments.headers}
        defaults = {"Content-Type": "application/json", **given}
        return {
            **{name: value for name, value in defaults.items() if name.lower() not in mine},
            **self.arguments.headers,
        }

    def build(self, prompt: Prompt) -> dict[str, Json] | None:
        """Make the body of a prompt; None skips it.

        Raises
        ------
        PluginFailure
            The plugin raised, or returned something that is no body.
        """
        if self.generation == "llmuses" and isinstance(prompt.content, dict):
            return prompt.content  # made by the plugin's own generator, see bodies()
        build = self.api.build_request
        body = _called(build, prompt.content, *self._extra)
        if body is None or (isinstance(body, dict) and body):
            return body
        raise PluginFailure(f"{_place(build)}: build_request returned {body!r}; a body is a dict that is not empty")

    @cached_property
    def _extra(self) -> tuple[Arguments, ...]:
        return (self.arguments,) if _takes(self.api.build_request, 2) else ()

    def bodies(self, arguments: Arguments) -> Iterator[dict[str, Json]]:
        """Yield the bodies that a plugin of the llmuses generation makes by itself.

        It is asked again and again when ``number`` or ``duration`` says how much is wanted.

        Raises
        ------
        PluginFailure
            The plugin raised.
        UsageError
            It makes no body.
        """
        endless = arguments.number is not None or arguments.duration is not None
        while True:
            body = None
            for body in self._one_pass(arguments):
                yield body
            if body is None:
                raise UsageError(f"{_place(self.api.build_request)}: build_request yields no request")
            if not endless:
                return

    def _one_pass(self, arguments: Arguments) -> Iterator[dict[str, Json]]:
        try:
            yield from self.api.build_request(
                model=arguments.model,
                prompt=arguments.prompt_text(),
                dataset=arguments.dataset_path or arguments.dataset,
                max_length=arguments.max_prompt_length,
                min_length=arguments.min_prompt_length,
                **arguments.parameters,
            )
        except Exception as error:
            raise _failure(error, self.api.build_request) from error

    @cached_property
    def read_message(self) -> Callable[..., None]:
        """What notes in an answer what one decoded message carries; called with message, answer, event name."""
        own = getattr(type(self.api), "read_message", ApiPluginBase.read_message)
        if own is ApiPluginBase.read_message:
            return answers.read_message
        return partial(_called, self.api.read_message)

    def count(self, messages: list[Any], body: dict[str, Json], answer: Answer) -> None:
        """Fill the token counts of an answer and say where they come from.

        Parameters
        ----------
        messages : list of str
            The messages as JSON texts, or what the plugin's ``process_request`` collected.
        body : dict
            The request.
        answer : Answer
            Gains ``prompt_tokens``, ``completion_tokens``, ``token_source``; they stay None if nobody knows.

        Raises
        ------
        PluginFailure
            The plugin's ``parse_responses`` raised.
        """
        if _counted(answer):
            answer.token_source = answer.token_source or "server"
        if self._asks_plugin(answer):
            self._count_by_plugin(messages, body, answer)
        texts = prompt_of(body), "".join([text for _, _, text, _ in answer.pieces])
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
        if self.generation in ("A", "B", "llmuses"):
            return True
        parses = getattr(type(self.api), "parse_responses", None)
        return not _counted(answer) and parses not in (None, ApiPluginBase.parse_responses)

    def _count_by_plugin(self, messages: list[Any], body: dict[str, Json], answer: Answer) -> None:
        responses, request = messages, body
        if self.generation in ("C", "C-own"):
            responses = [json.loads(text) if isinstance(text, (str, bytes)) else text for text in messages]
            request = json.dumps(body, ensure_ascii=False)  # type: ignore[assignment]
        counts = _called(self.api.parse_responses, responses, request=request)
        if not (isinstance(counts, tuple | list) and len(counts) == 2):
            place = _place(self.api.parse_responses)
            raise PluginFailure(f"{place}: parse_responses returned {counts!r}, not (prompt tokens, completion tokens)")
        # (0, 0) is what the documented plugins return when they could not count.
        if any(counts):
            answer.prompt_tokens, answer.completion_tokens = counts
            answer.token_source = "plugin"


def bind_api(cls: type, arguments: Arguments) -> BoundApi:
    """Make an instance of a plugin class and say how it is to be called.

    Parameters
    ----------
    cls : type
        An API class of any generation.
    arguments : Arguments
        The run's.

    Raises
    ------
    PluginFailure
        Its constructor raised.
    UsageError
        It has no ``build_request``.

    Examples
    --------
    >>> from perfkit.apis.openai import OpenAI
    >>> bound = bind_api(OpenAI, Arguments(url="localhost:8000", model="qwen"))
    >>> bound.generation, bound.sends, bound.url
    ('C', False, 'http://localhost:8000/v1/chat/completions')
    """
    if not callable(getattr(cls, "build_request", None)):
        raise UsageError(f"{cls.__module__}.{cls.__qualname__} has no build_request(messages, param)")
    tokenizer = load_tokenizer(arguments.tokenizer_path) if arguments.tokenizer_path else None
    generation = generation_of(cls)
    return BoundApi(_instance(cls, generation, arguments), generation, arguments, tokenizer)


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
    try:
        return function(*args, **kwargs)
    except UsageError:
        raise  # not the plugin's doing, but what the run was given
    except Exception as error:
        raise _failure(error, function) from error


def _failure(error: Exception, function: Callable[..., Any]) -> PluginFailure:
    if isinstance(error, PluginFailure):
        return error
    last = traceback.extract_tb(error.__traceback__)[1:]
    place = f"{last[-1].filename}:{last[-1].lineno}" if last else _place(function)
    text = str(error) or type(error).__doc__ or ""
    return PluginFailure(f"{place}: {type(error).__name__}: {text}")


def _place(function: Callable[..., Any]) -> str:
    code = getattr(function, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else repr(function)


def _counts(answer: Answer) -> tuple[int | None, int | None]:
    return answer.prompt_tokens, answer.completion_tokens


def _counted(answer: Answer) -> bool:
    return None not in _counts(answer)
