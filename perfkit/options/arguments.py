"""Arguments: everything a run can be told, one frozen object, validated at the door.

The same words are keyword arguments of ``pk.run``, options of ``perfkit run``, keys of a YAML or TOML file and
the record kept in the run file. Each field says its unit, its meaning and, where it has one, its short option.
"""

import dataclasses
import inspect
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from pathlib import Path
from typing import Any, Literal, Self, TypedDict, Unpack
from urllib.parse import urlsplit

from perfkit.errors import UsageError
from perfkit.options.coercion import read_settings
from perfkit.options.docstrings import default_value, described, with_section
from perfkit.options.names import as_fields, unknown
from perfkit.options.presets import Applied, not_replaced, with_preset
from perfkit.options.units import weighted
from perfkit.options.validation import as_tuple, check, normalised
from perfkit.records import Arrival, Balance, Json, ListedModel, RampShape, Replicas, Salt
from perfkit.secrets import Secret, masked, read_text, shown_headers, shown_url, without_prompts


class Facts(TypedDict, total=False):
    """What a field may be declared with beside its default, meaning and unit."""

    ge: float
    """Least value allowed."""
    gt: float
    """All values above this one are allowed."""
    le: float
    """Largest value allowed."""
    choices: tuple[str, ...]
    many: bool
    """Takes several values."""
    repeat: bool
    """May be given several times on the command line, and adds up."""
    secret: bool
    """Neither stored nor shown."""
    wire: str
    """Its field of the request body in OpenAI's dialect, empty for its own name; absent: it is not sent as such."""
    work: bool | Literal["noted"]
    """Changes what a server is asked, or when: runs are compared only where it is equal, or that it differs is said."""


def option(
    default: Any, meaning: str, unit: str = "", flags: tuple[str, ...] = (), *, group: str, **more: Unpack[Facts]
) -> Any:
    """Declare a field with all that is known of it: nothing else in perfkit repeats a fact that stands here.

    Parameters
    ----------
    default : object
        None where nothing is sent or asked for by default.
    meaning : str
        What ``--help`` and the documentation say of it.
    unit : str
        ``s`` is a duration, which may be written with a unit (``2min``); ``1/s`` a rate; ``share`` a share (``5%``).
    flags : tuple of str
        Short options of the command line beside ``--name``.
    group : str
        Under which heading it stands: target, load, prompts, body, transport or record.
    **more
        Range, choices, name in the request body and the rest; see ``Facts``.
    """
    metadata = {"meaning": meaning, "unit": unit, "flags": flags, "group": group, **more}
    if isinstance(default, dict):
        return dataclass_field(default_factory=lambda: dict(default), metadata=metadata)
    return dataclass_field(default=default, metadata=metadata)


def sampling(meaning: str, unit: str = "", **more: Unpack[Facts]) -> Any:
    """Declare a field of the request body that is sent only when given, under its own name or that of ``wire``."""
    return option(None, meaning, unit, group="body", **{"wire": "", "work": True, **more})  # type: ignore[arg-type]


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
    url: str | Sequence[str] = option(
        "http://localhost:8000",
        "endpoint; a base URL gains the API's path; several share the requests",
        group="target",
        many=True,
    )
    balance: Balance = option(
        "round-robin",
        "how several URLs share: each its turn, or whichever has the fewest requests in flight",
        group="target",
        choices=("round-robin", "least-in-flight"),
        work="noted",
    )
    model: str | Sequence[str] | None = option(
        None,
        "model name; several share the requests, NAME=WEIGHT by weight; default: the one the server has",
        group="target",
        many=True,
    )
    api: str | type = option("openai", "API plugin, by its registered name or file.py", group="target", work="noted")
    api_key: str | None = option(None, "key: env:NAME, @file, or the key itself", group="target", secret=True)
    headers: Mapping[str, str] = option({}, "extra HTTP headers, NAME=VALUE", group="target", repeat=True)
    parser: str | type | None = option(None, "plugin file: file.py, file.py:Class or module.Class", group="target")
    plugins: Sequence[str] = option((), "plugin files or folders to load", group="target", repeat=True)

    # The load.
    number: int | Sequence[int] | None = option(
        None, "requests; default: the dataset once", "requests", ("-n",), group="load", many=True, ge=1
    )
    duration: float | None = option(None, "stop sending after this time, such as 90 or 2min", "s", group="load", gt=0)
    parallel: int | Sequence[int] | None = option(
        None, "closed model: number of users; several make a sweep", "users", group="load", many=True, ge=1
    )
    rate: float | Sequence[float] | None = option(
        None, "open model: requests per second; -1: all at once; several make a sweep", "1/s", group="load", many=True
    )
    arrival: Arrival = option(
        "poisson",
        "arrival process of the open model",
        group="load",
        choices=("poisson", "constant", "gamma"),
        work=True,
    )
    burstiness: float = option(
        1.0, "shape of gamma arrivals: 1 is Poisson, below 1 is burstier", group="load", gt=0, work=True
    )
    max_concurrency: int | None = option(
        None,
        "open model: cap on requests in flight; what it holds back shows as lag",
        "requests",
        group="load",
        ge=1,
        work=True,
    )
    think_time: float = option(
        0.0, "closed model: pause of a user between answer and next request", "s", group="load", ge=0, work=True
    )
    ramp: float = option(0.0, "spread the start over this time", "s", group="load", ge=0, work=True)
    ramp_shape: RampShape = option(
        "linear", "shape of the ramp", group="load", choices=("linear", "exponential"), work=True
    )
    steps: Sequence[Any] = option(
        (),
        "open model: rates one after the other, RATE:SECONDS, such as 5:30 20:30",
        group="load",
        many=True,
        work=True,
    )
    cancel: float = option(
        0.0,
        "share of the requests, drawn from arrival_seed, whose client closes the connection after cancel_after",
        "share",
        group="load",
        ge=0,
        le=1,
        work=True,
    )
    cancel_after: float | None = option(
        None, "how long such a client waits for the end of the answer", "s", group="load", gt=0, work=True
    )
    max_error_rate: float = option(
        0.99,
        "end a run when more than this share of 100 or more requests has failed, or none succeeds for 10 s; 1: never",
        "share",
        group="load",
        ge=0,
        le=1,
    )
    warmup: str | float = option(
        0,
        "first requests labelled warm-up: a count, or a time such as 10s; a share such as 10% or auto (where latency "
        "settles) is kept with the run and found when it is looked at",
        group="load",
        work="noted",
    )
    preflight: bool = option(True, "send one request first, of its own phase", group="load")
    prompt_seed: int = option(0, "seed of the order of prompts", group="load", work="noted")
    arrival_seed: int = option(0, "seed of the arrival process, and of who cancels", group="load")
    speed: float = option(
        1.0, "time scale of a recorded trace: 2 plays it twice as fast", group="load", gt=0, work=True
    )

    # The prompts.
    preset: str | None = option(
        None,
        "a load that people name: chat, rag, code, agent or summarise; sets the prompts' options, which others replace",
        group="prompts",
        work="noted",
    )
    dataset: Any = option(None, "registered name, or an existing path; default: sample", group="prompts")
    mix: Sequence[str] = option(
        (),
        "several datasets by weight in place of one, NAME=WEIGHT; each request keeps the class that it is of",
        group="prompts",
        many=True,
        work=True,
    )
    dataset_path: str | None = option(None, "file or folder that the dataset reads", group="prompts", work=True)
    dataset_offset: int = option(0, "skip this many items", "items", group="prompts", ge=0, work=True)
    dataset_args: Mapping[str, Json] = option(
        {}, "options of the dataset, JSON or KEY=VALUE", group="prompts", work=True
    )
    prompt: str | None = option(None, "one prompt for every request, or @file", group="prompts", work=True)
    system: str | None = option(None, "system message put before each prompt", group="prompts", work=True)
    min_prompt_length: int = option(0, "skip shorter prompts", "characters or tokens", group="prompts", ge=0, work=True)
    max_prompt_length: int = option(
        sys.maxsize, "skip longer prompts", "characters or tokens", group="prompts", ge=1, work=True
    )
    prefix_length: int = option(
        0, "random prompts: tokens of the shared prefix", "tokens", group="prompts", ge=0, work=True
    )
    apply_chat_template: bool | None = option(None, "send messages; default: by the URL", group="prompts", work=True)
    tokenizer_path: str | None = option(None, "folder of a tokenizer", group="prompts", work="noted")
    salt: Salt = option(
        "none",
        "begin prompts with a few characters that no earlier run had, so that the server's prefix cache knows none of "
        "them: the same in all requests of the run, or others in each request",
        group="prompts",
        choices=("none", "run", "request"),
        work=True,
    )
    shuffle: bool = option(False, "take the items in an order drawn from prompt_seed", group="prompts", work=True)

    # The request body.
    stream: bool = option(True, "ask for a stream", group="body", work=True)
    max_tokens: int | None = sampling("longest answer", "tokens", ge=1)
    min_tokens: int | None = sampling("shortest answer, where the server can", "tokens", ge=1)
    temperature: float | None = sampling("sampling temperature; not sent by default", ge=0)
    top_p: float | None = sampling("nucleus sampling", ge=0)
    top_k: int | None = sampling("top-k sampling", ge=1)
    min_p: float | None = sampling("least probability of a token, as a share of the likeliest one's", ge=0, le=1)
    frequency_penalty: float | None = sampling("frequency penalty")
    presence_penalty: float | None = sampling("presence penalty")
    repetition_penalty: float | None = sampling("repetition penalty")
    logprobs: bool | int | None = sampling("ask for log probabilities")
    n_choices: int | None = sampling("answers per request", ge=1, wire="n")
    seed: int | None = sampling("the request's own seed, sent in the body", work=False)
    stop: str | Sequence[str] | None = sampling("stop strings", many=True)
    stop_token_ids: Sequence[int] | None = sampling("stop token ids", many=True)
    query_template: str | None = option(None, "JSON body or @file; %m and %p are replaced", group="body", work=True)
    include_usage: bool = option(
        True, "ask for the token counts of a stream: stream_options, which some servers refuse", group="body"
    )
    server_timings: bool = option(
        False,
        "ask for the server's own times (vLLM's include_metrics; others send them unasked): queue, prefill, decoding",
        group="body",
    )
    extra_args: Mapping[str, Json] = option(
        {}, "more fields of the body, JSON or KEY=VALUE; null leaves one out", group="body", work=True
    )
    parameters: Mapping[str, Json] = option({}, "the same, KEY=VALUE or JSON", group="body", repeat=True, work=True)

    # Time limits and transport.
    connect_timeout: float = option(10.0, "longest connect", "s", group="transport", gt=0)
    read_timeout: float = option(120.0, "longest silence between two bytes", "s", group="transport", gt=0)
    total_timeout: float = option(6 * 3600.0, "longest answer", "s", group="transport", gt=0)
    verify: bool = option(True, "verify the TLS certificate", group="transport")
    ca_file: str | None = option(None, "certificates to trust instead of the system's", group="transport")
    cert: str | None = option(None, "client certificate, a PEM file with its chain", group="transport")
    key_file: str | None = option(None, "its key, PEM; default: in the same file", group="transport")
    unix_socket: str | None = option(
        None, "connect to this socket instead of the URL's host; url=unix:///PATH does so too", group="transport"
    )
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
    texts: bool = option(
        True, "keep prompts, bodies and answers; without: their hashes, counts and time stamps alone", group="record"
    )
    scrape: bool | str | Sequence[str] = option(
        False,
        "once a second, read what the server publishes about itself (Prometheus): at these URLs; without any, at "
        "/metrics of the endpoint's address; nvml: the GPUs of this machine",
        group="record",
        many=True,
    )
    log_every_n_query: int = option(0, "print a line every n requests", "requests", group="record", ge=0)
    debug: bool = option(False, "show requests and answers, secrets removed", group="record")
    wandb_api_key: str | None = option(None, "log to Weights & Biases", group="record", secret=True)
    mlflow: str | None = option(
        None, "log to MLflow: the URI of its server, or a file such as mlflow.db", group="record"
    )

    def __repr__(self) -> str:
        keys = {name: value for name in OPTIONS if isinstance(value := getattr(self, name), Secret)}
        return f"Arguments({', '.join(f'{name}={value!r}' for name, value in {**self.shown(), **keys}.items())})"

    def __post_init__(self) -> None:
        if self.preset is not None:
            given = {name: getattr(self, name) for name in OPTIONS if getattr(self, name) != default_of(name)}
            for name, value in with_preset(given).items():
                object.__setattr__(self, name, value)
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
        if self.preset is not None:
            changes = {"dataset_args": not_replaced(self.dataset_args, changes), **changes}
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
        """Return the fields that differ from their defaults, as they may be stored and shown: no secrets.

        With ``texts=False``: no prompts either.
        """
        shown: dict[str, Json] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value == default_value(field) or field.metadata.get("secret") or isinstance(value, ListedModel):
                continue
            shown[field.name] = _shown(field.name, value)
        return shown if self.texts else without_prompts(shown)

    @property
    def load(self) -> str:
        """``"open"`` when a rate is given, else ``"closed"``."""
        return "open" if self.rate is not None else "closed"

    @property
    def address(self) -> str:
        """The URL, the first of several."""
        return str(self.url) if isinstance(self.url, str) else self.url[0]

    @property
    def urls(self) -> tuple[str, ...]:
        """The URLs that share the requests: one, as a rule.

        Examples
        --------
        >>> Arguments(url=["a:8000", "b:8000"]).urls
        ('http://a:8000', 'http://b:8000')
        """
        return self.url.every if isinstance(self.url, Replicas) else (self.address,)

    @property
    def models(self) -> tuple[tuple[str | None, float], ...]:
        """The models that are asked, each with its weight among them; None is the server's one.

        Examples
        --------
        >>> Arguments(model=["base", "lora=3"]).models
        (('base', 1.0), ('lora', 3.0))
        """
        return weighted("model", as_tuple(self.model)) or ((None, 1.0),)

    @property
    def model_name(self) -> str | None:
        """The model, or of several their names in one text."""
        if self.model is None or isinstance(self.model, str):
            return self.model
        return ", ".join(str(name) for name, _ in self.models)

    def prompt_text(self) -> str | None:
        """Return the text of ``prompt``, read from its file if it is given as ``@file``.

        Raises
        ------
        UsageError
            The file cannot be read, or is not UTF-8.
        """
        if self.prompt is None or not self.prompt.startswith("@"):
            return self.prompt
        return read_text(self.prompt[1:], "the prompt file ")

    def endpoint(self, path: str) -> str:
        """Return the URL that requests go to: a base URL gains the API's path, any other stays.

        Examples
        --------
        >>> Arguments(url="localhost:8000").endpoint("/v1/chat/completions")
        'http://localhost:8000/v1/chat/completions'
        >>> Arguments(url="https://host/v1").endpoint("/v1/completions")
        'https://host/v1/completions'
        >>> Arguments(url="https://host/v1beta").endpoint("/v1beta/models/flash:generateContent")
        'https://host/v1beta/models/flash:generateContent'
        >>> Arguments(url="https://host/api/generate").endpoint("/v1/completions")
        'https://host/api/generate'
        """
        parts = urlsplit(self.address)
        if parts.scheme not in ("http", "https"):
            return self.address
        base = parts.path.rstrip("/")
        if not base:
            return parts._replace(path=path).geturl()
        first = f"/{path.strip('/').partition('/')[0]}"
        if base.endswith(first) and path.startswith(f"{first}/"):
            return parts._replace(path=base + path.removeprefix(first)).geturl()
        return self.address

    @classmethod
    def from_mapping(cls, given: Mapping[str, Any]) -> Self:
        """Make Arguments of a mapping, naming the nearest field when a key is unknown.

        Raises
        ------
        UsageError
            A key is not a field.

        Examples
        --------
        >>> Arguments.from_mapping({"modle": "qwen"})
        Traceback (most recent call last):
        perfkit.errors.UsageError: no argument is called 'modle'; did you mean 'model'?
        """
        for key in given:
            if key not in OPTIONS:
                raise unknown(key, OPTIONS)
        return cls(**with_preset(given))

    @classmethod
    def from_record(cls, given: Mapping[str, Any]) -> Self:
        """Make Arguments of what a run file keeps, where the settings of a preset stand beside its name.

        Raises
        ------
        UsageError
            A key is not a field.

        Examples
        --------
        >>> Arguments.from_record({"preset": "chat", "dataset": "random"}).prefix_length
        0
        """
        preset = given.get("preset")
        return cls.from_mapping({**given, "preset": Applied(preset)} if isinstance(preset, str) else given)

    @classmethod
    def from_file(cls, path: str | Path) -> Self:
        """Read Arguments from a TOML, YAML or JSON file; dashes and short names are those of the command line.

        Raises
        ------
        UsageError
            The file cannot be read or holds no table of arguments.
        """
        return cls.from_mapping(as_fields(read_settings(path), OPTIONS))


OPTIONS: Mapping[str, "dataclasses.Field[Any]"] = {field.name: field for field in dataclasses.fields(Arguments)}
"""The declaration of every option, by name."""

WIRE: Mapping[str, str] = {
    name: field.metadata["wire"] or name for name, field in OPTIONS.items() if "wire" in field.metadata
}
"""Options that are a field of the request body, and that field's name in OpenAI's dialect."""


if Arguments.__doc__:  # Python strips docstrings if asked to
    Arguments.__doc__ = with_section(
        inspect.cleandoc(Arguments.__doc__), "The settings", "Parameters", described(OPTIONS.values())
    )


def default_of(name: str) -> Any:
    """Return what an option is when it was not given."""
    return default_value(OPTIONS[name])


def spelt(api: Any) -> Any:
    """Return an API as it may be stored: a class that was given itself by its name, ``<Plugin>``."""
    return f"<{api.__name__}>" if isinstance(api, type) else api


def _shown(name: str, value: Any) -> Json:
    if isinstance(value, Replicas):
        return [shown_url(each) for each in value.every]
    if name in ("url", "proxy") or (name == "mlflow" and "@" in value):
        return shown_url(value)
    if name == "scrape" and not isinstance(value, bool):
        return [shown_url(each) for each in value]
    if name == "headers":
        return shown_headers(value)
    if name in ("api", "parser"):
        return spelt(value)
    if name == "query_template" and not value.startswith("@") and isinstance(value, Secret):
        return json.dumps(masked(json.loads(value)), ensure_ascii=False)
    if isinstance(value, Mapping):
        return masked(dict(value)) if name in ("extra_args", "parameters", "dataset_args") else dict(value)
    if isinstance(value, tuple):
        return list(value)
    return value if isinstance(value, (bool, int, float, str)) else type(value).__name__
