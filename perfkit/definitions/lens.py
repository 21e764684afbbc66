"""One run seen through every tool's definitions."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import pandas as pd

from perfkit.chunks import unpack
from perfkit.definitions.catalogue import DEFINITIONS, HELD, Definition, Held, Metric, Stamps, Weighted
from perfkit.definitions.catalogue import definition as by_name
from perfkit.definitions.percentile import RULES
from perfkit.errors import CorruptPickle, UsageError, nearest
from perfkit.frame import Run
from perfkit.records import Json

METRICS: tuple[Metric, ...] = ("ttft", "itl", "tpot", "e2e")
PERCENTS = (50, 95, 99)


def held(run: Run) -> Held:
    """Return which chunks a run's file keeps the arrival of.

    perfkit's own runs keep all; for others the importer says so in the run's basis.
    """
    basis = _basis(run)
    if basis.get("*") == "stamps":
        return "events"
    return next((level for level in HELD if level == basis.get("chunks")), "nothing")


def _basis(run: Run) -> Mapping[str, Json]:
    try:
        found = json.loads(run.record.get("basis") or "{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def stamps(run: Run) -> Iterator[Stamps]:
    """Yield the stamps of every streamed answer of a run's steady state that succeeded."""
    sql, parameters = run.query(["chunks", "latency", "completion_tokens", "success"], "steady")
    for rows in run.source.batches(sql, parameters):
        for _, blob, latency, tokens, success in rows:
            if success == 1 and isinstance(blob, bytes) and isinstance(latency, int | float):
                try:
                    chunks = unpack(blob)
                except CorruptPickle:
                    continue
                arrivals = [arrival / 1e9 for arrival in chunks.arrival]
                yield Stamps(arrivals, chunks.kind, chunks.message, float(latency), tokens)


def measure(run: Run, metric: Metric, name: str) -> pd.Series:
    """Return a metric of one run under another tool's definition.

    Parameters
    ----------
    run : Run
        Whose steady state is looked at.
    metric : {"ttft", "itl", "tpot", "e2e"}
        What to measure.
    name : str
        One of ``DEFINITIONS``.

    Returns
    -------
    Series
        ``mean``, ``p50``, ``p95``, ``p99`` in seconds, by the tool's percentile rule; ``n`` values.

    Raises
    ------
    UsageError
        The file does not keep what the definition needs.
    """
    _check_metric(metric)
    chosen = by_name(name)
    reason = refusal(chosen, metric, held(run))
    if reason:
        raise UsageError(f"{run.label}: {reason}")
    return statistics(chosen, _collected(chosen, metric, stamps(run)))


def refusal(chosen: Definition, metric: Metric, kept: Held) -> str:
    """Say why a file cannot give a metric under a definition; empty when it can."""
    needed = chosen.needs(metric)
    if HELD.index(kept) >= HELD.index(needed):
        return ""
    words = {"visible": "of each piece of output", "choices": "of role and finish chunks", "events": "of all chunks"}
    return f"{chosen.name}'s {metric} needs the arrival {words[needed]}, which this file does not keep"


def lens(run: Run, metric: Metric) -> pd.DataFrame:
    """Show a metric of one run under every definition.

    Parameters
    ----------
    run : Run
        Whose steady state is looked at.
    metric : {"ttft", "itl", "tpot", "e2e"}
        What to measure.

    Returns
    -------
    DataFrame
        One row a definition: ``mean``, ``p50``, ``p95``, ``p99`` in seconds, ``n`` values, ``changed`` (requests whose
        value is not perfkit's), ``cause`` (of the difference, or why there is no figure), ``checked`` (what the
        formulas were compared with).

    Raises
    ------
    UsageError
        There is no such metric.
    """
    _check_metric(metric)
    kept, answers = held(run), list(stamps(run))
    ours = [DEFINITIONS["perfkit"].values(metric, answer) for answer in answers]
    lines = {}
    for name, chosen in DEFINITIONS.items():
        reason = refusal(chosen, metric, kept)
        values = [] if reason else [chosen.values(metric, answer) for answer in answers]
        changed = sum(_differs(theirs, own) for theirs, own in zip(values, ours, strict=False))
        told = {"changed": changed, "cause": reason or chosen.causes.get(metric, ""), "checked": chosen.checked}
        flat = [pair for pairs in values for pair in pairs]
        lines[name] = {**statistics(chosen, flat), **told}
    return pd.DataFrame.from_dict(lines, orient="index").rename_axis("definition").astype({"n": int})


def _collected(chosen: Definition, metric: Metric, answers: Iterable[Stamps]) -> Weighted:
    return [pair for answer in answers for pair in chosen.values(metric, answer)]


def _differs(theirs: Weighted, ours: Weighted) -> bool:
    pairs = zip(theirs, ours, strict=False)
    return len(theirs) != len(ours) or any(not math.isclose(a, b, rel_tol=1e-6) for (a, _), (b, _) in pairs)


def statistics(chosen: Definition, values: Weighted) -> pd.Series:
    """Return mean and percentiles of (value, weight) pairs by a definition's percentile rule."""
    ordered = _spread(sorted(values)) if chosen.weighted else sorted(value for value, _ in values)
    mean = sum(ordered) / len(ordered) if ordered else math.nan
    rule = RULES[chosen.percentile]
    return pd.Series({"mean": mean, **{f"p{p}": rule(ordered, p) for p in PERCENTS}, "n": len(values)}, dtype=object)


def _spread(values: Weighted) -> Sequence[float]:
    """Repeat each value by its weight."""
    return [value for value, weight in values for _ in range(weight)]


def _check_metric(metric: str) -> None:
    if metric not in METRICS:
        raise UsageError(f"no definition has a {metric!r}{nearest(metric, METRICS)}")
