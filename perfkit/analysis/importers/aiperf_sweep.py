"""aiperf's ``profile_export_aiperf_sweep.json``: the points of a sweep without their own files.

Of several trials the means over the trials are taken. Metrics are those of ``profile_export_aiperf.json``, one with its
statistics, or one a statistic (``time_to_first_token_p99``).
"""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from perfkit.analysis.importers.aiperf_summary import METRICS, PER_UNIT, RATES
from perfkit.analysis.importers.evalscope_cells import number, whole
from perfkit.analysis.importers.figures import rates, statistic, statistics, summary
from perfkit.analysis.importers.json_outline import outline
from perfkit.analysis.importers.registry import ImportedRun, importer
from perfkit.analysis.importers.text import read_json, section
from perfkit.errors import UnsafeFile
from perfkit.records import Json

_LOADS: Final = {"concurrency": "parallel", "request_rate": "rate"}


@importer("aiperf-sweep", tool="aiperf")
class AiperfSweep:
    """Aggregates of aiperf's sweeps."""

    def matches(self, path: Path, head: bytes) -> bool:
        """Tell by the points; where these have files of their own in the folders around, those are the results."""
        return outline(head).has("aggregation_type per_combination_metrics") and not _has_points(path)

    def read(self, path: Path) -> Iterator[ImportedRun]:
        """Yield a run a point."""
        found = read_json(path, "aiperf")
        points = found.get("per_combination_metrics") if isinstance(found, dict) else None
        if not isinstance(points, list):
            raise UnsafeFile(f"{path} is not an aggregate of aiperf: it holds no points")
        yield from map(_point, map(section, points))


def _has_points(path: Path) -> bool:
    """Tell whether files of the points lie in the folder of the sweep."""
    if path.parent.name != "sweep_aggregate":
        return False
    base = path.parent.parent.parent if path.parent.parent.name == "aggregate" else path.parent.parent
    return bool(list(islice(base.rglob("profile_export_aiperf.json"), 1)))


def _point(point: dict[str, Json]) -> ImportedRun:
    figures: dict[str, float] = {}
    requests = None
    for name, value in section(point, "metrics").items():
        told = section(value)
        metric, _, word = name.rpartition("_")
        if statistic(word) is None or metric not in {*METRICS, *RATES, "request_count"}:
            metric, words = name, {"mean": told.get("avg", told.get("mean")), **told}
        else:
            words = {word: told.get("mean")}
        if metric in METRICS:
            figures |= statistics(METRICS[metric], words, PER_UNIT.get(str(told.get("unit")), 1.0))
        elif metric in RATES and "p" not in word[:1]:
            figures |= rates(**{RATES[metric]: words.get(word, words.get("mean"))})
        elif metric == "request_count":
            requests = number(words.get(word, words.get("mean")))
    run: dict[str, Json] = {"load": "closed", "tags": {}}
    for name, value in section(point, "parameters").items():
        short = name.rpartition(".")[2]
        if short in _LOADS:
            run |= {"parallel": whole(value)} if short == "concurrency" else {"rate": number(value), "load": "open"}
        else:
            run["tags"][short] = str(value)
    return summary("aiperf", run, figures, succeeded=None if requests is None else round(requests), failed=None)
