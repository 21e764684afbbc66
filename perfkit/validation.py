"""What is checked before anything is sent: the forms, types and ranges of Arguments."""

import dataclasses
import math
import re
import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

from perfkit.errors import UsageError
from perfkit.secrets import Secret, resolve, shown_url
from perfkit.settings import as_mapping, as_steps, typed

_SEQUENCES = ("number", "parallel", "rate", "stop", "stop_token_ids", "plugins")
_AT_LEAST_ONE = ("max_tokens", "min_tokens", "max_concurrency", "n_choices", "top_k", "max_prompt_length")
_ABOVE_ZERO = ("duration", "connect_timeout", "read_timeout", "total_timeout", "burstiness", "speed")
_NOT_NEGATIVE = (
    *("think_time", "ramp", "dataset_offset", "min_prompt_length", "prefix_length", "log_every_n_query"),
    *("temperature", "top_p"),
)
_TIMED = ("trace", "workload_trace")
"""Datasets whose requests have times of their own."""
_WARMUP = re.compile(r"\d+(\.0+)?|\d+(\.\d+)?s")


def normalised(arguments: Any) -> dict[str, Any]:
    """Return the fields whose given form differs from the one that is kept: lists as tuples, keys as secrets.

    Raises
    ------
    UsageError
        A mapping is none, or a key cannot be fetched.
    """
    changed: dict[str, Any] = {}
    hints = _hints(_class_of(arguments))
    for name in _SEQUENCES:
        value = getattr(arguments, name)
        if isinstance(value, Sequence) and not isinstance(value, str):
            changed[name] = _one_or_many(name, value)
    for field in dataclasses.fields(arguments):
        value = getattr(arguments, field.name)
        if field.metadata.get("secret") and value is not None and not isinstance(value, Secret):
            changed[field.name] = resolve(value) if isinstance(value, str) else value
        elif get_origin(hints[field.name]) in (Mapping,):
            changed[field.name] = as_mapping(field.name, value)
    changed["headers"] = {key: Secret(value) for key, value in changed["headers"].items()}
    changed["tags"] = {key: str(value) for key, value in changed["tags"].items()}
    for name in ("parameters", "dataset_args"):
        changed[name] = {key: typed(value) for key, value in changed[name].items()}
    changed["steps"] = steps = as_steps(arguments.steps or ())
    if steps and arguments.rate is None:
        changed["rate"] = max(rate for rate, _ in steps)
    if steps and arguments.duration is None and arguments.number is None:
        changed["duration"] = sum(seconds for _, seconds in steps)
    timed = isinstance(arguments.dataset, str) and arguments.dataset in _TIMED
    if timed and arguments.rate is None and arguments.parallel is None and not steps:
        changed["rate"] = -1  # at its times: one user who asks one after the other is not what a trace recorded
    if isinstance(arguments.plugins, str):
        changed["plugins"] = (arguments.plugins,)
    if isinstance(arguments.url, str) and "://" not in arguments.url:
        changed["url"] = f"http://{arguments.url}"
    return changed


def _one_or_many(name: str, value: Sequence[Any]) -> Any:
    many = tuple(value)
    if not many and name in ("number", "parallel", "rate"):
        raise UsageError(f"{name} is empty; give a number, or several for a sweep")
    return many[0] if len(many) == 1 and name in ("number", "parallel", "rate") else many


def check(arguments: Any) -> None:
    """Check types and ranges, and that no two arguments contradict each other.

    Raises
    ------
    UsageError
        The first that does not hold, with value, range and next step.
    """
    _check_types(arguments)
    _check_load(arguments)
    for name in _AT_LEAST_ONE:
        value = getattr(arguments, name)
        _require(value is None or value >= 1, f"{name} must be at least 1, got {value}")
    for name in _ABOVE_ZERO:
        value = getattr(arguments, name)
        _require(value is None or value > 0, f"{name} must be above 0, got {value}")
    for name in _NOT_NEGATIVE:
        value = getattr(arguments, name)
        _require(value is None or value >= 0, f"{name} must not be negative, got {value}")
    rate = arguments.max_error_rate
    _require(0 <= rate <= 1, f"max_error_rate must be between 0 and 1 (never end a run for its errors), got {rate}")
    least, most = arguments.min_prompt_length, arguments.max_prompt_length
    _require(least <= most, f"min_prompt_length {least} is above max_prompt_length {most}")
    least, most = arguments.min_tokens or 0, arguments.max_tokens or math.inf
    _require(least <= most, f"min_tokens {least} is above max_tokens {most}; no answer can be both")
    parts = urlsplit(arguments.url)
    _require(
        parts.scheme in ("http", "https") and bool(parts.hostname) and " " not in parts.netloc and _has_port(parts),
        f"url must look like http://host:port, got {shown_url(arguments.url)!r}",
    )
    _check_transport(arguments)
    _require(
        not arguments.wandb_api_key or find_spec("wandb") is not None,
        "wandb_api_key needs wandb: pip install 'perfkit[wandb]'",
    )


def _check_transport(arguments: Any) -> None:
    ca_file, proxy = arguments.ca_file, arguments.proxy
    _require(ca_file is None or Path(ca_file).expanduser().is_file(), f"no file of certificates at {ca_file}")
    _require(
        proxy is None or proxy == "env" or urlsplit(proxy).scheme in ("http", "https"),
        f"proxy must look like http://host:port, or be env for the environment's; got {shown_url(str(proxy))!r}",
    )
    _check_workers(arguments.workers)
    here = type(arguments.workers) is int
    _require(
        arguments.stamps != "kernel" or (proxy is None and not (here and sys.platform != "linux")),
        "stamps='kernel' needs Linux and no proxy; stamps='auto' takes the best there is",
    )


def _check_workers(workers: Any) -> None:
    number = type(workers) is int and workers >= 0
    address = isinstance(workers, str) and "://" in workers
    _require(
        number or address or hasattr(workers, "nthreads"),
        "workers must be a whole number, 0 for a thread of this process; for a Dask cluster a distributed.Client, or "
        f"its scheduler's address, such as tcp://host:8786; got {workers!r}",
    )
    _require(
        not address or find_spec("distributed") is not None,
        f"workers={workers!r} is a Dask cluster and needs Dask: pip install 'perfkit[cluster]'",
    )


def _check_load(arguments: Any) -> None:
    for value in as_tuple(arguments.parallel):
        _require(value >= 1, f"parallel must be at least 1 user, got {value}")
    for value in as_tuple(arguments.rate):
        _require(
            0 < value < math.inf or value == -1,
            f"rate must be above 0 requests/s, or -1 for all at once, got {value}",
        )
    for value in as_tuple(arguments.number):
        _require(value >= 1, f"number must be at least 1 request, got {value}")
    _require(
        arguments.rate is None or arguments.parallel is None,
        "rate and parallel exclude each other: rate is an open model, parallel a closed one; "
        "to cap what an open model has in flight give max_concurrency",
    )
    _require(
        arguments.max_concurrency is None or arguments.rate is not None,
        "max_concurrency caps an open model; give rate with it (-1: all at once), or parallel for that many users",
    )
    _require(
        arguments.burstiness == 1 or arguments.arrival == "gamma",
        f"burstiness is of arrival='gamma'; got {arguments.burstiness} with arrival={arguments.arrival!r}",
    )
    _require(
        arguments.arrival == "poisson" or arguments.rate is not None,
        f"arrival is of the open model; give rate with it, got arrival={arguments.arrival!r} and no rate",
    )
    _require(
        arguments.speed == 1 or arguments.rate is not None,
        f"speed is of a recorded trace at its own times: dataset='trace' without parallel; got speed={arguments.speed}",
    )
    _require(
        arguments.ramp_shape == "linear" or bool(arguments.ramp),
        f"ramp_shape is of a ramp; give ramp with it, in seconds, got ramp_shape={arguments.ramp_shape!r} and no ramp",
    )
    highest = max((rate for rate, _ in arguments.steps), default=None)
    _require(
        highest is None or arguments.rate == highest,
        f"steps have rates of their own, up to {highest}; leave rate out, got {arguments.rate}",
    )
    _require(highest is None or not arguments.ramp, "steps and ramp exclude each other; begin with lower steps")
    _require(
        bool(_WARMUP.fullmatch(str(arguments.warmup))),
        f"warmup must be a count such as 20 or a time such as 10s, got {arguments.warmup!r}; a share can be "
        "left out afterwards: perfkit show --warmup 10%",
    )


def _check_types(arguments: Any) -> None:
    for field in dataclasses.fields(arguments):
        name, value = field.name, getattr(arguments, field.name)
        choices = field.metadata.get("choices")
        if choices:
            _require(value in choices, f"{name} must be one of {', '.join(choices)}; got {value!r}")
            continue
        wanted = _wanted(_class_of(arguments))[name]
        for item in as_tuple(value) if wanted else ():
            fits = isinstance(item, wanted) and not (isinstance(item, bool) and bool not in wanted)
            _require(item is None or fits, f"{name} must be {_spelt(wanted)}, got {item!r}")


def _spelt(wanted: tuple[type, ...]) -> str:
    names = ["a number" if float in wanted else "a whole number"] if int in wanted else []
    names += ["a text"] if str in wanted else []
    return " or ".join(names + (["true or false"] if bool in wanted else []))


def _class_of(arguments: Any) -> type:
    return arguments.__class__  # type: ignore[no-any-return]


@lru_cache(maxsize=4)
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls)


@lru_cache(maxsize=4)
def _wanted(cls: type) -> dict[str, tuple[type, ...]]:
    """Return the types that the value of each field, or an item of it, may have; none where it is not checked."""
    return {name: tuple(_scalars(hint)) for name, hint in _hints(cls).items()}


def _scalars(hint: Any) -> set[type]:
    if hint in (bool, int, str):
        return {hint}
    if hint is float:
        return {int, float}
    if get_origin(hint) in (Mapping, Literal):
        return set()
    return {kind for part in get_args(hint) for kind in _scalars(part)}


def _has_port(parts: Any) -> bool:
    try:
        return parts.port is None or parts.port > 0
    except ValueError:
        return False


def as_tuple(value: Any) -> tuple[Any, ...]:
    """Return one value or many as a tuple, none as an empty one."""
    if value is None:
        return ()
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


def _require(holds: bool, sentence: str) -> None:
    if not holds:
        raise UsageError(sentence)
