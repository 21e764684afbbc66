"""How long servers say that an answer took them: in its last message, its usage, or its headers."""

from collections.abc import Mapping
from typing import NamedTuple

from perfkit.records import Answer, Json

QUEUE, PREFILL, FIRST, DECODE = "server_queue_time", "server_prefill_time", "server_ttft", "server_decode_time"
DRAFT, ACCEPTED = "draft_tokens", "accepted_tokens"
COLUMNS = (QUEUE, PREFILL, FIRST, DECODE, DRAFT, ACCEPTED)
"""Columns of a request that hold what its server says; times in seconds."""


class _Field(NamedTuple):
    column: str
    unit: float
    """In seconds; 1 for a count."""


_MS, _NS = 1e-3, 1e-9
_FIELDS: dict[str, dict[str, _Field]] = {
    # vLLM, started with --enable-per-request-metrics and asked with include_metrics.
    "metrics": {"queue_time_ms": _Field(QUEUE, _MS), "time_to_first_token_ms": _Field(FIRST, _MS)},
    # llama.cpp.
    "timings": {
        "prompt_ms": _Field(PREFILL, _MS),
        "predicted_ms": _Field(DECODE, _MS),
        "draft_n": _Field(DRAFT, 1),
        "draft_n_accepted": _Field(ACCEPTED, 1),
    },
    # Groq, then Qualcomm's stack.
    "usage": {
        "queue_time": _Field(QUEUE, 1),
        "prompt_time": _Field(PREFILL, 1),
        "completion_time": _Field(DECODE, 1),
        "queue_wait_time_in_ms": _Field(QUEUE, _MS),
        "ttft_in_ms": _Field(FIRST, _MS),
    },
    # Ollama.
    "": {"prompt_eval_duration": _Field(PREFILL, _NS), "eval_duration": _Field(DECODE, _NS)},
}
_HEADERS = {"x-queue-time": _Field(QUEUE, _MS)}
"""TGI's, of answers that are not streamed."""
_NAMES = frozenset({*_FIELDS, *_FIELDS[""]})
_LONGEST = 1e6
"""Seconds, and a hundred million tokens a second: more is no time of an answer."""


def read_timings(message: Mapping[str, Json], usage: Mapping[str, Json], answer: Answer) -> None:
    """Note what a message says of the time that its answer took.

    Examples
    --------
    >>> answer = Answer()
    >>> read_timings({"metrics": {"queue_time_ms": 12.5, "time_to_first_token_ms": 85.0}}, {}, answer)
    >>> answer.timings
    {'server_queue_time': 0.0125, 'server_ttft': 0.085, 'server_prefill_time': 0.0725}
    """
    if not usage and _NAMES.isdisjoint(message):
        return
    found = answer.timings
    for name, known in _FIELDS.items():
        part = usage if name == "usage" else message.get(name) if name else message
        if isinstance(part, Mapping):
            found |= _known(part, known)
    metrics = message.get("metrics")
    if isinstance(metrics, Mapping):
        # vLLM's own span of generation begins elsewhere than its first token: the gaps between tokens are clear.
        gap, count = _number(metrics.get("mean_itl_ms")), answer.completion_tokens
        if gap is not None and count is not None and count > 1:
            found[DECODE] = gap * _MS * (count - 1)
        if PREFILL not in found and found.get(FIRST, 0.0) >= found.get(QUEUE, float("inf")):
            found[PREFILL] = found[FIRST] - found[QUEUE]
    details = usage.get("completion_tokens_details")
    if isinstance(details, Mapping):
        accepted, rejected = (_number(details.get(f"{name}_prediction_tokens")) for name in ("accepted", "rejected"))
        if accepted is not None and rejected is not None and accepted + rejected:
            found |= {DRAFT: accepted + rejected, ACCEPTED: accepted}


def timings_in_headers(headers: Mapping[str, str]) -> dict[str, float]:
    """Return what the headers of an answer say, names in lower case.

    Examples
    --------
    >>> timings_in_headers({"x-queue-time": "3", "date": "today"})
    {'server_queue_time': 0.003}
    """
    return _known(headers, _HEADERS)


def _known(part: Mapping[str, Json], known: Mapping[str, _Field]) -> dict[str, float]:
    numbers = {field: _number(part[name]) for name, field in known.items() if name in part}
    return {field.column: number * field.unit for field, number in numbers.items() if number is not None}


def _number(told: Json) -> float | None:
    """Return a time or a count, None for what is none."""
    if isinstance(told, bool) or not isinstance(told, int | float | str):
        return None
    try:
        number = float(told)
    except ValueError:
        return None
    return number if 0 <= number < _LONGEST / _NS else None
