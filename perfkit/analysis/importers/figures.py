"""What importers of summaries share: a run known by the numbers that its tool wrote down, without single requests.

A figure has the name by which a comparison asks for it: ``ttft_p50``, ``tpot_mean``, ``output_throughput``. A number
that is not in the file is left out, and so is a zero where a tool writes one for what it has not measured.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from perfkit.analysis.importers.evalscope_cells import positive, whole
from perfkit.analysis.importers.registry import ImportedRun
from perfkit.records import Json

_STATISTICS: Final = {"mean": "mean", "avg": "mean", "average": "mean", "median": "p50"}
_PERCENTILE: Final = re.compile(r"p?(\d{1,2}(?:\.\d{1,3})?|100)%?")
_AS_WHOLE: Final = ("request_throughput", "output_throughput")
"""Rates that the tools take over their whole run, which perfkit has under a name of its own, too."""


def statistic(word: str) -> str | None:
    """Return perfkit's word for a statistic: ``mean`` or ``p95``; None if it is neither.

    Examples
    --------
    >>> [statistic(word) for word in ("avg", "median", "p99", "99%", "99.9", "std", "max")]
    ['mean', 'p50', 'p99', 'p99', 'p99.9', None, None]
    """
    if word in _STATISTICS:
        return _STATISTICS[word]
    found = _PERCENTILE.fullmatch(word)
    return f"p{float(found[1]):g}" if found else None


def statistics(metric: str, values: Mapping[str, Json], per_unit: float = 1.0) -> Iterator[tuple[str, float]]:
    """Yield the figures of a metric whose statistics are given by name, each divided by ``per_unit``.

    Examples
    --------
    >>> dict(statistics("ttft", {"avg": 200.0, "p99": 900, "std": 3.0, "p50": 0}, 1e3))
    {'ttft_mean': 0.2, 'ttft_p99': 0.9}
    """
    for word, value in values.items():
        found, known = statistic(str(word)), positive(value)
        if found and known:
            yield f"{metric}_{found}", known / per_unit


def rates(**values: Json) -> Iterator[tuple[str, float]]:
    """Yield the figures of rates that are known and above zero; those of whole runs under both names."""
    for name, value in values.items():
        if known := positive(value):
            yield name, known
            if name in _AS_WHOLE:
                yield f"whole_run_{name}", known


def summary(
    tool: str, run: Mapping[str, Json], figures: Mapping[str, float], *, succeeded: Json, failed: Json
) -> ImportedRun:
    """Return a run that is known by a summary of a tool.

    Parameters
    ----------
    tool : str
        Whose definitions hold.
    run : mapping
        Columns of the ``run`` table.
    figures : mapping of str to float
        In seconds and tokens.
    succeeded, failed : int or None
        Requests; None where the file does not say.
    """
    good, bad = whole(succeeded), whole(failed)
    sent = None if good is None else good + (bad or 0)
    counts = {"sent": sent, "succeeded": good, "failed": bad}
    if good is not None and bad is not None and sent:
        figures = {**figures, "success_rate": good / sent}
    basis = {_measured(name): f"summary:{tool}" for name in figures}
    return ImportedRun({**run, "source": tool, "basis": basis, **counts}, (), figures)


def _measured(figure: str) -> str:
    """Return the metric or rate of a figure."""
    name, _, word = figure.rpartition("_")
    return name if statistic(word) and name else figure
