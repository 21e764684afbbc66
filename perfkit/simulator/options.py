"""The options of the simulated server."""

from dataclasses import dataclass
from typing import Literal, get_args

from perfkit.errors import UsageError
from perfkit.options.arguments import option
from perfkit.options.validation import check_types

TextKind = Literal["words", "chinese", "emoji"]
UsageWhen = Literal["asked", "always", "never"]
Style = Literal["vllm", "transformers", "llama.cpp"]

GROUPS = {
    "timing": "timing",
    "engine": "an engine with continuous batching, used when --slots is set",
    "answers": "the answers",
    "streams": "the streams",
    "faults": "faults",
    "server": "the server and its logs",
}
"""Groups of options, with their titles on the command line."""


@dataclass(frozen=True, slots=True)
class Simulation:
    """Every option of the simulated server. Durations in seconds, lengths in tokens.

    Without ``slots`` tokens are paced exactly: token k of a request is due ``ttft + k * itl`` after the last byte
    of the request was read. With ``slots`` an engine with continuous batching decides (see ``model.EngineSchedule``).

    Raises
    ------
    UsageError
        A value is of the wrong type or out of range.

    Examples
    --------
    >>> Simulation(ttft=-1)
    Traceback (most recent call last):
    perfkit.errors.UsageError: ttft must be 0 or more, got -1
    """

    ttft: float = option(0.1, "time to first token, exact pacing", "s", group="timing")
    itl: float = option(
        0.01, "time between tokens; with slots: one decoding step of a batch of one", "s", group="timing"
    )
    jitter: float = option(
        0.0, "each interval is scaled by its own factor within 1 - jitter .. 1 + jitter", group="timing"
    )
    seed: int = option(1, "seed of jitter and texts", group="timing")

    slots: int | None = option(None, "requests decoded at once; default: exact pacing", "requests", group="engine")
    prefill_rate: float = option(20_000.0, "prompt tokens per second", "tokens/s", group="engine")
    prefill_chunk: int = option(2048, "most prompt tokens in one step", "tokens", group="engine")
    slowdown: float = option(0.0002, "what each further request in the batch adds to a step", "s", group="engine")
    kv_cache_tokens: int = option(
        100_000, "room of the KV cache that /metrics tells the use of; it limits nothing", "tokens", group="engine"
    )
    base_latency: float = option(
        0.005, "time from a request's last byte to its place in the queue", "s", group="engine"
    )

    model: str = option("simulated", "name of the served model", group="answers")
    output_tokens: int | None = option(
        None, "length of every answer; default: the request's max_tokens, else 64", "tokens", group="answers"
    )
    text: TextKind = option("words", "what answers are made of", group="answers", choices=get_args(TextKind))
    reasoning_tokens: int = option(0, "how many tokens of each answer are reasoning", "tokens", group="answers")
    cached_tokens: int | None = option(None, "prompt tokens that usage reports as cached", "tokens", group="answers")
    tokens_per_event: int = option(1, "tokens in one event, sent when its first is due", "tokens", group="answers")
    events_per_write: int = option(1, "events in one write, sent when its first is due", "events", group="answers")

    style: Style = option(
        "vllm",
        "which server's chat streams to imitate: role, finish and usage chunks, [DONE]",
        group="streams",
        choices=get_args(Style),
    )
    usage: UsageWhen = option(
        "asked", "when OpenAI streams end with a usage chunk", group="streams", choices=get_args(UsageWhen)
    )
    role_chunk: bool = option(True, "chat streams start with a chunk that only names the role", group="streams")
    role_lead: float = option(0.0, "how long before the first token the role chunk is sent", "s", group="streams")
    done: bool = option(True, "OpenAI streams end with data: [DONE]", group="streams")
    early_headers: bool = option(True, "stream headers are sent at once, not with the first event", group="streams")
    crlf: bool = option(False, "lines of a stream end in CR LF", group="streams")
    ping_every: int = option(0, "send a comment before each n-th event; 0: never", group="streams")

    fail_every: int = option(0, "each n-th request is answered with fail_status; 0: none", group="faults")
    fail_status: int = option(500, "the status of failing requests", group="faults")
    drop_every: int = option(0, "each n-th request: connection closed after half of the tokens", group="faults")
    stall_every: int = option(0, "each n-th request is never answered", group="faults")
    reset_every: int = option(0, "each n-th request: connection reset after half of the tokens", group="faults")
    idle_timeout: float | None = option(
        None, "close connections that are idle this long; default: never", "s", group="faults"
    )

    host: str = option("127.0.0.1", "address to listen on", group="server")
    port: int = option(0, "port to listen on; 0: a free one", group="server")
    certfile: str | None = option(None, "PEM certificate chain; serves https", group="server")
    keyfile: str | None = option(None, "PEM private key, when it is not in certfile", group="server")
    log: str | None = option(None, "write one CSV line per request to this file", group="server")
    chunk_log: str | None = option(None, "write one binary record per content event to this file", group="server")
    request_log: str | None = option(None, "write each request received to this file, as JSON lines", group="server")

    def __post_init__(self) -> None:
        check_types(self)
        for name in ("ttft", "itl", "slowdown", "base_latency", "role_lead", "reasoning_tokens", "ping_every"):
            self._require(name, getattr(self, name) >= 0, "0 or more")
        for name in ("prefill_rate", "prefill_chunk", "tokens_per_event", "events_per_write", "kv_cache_tokens"):
            self._require(name, getattr(self, name) > 0, "above 0")
        for name in ("slots", "output_tokens"):
            self._require(name, getattr(self, name) is None or getattr(self, name) > 0, "above 0")
        self._require("jitter", 0 <= self.jitter < 1, "from 0 to below 1")
        self._require("port", 0 <= self.port <= 65535, "from 0 to 65535")
        self._require("fail_status", 400 <= self.fail_status <= 599, "from 400 to 599")

    def _require(self, name: str, holds: bool, allowed: str) -> None:
        if not holds:
            raise UsageError(f"{name} must be {allowed}, got {getattr(self, name)}")
