"""What is checked before anything is sent: the forms, types and ranges of Arguments."""

import dataclasses
import math
import os
import socket
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

from perfkit.errors import UsageError
from perfkit.options.coercion import as_mapping, typed, undecodable
from perfkit.options.units import amount, duration, rate, share, steps, weighted
from perfkit.records import Replicas
from perfkit.registry import APIS
from perfkit.secrets import Secret, from_environment, resolve, seal, shown_url, template_keys

NVML = "nvml"
"""What ``scrape`` takes in place of a URL: the GPUs of this machine."""

_TIMED = ("trace", "workload_trace")
"""Datasets whose requests have times of their own."""


def normalised(arguments: Any) -> dict[str, Any]:
    """Return the fields whose given form differs from the one that is kept: lists as tuples, keys as secrets."""
    changed: dict[str, Any] = {}
    for field in dataclasses.fields(arguments):
        value = getattr(arguments, field.name)
        kept = _kept(field, value, _hints(_class_of(arguments))[field.name])
        if kept is not value:
            changed[field.name] = kept
    now = {**{field.name: getattr(arguments, field.name) for field in dataclasses.fields(arguments)}, **changed}
    if isinstance(now["query_template"], str) and template_keys(now["query_template"]):
        changed["query_template"] = Secret(now["query_template"])
    levels = now["steps"]
    if levels and now["rate"] is None:
        changed["rate"] = max(level for level, _ in levels)
    if levels and now["duration"] is None and now["number"] is None:
        changed["duration"] = sum(seconds for _, seconds in levels)
    timed = isinstance(now["dataset"], str) and now["dataset"] in _TIMED
    if timed and now["rate"] is None and now["parallel"] is None and not levels:
        changed["rate"] = -1  # at its times: one user who asks one after the other is not what a trace recorded
    if isinstance(now["url"], tuple) and all(isinstance(each, str) for each in now["url"]):
        changed["url"] = Replicas.of([_with_scheme(each) for each in now["url"]])
    elif isinstance(now["url"], str) and now["url"].startswith("unix:"):
        changed |= _of_socket(arguments)
    elif isinstance(now["url"], str) and not isinstance(now["url"], Replicas):
        changed |= {"url": _with_scheme(now["url"])}
    if isinstance(now["scrape"], (str, tuple, NoneType)):
        pages = as_tuple(now["scrape"])
        changed["scrape"] = tuple(each if each == NVML else _with_scheme(each) for each in pages) or False
    return changed


def _with_scheme(url: Any) -> Any:
    return url if not isinstance(url, str) or "://" in url else f"http://{url}"


def _of_socket(arguments: Any) -> dict[str, str]:
    """Return the URL and the socket that ``unix:///path/of.sock`` stands for, or ``unix:///path/of.sock:/v1``."""
    place, _, path = arguments.url.removeprefix("unix:").replace("//", "", 1).partition(":")
    _require(
        place.startswith("/") and arguments.unix_socket in (None, place),
        f"url must look like unix:///path/of.sock, or unix:///path/of.sock:/v1 with a path; got {arguments.url!r}",
    )
    return {"url": f"http://localhost{path}", "unix_socket": place}


def _kept(field: "dataclasses.Field[Any]", value: Any, hint: Any) -> Any:
    """Return the value of a field in the form that is kept, as its declaration says."""
    name, facts = field.name, field.metadata
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if get_origin(hint) is Mapping:
        return _mapping(name, value)
    if value is None:
        return () if name in ("steps", "mix") else None
    if name == "mix" and isinstance(value, str):
        return (value,)
    if name == "steps":
        return steps(value)
    if facts.get("secret"):
        return resolve(value) if isinstance(value, str) and not isinstance(value, Secret) else value
    if facts.get("repeat") and isinstance(value, str):
        return (value,)
    if (facts.get("many") or facts.get("repeat")) and isinstance(value, Sequence) and not isinstance(value, str):
        return _one_or_many(name, [_measured(name, facts["unit"], each) for each in value])
    return _measured(name, facts["unit"], value)


def _measured(name: str, unit: str, value: Any) -> Any:
    """Return a number for a time, share or rate that was written with its unit."""
    if not isinstance(value, str):
        return value
    if unit == "s":
        return duration(name, value)
    if unit == "1/s":
        return rate(name, value)
    return share(name, value, whole=True) if unit == "share" else value


def _mapping(name: str, value: Any) -> dict[str, Any]:
    """Return a mapping with its values as they are kept: text in headers and tags, elsewhere what they spell."""
    if name in ("headers", "tags"):
        make = Secret if name == "headers" else str
        given = as_mapping(name, value)
        return {key: make(each) for key, each in (from_environment(given) if name == "headers" else given).items()}
    pairs = as_mapping(name, value, typed)
    if name != "extra_args":  # those of JSON have their types
        pairs = {key: typed(each) for key, each in pairs.items()}
    return dict(seal(from_environment(pairs)))


def _one_or_many(name: str, value: Sequence[Any]) -> Any:
    many = tuple(value)
    if not many and name in ("number", "parallel", "rate"):
        raise UsageError(f"{name} is empty; give a number, or several for a sweep")
    if not many and name == "url":
        raise UsageError("url is empty; give an endpoint, or several")
    if not many and name == "model":
        raise UsageError("model is empty; give a name, several, or leave it out for the one that the server has")
    return many[0] if len(many) == 1 and name in ("number", "parallel", "rate", "model", "url") else many


def check(arguments: Any) -> None:
    """Check types and ranges, and that no two arguments contradict each other."""
    check_types(arguments)
    _check_texts(arguments)
    _check_load(arguments)
    for field in dataclasses.fields(arguments):
        numeric = float in _wanted(_class_of(arguments))[field.name]
        for value in as_tuple(getattr(arguments, field.name)):
            if numeric and isinstance(value, float) and not math.isfinite(value):
                raise UsageError(f"{field.name} must be a finite number, got {value}")
            _check_range(field.name, value, field.metadata)
    least, most = arguments.min_prompt_length, arguments.max_prompt_length
    _require(least <= most, f"min_prompt_length {least} is above max_prompt_length {most}")
    least, most = arguments.min_tokens or 0, arguments.max_tokens or math.inf
    _require(least <= most, f"min_tokens {least} is above max_tokens {most}; no answer can be both")
    for url in arguments.urls:
        parts = urlsplit(url)
        _require(
            (parts.scheme in ("http", "https") or _has_own_api(arguments))
            and bool(parts.hostname)
            and " " not in parts.netloc
            and _has_port(parts),
            f"url must look like http://host:port, got {shown_url(url)!r}",
        )
    _check_replicas(arguments)
    weighted("model", as_tuple(arguments.model))
    _check_mix(arguments)
    _check_scrape(arguments)
    dataset = arguments.dataset
    if not (dataset is None or isinstance(dataset, Iterable) or hasattr(dataset, "columns")):
        raise UsageError(f"dataset must be a name, a path, an iterable or a DataFrame, got {dataset!r}")
    _check_transport(arguments)
    for name, library in (("wandb_api_key", "wandb"), ("mlflow", "mlflow")):
        _require(
            not getattr(arguments, name) or find_spec(library) is not None,
            f"{name} needs {library}: pip install 'perfkit[{library}]'",
        )


def _check_mix(arguments: Any) -> None:
    """Check that a mix of datasets has no other beside it, and an end."""
    weighted("mix", arguments.mix)
    if not arguments.mix:
        return
    others = ("dataset", "dataset_path", "prompt")
    beside = next((name for name in others if getattr(arguments, name) is not None), None)
    _require(beside is None, f"mix names datasets, {beside} another one; leave one of them out")
    _require(
        arguments.number is not None or arguments.duration is not None,
        "the datasets of a mix are read over and over; give number or duration",
    )


def _check_replicas(arguments: Any) -> None:
    """Check that several URLs can share the requests."""
    urls, alike = arguments.urls, arguments.balance == "least-in-flight"
    _require(
        len(urls) > 1 or not alike, "balance is of several URLs, such as url=[A, B]; leave it out, or give more of them"
    )
    if len(urls) == 1:
        return
    twice = next((url for at, url in enumerate(urls) if url in urls[:at]), None)
    _require(twice is None, f"url takes URLs that differ, got {shown_url(twice or '')!r} twice")
    for name in ("unix_socket", "proxy"):
        _require(
            getattr(arguments, name) is None,
            f"several URLs and {name} exclude each other; give one URL, or leave {name} out",
        )
    rests = {urlsplit(url)._replace(scheme="", netloc="") for url in urls}
    _require(
        not alike or (len(rests) == 1 and not any("@" in urlsplit(url).netloc for url in urls)),
        "with balance='least-in-flight' the URLs may differ in their hosts alone, and hold no user; "
        "give round-robin, or headers",
    )


def _check_range(name: str, value: Any, facts: Mapping[str, Any]) -> None:
    least, above, most = facts.get("ge"), facts.get("gt"), facts.get("le")
    unit = f" {facts['unit'].removesuffix('s')}" if facts["unit"].endswith("s") and facts["unit"].isalpha() else ""
    within = (least is None or value >= least) and (above is None or value > above) and (most is None or value <= most)
    if within:
        return
    if least is not None and most is not None:
        allowed = f"be between {least:g} and {most:g}"
    elif least == 0:
        allowed = "not be negative"
    else:
        allowed = f"be at least {least:g}{unit}" if least is not None else f"be above {above or 0:g}"
    raise UsageError(f"{name} must {allowed}, got {value}")


def _check_transport(arguments: Any) -> None:
    ca_file, proxy = arguments.ca_file, arguments.proxy
    _require(
        ca_file is None or Path(ca_file).expanduser().is_file(),
        f"ca_file must be a file of certificates, got {ca_file!r}: there is none",
    )
    _require(
        arguments.key_file is None or arguments.cert is not None,
        f"key_file is of a client certificate; pass cert with it, got key_file={arguments.key_file!r} and no cert",
    )
    for name in ("cert", "key_file"):
        path = getattr(arguments, name)
        _require(path is None or Path(path).expanduser().is_file(), f"no file at {name}={path!r}; pass a PEM file")
    _require(
        arguments.unix_socket is None or proxy is None,
        "unix_socket and proxy exclude each other: a proxy cannot reach a socket of this machine",
    )
    _require(
        arguments.unix_socket is None or hasattr(socket, "AF_UNIX"),
        "unix_socket needs a system with Unix sockets",
    )
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


def _check_scrape(arguments: Any) -> None:
    if arguments.scrape is False:
        return
    _require(
        arguments.workers != 0,
        "scrape reads pages in this process, which workers=0 would have measure: give workers=1 or more, got 0",
    )
    for url in [] if arguments.scrape is True else arguments.scrape:
        if url == NVML:
            _require(
                find_spec("pynvml") is not None,
                "scrape=nvml asks the GPUs of this machine and needs nvidia-ml-py: pip install 'perfkit[nvml]'",
            )
            continue
        parts = urlsplit(url)
        _require(
            parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and not any(mark.isspace() or mark < " " for mark in url)
            and _has_port(parts),
            f"scrape takes URLs such as http://host:9400/metrics, nvml for the GPUs of this machine, or none for the "
            f"endpoint's own; "
            f"got {shown_url(url)!r}",
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
    for value in as_tuple(arguments.rate):
        _require(
            0 < value < math.inf or value == -1,
            f"rate must be above 0 requests/s, or -1 for all at once, got {value}",
        )
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
    amount("warmup", arguments.warmup, auto=True)
    _require(
        bool(arguments.cancel) == (arguments.cancel_after is not None),
        "cancel is the share of the clients that leave, cancel_after when they do: give both, such as cancel=0.05 and "
        f"cancel_after=2; got cancel={arguments.cancel} and cancel_after={arguments.cancel_after}",
    )


def check_types(arguments: Any) -> None:
    """Check the types and choices that the fields of a dataclass declare.

    Values are spelt where they are wrong alone: a dataset may be a list of a million prompts, or of runs.
    """
    for field in dataclasses.fields(arguments):
        name, value = field.name, getattr(arguments, field.name)
        choices = field.metadata.get("choices")
        if choices:
            if value not in choices:
                raise UsageError(f"{name} must be one of {', '.join(choices)}; got {value!r}")
            continue
        wanted = _wanted(_class_of(arguments))[name]
        several = field.metadata.get("many") or field.metadata.get("repeat")
        if not several and wanted and isinstance(value, (list, tuple)):
            raise UsageError(f"{name} takes one value, got {value!r}")
        for item in as_tuple(value) if wanted else ():
            fits = isinstance(item, wanted) and not (isinstance(item, bool) and bool not in wanted)
            if item is not None and not fits:
                raise UsageError(f"{name} must be {_spelt(wanted)}, got {item!r}")


def _check_texts(arguments: Any) -> None:
    for field in dataclasses.fields(arguments):
        value = arguments.urls if field.name == "url" else getattr(arguments, field.name)
        bad = undecodable(value) if isinstance(value, (str, tuple, Mapping)) else None
        shown = "" if bad is None or isinstance(bad, Secret) or field.name == "url" else f", got {bad[:60]!r}"
        _require(bad is None, f"{field.name} must be text that UTF-8 can spell{shown}")


def _spelt(wanted: tuple[type, ...]) -> str:
    names = ["a number" if float in wanted else "a whole number"] if int in wanted else []
    names += ["a text"] if str in wanted else []
    names += ["a class"] if type in wanted else []
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
    if hint in (bool, int, str, type):
        return {hint}
    if hint is float:
        return {int, float}
    if get_origin(hint) in (Mapping, Literal):
        return set()
    return {kind for part in get_args(hint) for kind in _scalars(part)}


def _has_own_api(arguments: Any) -> bool:
    """Tell whether the API may be a person's own, which can send by itself to what is no HTTP."""
    api = arguments.api
    registered = not isinstance(api, str) or api in APIS.own or api not in APIS
    return registered or arguments.parser is not None or bool(arguments.plugins)


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
