"""Arguments: everything a run can be told, one frozen object, validated at the door.

The same words are keyword arguments of ``pk.run``, options of ``perfkit run``, keys of a YAML or TOML file and
the record kept in the run file. Each field says its unit, its meaning and, where it has one, its short option.
"""

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from perfkit.errors import UsageError, nearest
from perfkit.records import Arrival, Json, RampShape
from perfkit.secrets import shown_headers, shown_url
from perfkit.settings import read_settings
from perfkit.validation import as_tuple, check, normalised


def option(default: Any, meaning: str, unit: str = "", flags: tuple[str, ...] = (), **more: Any) -> Any:
    """Declare a field with what the documentation and the command line need to know about it."""
    metadata = {"meaning": meaning, "unit": unit, "flags": flags, **more}
    if isinstance(default, dict):
        return dataclass_field(default_factory=lambda: dict(default), metadata=metadata)
    return dataclass_field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """The settings of one run or sweep. Never changed afterwards; ``replace`` makes another.

    Raises
    ------
    UsageError
        A value is of the wrong type or out of range, or two contradict each other.

    Examples
    --------
    >>> Arguments(url="localhost:8000", parallel=[1, 8]).parallel
    (1, 8)
    >>> Arguments(rate=0)
    Traceback (most recent call last):
    perfkit.errors.UsageError: rate must be above 0 requests/s, or -1 for all at once, got 0
    """

    # What is asked, and whom.
    url: str = option("http://localhost:8000", "endpoint; a base URL gains the API's path", group="target")
    model: str | None = option(None, "model name; default: the one the server has", group="target")
    api: str = option("openai", "API plugin, by its registered name", group="target")
    api_key: str | None = option(None, "key: env:NAME, @file, or the key itself", group="target", secret=True)
    headers: Mapping[str, str] = option({}, "extra HTTP headers, NAME=VALUE", group="target", repeat=True)
    parser: str | None = option(None, "plugin file: file.py, file.py:Class or module.Class", group="target")
    plugins: Sequence[str] = option((), "plugin files or folders to load", group="target", repeat=True)

    # The load.
    number: int | Sequence[int] | None = option(
        None, "requests; default: the dataset once", "requests", ("-n",), group="load", many=True
    )
    duration: float | None = option(None, "stop sending after this time", "s", group="load")
    parallel: int | Sequence[int] | None = option(
        None, "closed model: number of users; several make a sweep", "users", group="load", many=True
    )
    rate: float | Sequence[float] | None = option(
        None, "open model: requests per second; -1: all at once; several make a sweep", "1/s", group="load", many=True
    )
    arrival: Arrival = option(
        "poisson", "arrival process of the open model", group="load", choices=("poisson", "constant", "gamma")
    )
    burstiness: float = option(1.0, "shape of gamma arrivals: 1 is Poisson, below 1 is burstier", group="load")
    max_concurrency: int | None = option(
        None, "open model: cap on requests in flight; what it holds back shows as lag", "requests", group="load"
    )
    think_time: float = option(0.0, "closed model: pause of a user between answer and next request", "s", group="load")
    ramp: float = option(0.0, "spread the start over this time", "s", group="load")
    ramp_shape: RampShape = option("linear", "shape of the ramp", group="load", choices=("linear", "exponential"))
    steps: Sequence[Any] = option(
        (), "open model: rates one after the other, RATE:SECONDS, such as 5:30 20:30", group="load", many=True
    )
    max_error_rate: float = option(
        0.99,
        "end a run when more than this share of 100 or more requests has failed, or none succeeds for 10 s; 1: never",
        group="load",
    )
    warmup: str | float = option(0, "first requests labelled warm-up: a count, or a time such as 10s", group="load")
    preflight: bool = option(True, "send one request first, of its own phase", group="load")
    prompt_seed: int = option(0, "seed of the order of prompts", group="load")
    arrival_seed: int = option(0, "seed of the arrival process", group="load")
    speed: float = option(1.0, "time scale of a recorded trace: 2 plays it twice as fast", group="load")

    # The prompts.
    dataset: Any = option(None, "registered name, or an existing path; default: sample", group="prompts")
    dataset_path: str | None = option(None, "file or folder that the dataset reads", group="prompts")
    dataset_offset: int = option(0, "skip this many items", "items", group="prompts")
    dataset_args: Mapping[str, Json] = option({}, "options of the dataset, JSON or KEY=VALUE", group="prompts")
    prompt: str | None = option(None, "one prompt for every request, or @file", group="prompts")
    system: str | None = option(None, "system message put before each prompt", group="prompts")
    min_prompt_length: int = option(0, "skip shorter prompts", "characters or tokens", group="prompts")
    max_prompt_length: int = option(sys.maxsize, "skip longer prompts", "characters or tokens", group="prompts")
    prefix_length: int = option(0, "random prompts: tokens of the shared prefix", "tokens", group="prompts")
    apply_chat_template: bool | None = option(None, "send messages; default: by the URL", group="prompts")
    tokenizer_path: str | None = option(None, "folder of a tokenizer", group="prompts")
    shuffle: bool = option(False, "take the items in an order drawn from prompt_seed", group="prompts")

    # The request body.
    stream: bool = option(True, "ask for a stream", group="body")
    max_tokens: int | None = option(None, "longest answer", "tokens", group="body")
    min_tokens: int | None = option(None, "shortest answer, where the server can", "tokens", group="body")
    temperature: float | None = option(None, "sampling temperature; not sent by default", group="body")
    top_p: float | None = option(None, "nucleus sampling", group="body")
    top_k: int | None = option(None, "top-k sampling", group="body")
    frequency_penalty: float | None = option(None, "frequency penalty", group="body")
    presence_penalty: float | None = option(None, "presence penalty", group="body")
    repetition_penalty: float | None = option(None, "repetition penalty", group="body")
    logprobs: bool | int | None = option(None, "ask for log probabilities", group="body")
    n_choices: int | None = option(None, "answers per request", group="body")
    seed: int | None = option(None, "the request's own seed, sent in the body", group="body")
    stop: str | Sequence[str] | None = option(None, "stop strings", group="body", many=True)
    stop_token_ids: Sequence[int] | None = option(None, "stop token ids", group="body", many=True)
    query_template: str | None = option(None, "JSON body or @file; %%m and %%p are replaced", group="body")
    extra_args: Mapping[str, Json] = option({}, "more fields of the body, as JSON", group="body")
    parameters: Mapping[str, Json] = option({}, "more fields of the body, KEY=VALUE", group="body", repeat=True)

    # Time limits and transport.
    connect_timeout: float = option(10.0, "longest connect", "s", group="transport")
    read_timeout: float = option(120.0, "longest silence between two bytes", "s", group="transport")
    total_timeout: float = option(6 * 3600.0, "longest answer", "s", group="transport")
    verify: bool = option(True, "verify the TLS certificate", group="transport")
    ca_file: str | None = option(None, "certificates to trust instead of the system's", group="transport")
    proxy: str | None = option(None, "proxy URL, or env: the environment's; the slower transport", group="transport")
    stamps: str = option("auto", "who stamps chunks", group="transport", choices=("auto", "kernel", "user"))
    workers: Any = option(
        1, "worker processes; 0: a thread of this process; or a Dask scheduler, tcp://HOST:8786", group="transport"
    )

    # The record.
    name: str | None = option(None, "name of the run; default {model}_{time}", group="record")
    db: str | None = option(None, "run file; default outputs/NAME.db; an existing one gains a run", group="record")
    tags: Mapping[str, str] = option(
        {}, "labels for grouping, KEY=VALUE", flags=("--tag",), group="record", repeat=True
    )
    note: str | None = option(None, "free text kept with the run", group="record")
    log_every_n_query: int = option(0, "print a line every n requests", "requests", group="record")
    debug: bool = option(False, "show requests and answers, secrets removed", group="record")
    wandb_api_key: str | None = option(None, "log to Weights & Biases", group="record", secret=True)

    def __post_init__(self) -> None:
        for name, value in normalised(self).items():
            object.__setattr__(self, name, value)
        check(self)

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some fields changed, validated again.

        Examples
        --------
        >>> Arguments(max_tokens=8).replace(max_tokens=16).max_tokens
        16
        """
        return dataclasses.replace(self, **changes)

    def points(self) -> list["Arguments"]:
        """Return one ``Arguments`` per point of the sweep, each with a single load and number.

        Examples
        --------
        >>> [(p.parallel, p.number) for p in Arguments(parallel=[1, 8], number=[10, 80]).points()]
        [(1, 10), (8, 80)]
        """
        axis = "rate" if self.rate is not None else "parallel"
        loads = as_tuple(getattr(self, axis)) or (1,)
        numbers = as_tuple(self.number) or (None,)
        if len(numbers) not in (1, len(loads)):
            raise UsageError(
                f"number has {len(numbers)} values for {len(loads)} points of {axis}; give one, or one for each"
            )
        numbers = numbers * len(loads) if len(numbers) == 1 else numbers
        return [self.replace(**{axis: load}, number=n) for load, n in zip(loads, numbers, strict=True)]

    def shown(self) -> dict[str, Json]:
        """Return the fields that differ from their defaults, as they may be stored and shown: no secrets."""
        shown: dict[str, Json] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value == _default(field) or field.metadata.get("secret"):
                continue
            shown[field.name] = _shown(field.name, value)
        return shown

    @property
    def load(self) -> str:
        """``"open"`` when a rate is given, else ``"closed"``."""
        return "open" if self.rate is not None else "closed"

    def prompt_text(self) -> str | None:
        """Return the text of ``prompt``, read from its file if it is given as ``@file``.

        Raises
        ------
        UsageError
            The file cannot be read.
        """
        if self.prompt is None or not self.prompt.startswith("@"):
            return self.prompt
        try:
            return Path(self.prompt[1:]).expanduser().read_text(encoding="utf-8")
        except OSError as error:
            raise UsageError(f"cannot read the prompt file {self.prompt[1:]}: {error.strerror}") from None

    def endpoint(self, path: str) -> str:
        """Return the URL that requests go to: a base URL gains the API's path, any other stays.

        Examples
        --------
        >>> Arguments(url="localhost:8000").endpoint("/v1/chat/completions")
        'http://localhost:8000/v1/chat/completions'
        >>> Arguments(url="https://host/v1").endpoint("/v1/completions")
        'https://host/v1/completions'
        >>> Arguments(url="https://host/api/generate").endpoint("/v1/completions")
        'https://host/api/generate'
        """
        parts = urlsplit(self.url)
        base = parts.path.rstrip("/")
        if not base:
            return parts._replace(path=path).geturl()
        if base.endswith("/v1") and path.startswith("/v1/"):
            return parts._replace(path=base + path.removeprefix("/v1")).geturl()
        return self.url

    @classmethod
    def from_mapping(cls, given: Mapping[str, Any]) -> Self:
        """Make Arguments of a mapping, naming the nearest field when a key is unknown.

        Raises
        ------
        UsageError
            A key is no field.

        Examples
        --------
        >>> Arguments.from_mapping({"modle": "qwen"})
        Traceback (most recent call last):
        perfkit.errors.UsageError: no argument is called 'modle'; did you mean 'model'?
        """
        known = {field.name for field in dataclasses.fields(cls)}
        for key in given:
            if key not in known:
                raise UsageError(f"no argument is called {key!r}{nearest(key, known).split(' (known')[0]}")
        return cls(**given)

    @classmethod
    def from_file(cls, path: str | Path) -> Self:
        """Read Arguments from a TOML, YAML or JSON file.

        Raises
        ------
        UsageError
            The file cannot be read or holds no table of arguments.
        """
        return cls.from_mapping(read_settings(path))


def _default(field: dataclasses.Field[Any]) -> Any:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def _shown(name: str, value: Any) -> Json:
    if name in ("url", "proxy"):
        return shown_url(value)
    if name == "headers":
        return shown_headers(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, tuple):
        return list(value)
    return value if isinstance(value, (bool, int, float, str)) else type(value).__name__
