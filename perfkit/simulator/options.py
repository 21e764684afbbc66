"""What a simulated server can be told: one frozen dataclass, and the command line generated from it."""

import argparse
import types
from dataclasses import Field, dataclass, field, fields
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from perfkit.errors import UsageError

T = TypeVar("T")
Text = Literal["words", "chinese", "emoji"]
UsageWhen = Literal["asked", "always", "never"]
Style = Literal["vllm", "transformers", "llama.cpp"]


def option(default: T, sentence: str) -> T:
    """Declare a field with its default and the sentence that documents it on the command line."""
    return field(default=default, metadata={"sentence": sentence})


@dataclass(frozen=True, slots=True)
class Simulation:
    """Every option of the simulated server. Durations in seconds, lengths in tokens.

    Without ``slots`` tokens are paced exactly: token k of a request is due ``ttft + k * itl`` after the last byte
    of the request was read. With ``slots`` an engine with continuous batching decides (see ``model.EngineSchedule``).

    Raises
    ------
    UsageError
        A value is out of range.

    Examples
    --------
    >>> Simulation(ttft=0.2).argv()
    ['--ttft', '0.2']
    """

    ttft: float = option(0.1, "time to first token, exact pacing")
    itl: float = option(0.01, "time between tokens; with slots: one decoding step of a batch of one")
    jitter: float = option(0.0, "each interval is scaled by its own factor within 1 - jitter .. 1 + jitter")
    seed: int = option(1, "seed of jitter and texts")

    slots: int | None = option(None, "requests an engine decodes at once; not given: exact pacing")
    prefill_rate: float = option(20_000.0, "engine: prompt tokens per second")
    prefill_chunk: int = option(2048, "engine: most prompt tokens in one step")
    slowdown: float = option(0.0002, "engine: what each further request in the batch adds to a step")
    base_latency: float = option(0.005, "engine: time from a request's last byte to its place in the queue")

    model: str = option("simulated", "name of the served model")
    output_tokens: int | None = option(None, "length of every answer; not given: the request's max_tokens, else 64")
    text: Text = option("words", "what answers are made of")
    reasoning_tokens: int = option(0, "how many tokens of each answer are reasoning")
    cached_tokens: int | None = option(None, "prompt tokens that usage calls cached")
    tokens_per_event: int = option(1, "tokens in one event, sent when its first is due")
    events_per_write: int = option(1, "events in one write, sent when its first is due")

    style: Style = option("vllm", "whose chat streams to imitate: role, finish and usage chunks, [DONE]")
    usage: UsageWhen = option("asked", "when OpenAI streams end with a usage chunk")
    role_chunk: bool = option(True, "chat streams start with a chunk that only names the role")
    role_lead: float = option(0.0, "how long before the first token the role chunk is sent")
    done: bool = option(True, "OpenAI streams end with data: [DONE]")
    early_headers: bool = option(True, "stream headers are sent at once, not with the first event")
    crlf: bool = option(False, "lines of a stream end in CR LF")
    ping_every: int = option(0, "send a comment before each n-th event; 0: never")

    fail_every: int = option(0, "each n-th request is answered with fail_status; 0: none")
    fail_status: int = option(500, "the status of failing requests")
    drop_every: int = option(0, "each n-th request: connection closed after half of the tokens")
    stall_every: int = option(0, "each n-th request is never answered")
    reset_every: int = option(0, "each n-th request: connection reset after half of the tokens")
    idle_timeout: float | None = option(None, "close connections that idle this long; not given: never")

    host: str = option("127.0.0.1", "address to listen on")
    port: int = option(0, "port to listen on; 0: a free one")
    certfile: str | None = option(None, "PEM certificate chain; serves https")
    keyfile: str | None = option(None, "PEM private key, when it is not in certfile")
    log: str | None = option(None, "write one CSV line per request here")
    chunk_log: str | None = option(None, "write one binary record per content event here")
    request_log: str | None = option(None, "write each request received here, as JSON lines")

    def __post_init__(self) -> None:
        for name in ("ttft", "itl", "slowdown", "base_latency", "role_lead", "reasoning_tokens", "ping_every"):
            self._require(name, getattr(self, name) >= 0, "0 or more")
        for name in ("prefill_rate", "prefill_chunk", "tokens_per_event", "events_per_write"):
            self._require(name, getattr(self, name) > 0, "above 0")
        for name in ("slots", "output_tokens"):
            self._require(name, getattr(self, name) is None or getattr(self, name) > 0, "above 0")
        self._require("jitter", 0 <= self.jitter < 1, "from 0 to below 1")
        self._require("port", 0 <= self.port <= 65535, "from 0 to 65535")
        self._require("fail_status", 400 <= self.fail_status <= 599, "from 400 to 599")

    def _require(self, name: str, holds: bool, allowed: str) -> None:
        if not holds:
            raise UsageError(f"{name} must be {allowed}, got {getattr(self, name)}")

    def argv(self) -> list[str]:
        """Return the command line that means these options, defaults left out."""
        words: list[str] = []
        for each in fields(self):
            value = getattr(self, each.name)
            if value == each.default:
                continue
            flag = each.name.replace("_", "-")
            words += [f"--{'' if value else 'no-'}{flag}"] if isinstance(value, bool) else [f"--{flag}", str(value)]
        return words


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give a parser one option per field of ``Simulation``.

    Parameters
    ----------
    parser : ArgumentParser
        ``perfkit simulate`` passes its own.
    """
    hints = get_type_hints(Simulation)
    for each in fields(Simulation):
        parser.add_argument(f"--{each.name.replace('_', '-')}", **_argument(each, hints[each.name]))


def _argument(each: "Field[Any]", hint: Any) -> dict[str, Any]:
    default = "" if each.default is None else f" [{each.default}]"
    keywords: dict[str, Any] = {"default": each.default, "help": each.metadata["sentence"].replace("%", "%%") + default}
    if get_origin(hint) in (Union, types.UnionType):
        hint = next(kind for kind in get_args(hint) if kind is not type(None))
    if hint is bool:
        return keywords | {"action": argparse.BooleanOptionalAction}
    if get_origin(hint) is Literal:
        return keywords | {"choices": get_args(hint)}
    return keywords | {"type": hint, "metavar": {str: "TEXT", int: "N", float: "X"}[hint]}


def from_arguments(arguments: argparse.Namespace) -> Simulation:
    """Return the options that a parser prepared by ``add_arguments`` has read.

    Examples
    --------
    >>> parser = argparse.ArgumentParser()
    >>> add_arguments(parser)
    >>> from_arguments(parser.parse_args(["--slots", "8", "--no-role-chunk"])).slots
    8
    """
    return Simulation(**{each.name: getattr(arguments, each.name) for each in fields(Simulation)})
