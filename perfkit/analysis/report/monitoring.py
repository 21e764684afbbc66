"""The numbers of runs as monitoring takes them: Prometheus' text format, and OpenTelemetry's metrics as OTLP JSON.

What both hold is the summary: rates and counts of each run, percentiles, sum and count of each metric, in seconds and
tokens. What is not known is left out.

References
----------
https://prometheus.io/docs/instrumenting/exposition_formats/ (a textfile of node_exporter may hold no time stamps)
https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding, and the file exporter of its specification: one JSON
object a line
"""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import pandas as pd

from perfkit.analysis.metrics import METRICS, RATES
from perfkit.analysis.query.run import Run
from perfkit.analysis.stats.marks import marks_of
from perfkit.records import Json
from perfkit.validity.verdict import LEVELS

COUNTS = {
    "requests": "Requests of the steady state.",
    "failed": "Of these, requests that failed.",
}
_WORDS = {"/": "_per_", "%": "_percent_"}


class Summarized(Protocol):
    """What is read of a summary of runs."""

    @property
    def frame(self) -> pd.DataFrame:
        """A row per run and metric."""

    @property
    def rates(self) -> pd.DataFrame:
        """A row per run."""

    @property
    def verdicts(self) -> Mapping[str, object]:
        """A verdict per run."""


class Monitored(Protocol):
    """What an export asks of runs."""

    @property
    def members(self) -> tuple[Run, ...]:
        """The runs."""

    def summary(self) -> Summarized:
        """Return their summary, durations in seconds."""


@dataclass(frozen=True)
class Spread:
    """The distribution of a metric in a run: quantiles from 0 to 1, and the reasons not to rely on some numbers."""

    name: str
    count: int
    mean: float
    quantiles: Mapping[float, float]
    marks: Mapping[str, str]


def prometheus(runs: Monitored) -> str:
    """Return a page in Prometheus' text format, for the textfile collector of node_exporter or a Pushgateway.

    Parameters
    ----------
    runs : Runs

    Returns
    -------
    str
        ``perfkit_ttft_seconds{run="...", quantile="0.95"}`` with ``_sum`` and ``_count``, ``perfkit_output_throughput_
        tokens_per_s``, ... Each has the run's label, model, load and tags as labels.
    """
    summary = runs.summary()
    pages: dict[str, list[str]] = {}
    for run in runs.members:
        labels = _labels(run)
        for name, value in _gauges(summary, run.label):
            text = COUNTS.get(name) or _first_line(RATES[name].compute.__doc__)
            unit = "" if name in COUNTS else RATES[name].unit
            full = _name(name, unit)
            page = pages.setdefault(full, [f"# HELP {full} {_help(text)}", f"# TYPE {full} gauge"])
            page.append(_line(full, labels, value))
        for spread in _spreads(summary, run.label):
            metric = METRICS[spread.name]
            full = _name(spread.name, metric.unit)
            head = [f"# HELP {full} {_help(_first_line(metric.compute.__doc__))}", f"# TYPE {full} summary"]
            page = pages.setdefault(full, head)
            page += [_line(full, {**labels, "quantile": f"{at:g}"}, value) for at, value in spread.quantiles.items()]
            page += [_line(f"{full}_sum", labels, spread.mean * spread.count)]
            page += [_line(f"{full}_count", labels, spread.count)]
            doubtful = "perfkit_not_to_be_relied_on"
            meaning = "A number that rests on too little: why is in the label reason."
            for statistic, reason in spread.marks.items():
                page = pages.setdefault(doubtful, [f"# HELP {doubtful} {meaning}", f"# TYPE {doubtful} gauge"])
                said = {"metric": spread.name, "statistic": statistic, "reason": reason}
                page.append(_line(doubtful, {**labels, **said}, 1))
        page = pages.setdefault(
            "perfkit_verdict", ["# HELP perfkit_verdict 1 for the verdict of the run.", "# TYPE perfkit_verdict gauge"]
        )
        level = getattr(summary.verdicts.get(run.label), "level", None)
        page += [_line("perfkit_verdict", {**labels, "level": each}, int(each == level)) for each in LEVELS if level]
        ended, full = run.record.get("end_time"), "perfkit_run_end_timestamp_seconds"
        if isinstance(ended, float) and math.isfinite(ended):
            page = pages.setdefault(full, [f"# HELP {full} When the run ended, Unix time.", f"# TYPE {full} gauge"])
            page.append(_line(full, labels, ended))
    return "".join(f"{line}\n" for page in pages.values() if len(page) > 2 for line in page)


def otlp(runs: Monitored) -> str:
    """Return OpenTelemetry metrics as a line of OTLP JSON, as the Collector's ``otlpjsonfile`` receiver reads it.

    Parameters
    ----------
    runs : Runs

    Returns
    -------
    str
        A resource per run, with the run's label, model, load and tags as attributes; gauges for rates and counts,
        summaries for metrics, at the time the run ended.
    """
    summary = runs.summary()
    resources = []
    for run in runs.members:
        times = {"timeUnixNano": _nanoseconds(run.record.get("end_time") or run.record.get("start_time"))}
        if run.record.get("start_time"):
            times["startTimeUnixNano"] = _nanoseconds(run.record.get("start_time"))
        metrics: list[Json] = []
        for name, value in _gauges(summary, run.label):
            about = {"name": f"perfkit.{name}", "unit": _ucum("" if name in COUNTS else RATES[name].unit)}
            metrics.append({**about, "gauge": {"dataPoints": [{**times, "asDouble": value}]}})
        for spread in _spreads(summary, run.label):
            values = [{"quantile": at, "value": value} for at, value in spread.quantiles.items()]
            total = {"count": str(spread.count), "sum": spread.mean * spread.count, "quantileValues": values}
            marks = [_attribute(f"perfkit.mark.{name}", reason) for name, reason in spread.marks.items()]
            point = {**times, **total, "attributes": marks}
            about = {"name": f"perfkit.{spread.name}", "unit": _ucum(METRICS[spread.name].unit)}
            metrics.append({**about, "summary": {"dataPoints": [point]}})
        level = getattr(summary.verdicts.get(run.label), "level", None)
        told = {**_labels(run), **({"verdict": level} if level else {})}
        attributes = [_attribute("service.name", "perfkit")]
        attributes += [_attribute(f"perfkit.{name}", value) for name, value in told.items()]
        scope = {"scope": {"name": "perfkit"}, "metrics": metrics}
        resources.append({"resource": {"attributes": attributes}, "scopeMetrics": [scope]})
    return json.dumps({"resourceMetrics": resources}, ensure_ascii=True) + "\n"


def _gauges(summary: Summarized, label: str) -> Iterator[tuple[str, float]]:
    """Yield counts and rates of a run that are known."""
    if label not in summary.rates.index:
        return
    row = {str(name): value for name, value in summary.rates.loc[label].items()}
    for name in (*COUNTS, *RATES):
        value = row.get(name)
        if isinstance(value, (int, float)) and math.isfinite(value):
            yield name, float(value)


def _spreads(summary: Summarized, label: str) -> Iterator[Spread]:
    """Yield the distribution of each metric of which a run has values."""
    columns = [name for name in summary.frame.columns if re.fullmatch(r"p\d+(\.\d+)?", str(name))]
    rows = summary.frame[summary.frame.index.get_level_values("run") == label]
    for metric, (_, row) in zip(rows.index.get_level_values("metric"), rows.iterrows(), strict=True):
        known = {float(name[1:]) / 100: float(row[name]) for name in columns if math.isfinite(row[name])}
        if row["n"] > 0 and math.isfinite(row["mean"]) and METRICS[str(metric)].unit == row["unit"]:
            yield Spread(str(metric), int(row["n"]), float(row["mean"]), known, marks_of(str(row["marks"])))


def _labels(run: Run) -> dict[str, str]:
    """Return what tells a run from others; tags give way to the names that every run has."""
    load = "rate" if run.record.get("rate") is not None else "parallel"
    own = {"run": run.label, "run_id": run.run_id, "model": run.record.get("model"), load: run.record.get(load)}
    named = {_identifier(name): value for name, value in run.tags.items()}
    known = {name: value for name, value in {**named, **own}.items() if value is not None}
    return {name: f"{value:g}" if isinstance(value, float) else str(value) for name, value in known.items()}


def _name(name: str, unit: str) -> str:
    """Return a metric's name with its base unit, as Prometheus has them.

    Examples
    --------
    >>> _name("ttft", "s"), _name("output_throughput", "tokens/s"), _name("success_rate", "share")
    ('perfkit_ttft_seconds', 'perfkit_output_throughput_tokens_per_second', 'perfkit_success_rate_ratio')
    """
    words = {"s": "seconds", "share": "ratio"}
    parts = [words.get(part, part) for part in unit.split("/") if part and part not in name.split("_")]
    spelt = "_per_".join(parts).replace("per_seconds", "per_second")
    return _identifier("_".join(filter(None, ("perfkit", name, spelt))))


def _identifier(name: str) -> str:
    found = re.sub(r"[^a-zA-Z0-9_]", "_", name).strip("_") or "tag"
    return f"_{found}" if found[0].isdigit() else found


def _line(name: str, labels: Mapping[str, str], value: float) -> str:
    given = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
    return f"{name}{{{given}}} {value!r}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").encode("utf-8", "replace").decode()


def _help(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", " ")


def _first_line(text: str | None) -> str:
    return (text or "").strip().partition("\n")[0]


def _ucum(unit: str) -> str:
    """Return a unit as OpenTelemetry spells it: words are annotations in braces, and a share is a number."""
    if unit == "share":
        return "1"
    return "/".join(part if part == "s" else f"{{{part}}}" for part in unit.split("/")) if unit else "{request}"


def _nanoseconds(moment: object) -> str:
    return str(round(float(moment) * 1e9)) if isinstance(moment, (int, float)) else "0"


def _attribute(key: str, value: str) -> Json:
    return {"key": key, "value": {"stringValue": value.encode("utf-8", "replace").decode()}}


FORMATS: Mapping[str, tuple[str, Callable[[Monitored], str]]] = {
    "prometheus": ("perfkit.prom", prometheus),
    "otel": ("perfkit.otlp.json", otlp),
}
"""Formats by name: the file of each, and what writes it."""
