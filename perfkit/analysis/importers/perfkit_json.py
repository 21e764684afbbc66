"""perfkit's own ``show --json`` and ``run --json``: what is left of a run whose file was not kept.

Its numbers stand under perfkit's definitions; those of the rates are of the steady window.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from perfkit.analysis.importers.evalscope_cells import number, whole
from perfkit.analysis.importers.figures import statistics, summary
from perfkit.analysis.importers.json_outline import outline
from perfkit.analysis.importers.registry import ImportedRun, importer
from perfkit.analysis.importers.text import read_json, section
from perfkit.errors import UnsafeFile
from perfkit.records import Json

_COUNTS: Final = ("run", "requests", "failed", "cut_off", "cancelled", "resent", "goodput")
_PER_UNIT: Final = {"ms": 1e3, "us": 1e6, "µs": 1e6, "min": 1 / 60}


@importer("perfkit-json", tool="perfkit")
class PerfkitJson:
    """Summaries of perfkit in JSON."""

    def matches(self, path: Path, head: bytes) -> bool:
        """Tell by the parts of a summary."""
        return outline(head).has("head rates metrics verdicts")

    def read(self, path: Path) -> Iterator[ImportedRun]:
        """Yield a run a row of rates, which is a run unless the summary was grouped by something else."""
        found = read_json(path, "perfkit")
        if not isinstance(found, dict):
            raise UnsafeFile(f"{path} is not a summary of perfkit: it holds no object")
        asked = {str(run.get("run")): run for run in map(section, _list(found, "runs"))}
        metrics = list(map(section, _list(found, "metrics")))
        for rates in map(section, _list(found, "rates")):
            label = str(rates.get("run"))
            if "run" not in rates:
                raise UnsafeFile(f"{path} was grouped by something else than runs; write it without --by")
            figures = {name: value for name, told in rates.items() if name not in _COUNTS and (value := number(told))}
            for row in metrics:
                if row.get("run") == label:
                    metric = str(row.get("metric"))
                    figures |= statistics(metric, row, _PER_UNIT.get(str(row.get("unit")), 1.0))
                    figures[f"{metric}_n"] = float(whole(row.get("n")) or 0)
            requests, failed = whole(rates.get("requests")), whole(rates.get("failed"))
            others = sum(whole(rates.get(name)) or 0 for name in ("failed", "cut_off", "cancelled"))
            succeeded = None if requests is None else requests - others
            yield summary("perfkit", _run(asked.get(label, {}), label), figures, succeeded=succeeded, failed=failed)


def _list(found: Mapping[str, Json], name: str) -> list[Json]:
    value = found.get(name)
    return value if isinstance(value, list) else []


def _run(asked: dict[str, Json], label: str) -> dict[str, Json]:
    run = {
        name: value
        for name, value in asked.items()
        if name not in ("run", "tags") and not isinstance(value, dict | list)
    }
    tags = {str(name): str(value) for name, value in section(asked, "tags").items()}
    return {**run, "name": asked.get("name") or label, "tags": tags}
