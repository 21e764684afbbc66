"""Recompute every figure that other tools printed beside their result files, and say which differ.

    python benchmarks/fixtures.py FOLDER... [--verbose]

A folder named ``TOOL-VERSION__...`` above an evalscope database names its release; reports of guidellm, aiperf and
llmeter name themselves. For each run: figures equal to the last printed digit; close (the wall time is known only
rounded, and off by less than 0.3 %); explained (the file does not hold what the figure was made of); different.
"""

import argparse
import json
import math
import re
import sqlite3
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from benchmarks.formulas.evalscope import (
    LABELS,
    SAMPLES,
    EvalscopeRun,
    conversations,
    percentiles,
    printed,
    summary,
    throughput,
    timeline,
)
from benchmarks.formulas.peers import aiperf, guidellm, llmeter, serving
from perfkit.analysis.importers import open_imported, recognise
from perfkit.analysis.importers.evalscope import readings

RELEASE = re.compile(r"(?:evalscope|llmuses)-(?:git)?(?P<version>[\w.]+?)__(?P<profile>\w+)")
PEER_TOLERANCE = 1e-7
"""Relative. Canonical stamps are Unix seconds in 64 bits, which resolve 0.2 us; printed digits go further."""

PEERS = ("guidellm", "aiperf", "llmeter", "vllm", "sglang")
SUM_TOLERANCE = 1e-12
"""Relative. These files print all 17 digits, the last of which depend on the order of adding up."""

SERVER_CACHE = "the server's cached_tokens came in the usage chunk, which the tool does not store"
LAST_BYTE = "ends at the last byte, of which the file does not tell"
LAST_SUCCESS = "divided by the time of the last success, which is not stored"


@dataclass(frozen=True)
class Figure:
    """One number of a tool's own file, and ours."""

    name: str
    theirs: float
    ours: float
    tolerance: float = 0.0
    timed: bool = False
    """Whether it rests on a wall time that only the tool's rounded line tells."""
    cause: str = ""

    @property
    def verdict(self) -> str:
        same = math.isnan(self.theirs) and math.isnan(self.ours)
        if same or math.isclose(self.theirs, self.ours, rel_tol=self.tolerance, abs_tol=self.tolerance * 1e-2):
            return "equal"
        if self.timed and math.isclose(self.theirs, self.ours, rel_tol=0.003):
            return "close"
        return "explained" if self.cause else "different"


def version_of(path: Path) -> tuple[int, ...]:
    found = RELEASE.search(str(path))
    if found is None:
        raise SystemExit(f"{path}: no folder above it names the release, such as evalscope-1.14.1__stream")
    version = found["version"]
    # The commit 893902f3 lies between llmuses 0.2.8 and 0.3.1.
    return tuple(map(int, version.split("."))) if "." in version else (0, 3)


def evalscope_figures(path: Path) -> Iterator[Figure]:
    """Compare the two JSON files that releases from 0.7.0 write."""
    lines = json.loads(path.with_name("benchmark_summary.json").read_text())
    table = json.loads(path.with_name("benchmark_percentile.json").read_text())
    arguments = json.loads(path.with_name("benchmark_args.json").read_text())
    version = version_of(path)
    timed = version < (1, 1, 1)
    duration = next((value for label, value in lines.items() if LABELS.get(label) == "duration"), None)
    run = EvalscopeRun(version, readings(path), duration, arguments)
    served = RELEASE.search(str(path))["profile"] == "multiturn"
    for label, theirs in lines.items():
        # Up to 1.1.0 the wall time is taken from the file: comparing it with itself would prove nothing.
        if label in LABELS and not (timed and LABELS[label] == "duration"):
            cause = SERVER_CACHE if LABELS[label] == "cache hits" and served else ""
            yield Figure(label, theirs, summary(run, label), timed=timed, cause=cause)
    yield from side_figures(path, run, SERVER_CACHE if served else "")
    names = [row.get("Percentiles") or row["Percentile"] for row in table]
    for column in (name for name in (table[0] if table else {}) if name in SAMPLES):
        for percent, row, ours in zip(names, table, percentiles(run, column, names), strict=True):
            yield Figure(f"{column} {percent}", row[column], ours)


def side_figures(path: Path, run: EvalscopeRun, cause: str) -> Iterator[Figure]:
    """Compare the files that releases from 1.8.0 write beside the two."""
    if (beside := path.with_name("workload_throughput.json")).exists():
        points = timeline(run)
        for line in json.loads(beside.read_text())["rows"]:
            for part, ours in throughput(points, line["metric"]).items() if points else ():
                cached = cause if "Prompt" in line["metric"] else ""
                yield Figure(f"{line['metric']} {part}", line[part], ours, SUM_TOLERANCE, cause=cached)
    if (beside := path.with_name("trace_summary.json")).exists():
        for line in json.loads(beside.read_text())["rows"]:
            for part, ours in conversations(run, line["metric"]).items():
                cached = cause if "Cache" in line["metric"] else ""
                yield Figure(f"{line['metric']} {part}", line[part], ours, SUM_TOLERANCE, cause=cached)


def llmuses_figures(path: Path) -> Iterator[Figure]:
    """Compare what llmuses, and evalscope before 0.7.0, printed to the terminal."""
    text = path.with_name("summary_stdout.txt").read_text()
    lines = {name.strip(): value for name, value in re.findall(r"^ ?([A-Z][^:\n]+): ([\d.]+)", text, re.MULTILINE)}
    duration = float(lines.pop("Time taken for tests"))
    run = EvalscopeRun(version_of(path), readings(path), duration, {})
    failures = len(run.succeeded) < len(run.readings)
    for name, theirs in lines.items():
        ours = printed(run, name)
        if ours is not None:
            cause = LAST_SUCCESS if failures and ("Throughput" in name or "per output token" in name) else ""
            yield Figure(name, float(theirs), ours, timed=True, cause=cause)
    for title, column in (("time to first token", "TTFT (s)"), ("request latency", "Latency (s)")):
        block = re.search(rf"Percentile of {title}: *\n((?: +p\d+: [\d.]+\n?)+)", text)
        rows = re.findall(r"p(\d+): ([\d.]+)", block[1]) if block else []
        ours = percentiles(run, column, [percent for percent, _ in rows])
        for (percent, theirs), value in zip(rows, ours, strict=True):
            yield Figure(f"{title} p{percent}", float(theirs), value)


def peer_figures(path: Path, tool: str) -> Iterator[Figure]:
    """Compare the report of one of the other tools."""
    connection = open_imported(path)
    connection.row_factory = sqlite3.Row
    rows = [dict(row) for row in connection.execute("SELECT * FROM result WHERE success = 1 ORDER BY rowid")]
    connection.close()
    if tool == "llmeter":
        theirs = json.loads(path.with_name("stats.json").read_text())
        for name, ours in llmeter(rows).items():
            yield Figure(name, theirs[name], ours, PEER_TOLERANCE)
    elif tool in ("vllm", "sglang"):
        theirs = json.loads(path.read_text())
        for name, ours in serving(rows, theirs["duration"]).items():
            name = name.replace("e2el", "e2e_latency") if tool == "sglang" else name
            cause = LAST_BYTE if tool == "sglang" and ("tpot" in name or "e2e" in name) else ""
            if name in theirs:
                yield Figure(name, theirs[name], ours, PEER_TOLERANCE, cause=cause)
    elif tool == "aiperf":
        report = json.loads(path.with_name("profile_export_aiperf.json").read_text())
        start, end = (datetime.fromisoformat(report[name]) for name in ("start_time", "end_time"))
        yield from _nested(aiperf(rows, (end - start).total_seconds()), report)
    else:
        metrics = json.loads(path.read_text())["benchmarks"][0]["metrics"]
        flat = {name: entry["successful"] for name, entry in metrics.items() if entry and "successful" in entry}
        theirs = {name: {**part, **part["percentiles"]} for name, part in flat.items() if isinstance(part, dict)}
        yield from _nested(guidellm(rows), theirs)


def _nested(ours: dict[str, dict[str, float]], theirs: dict[str, dict[str, float]]) -> Iterator[Figure]:
    for name, statistics in ours.items():
        for statistic, value in statistics.items():
            timed = name.endswith(("_throughput", "_concurrency")) and statistic in ("avg", "mean")
            yield Figure(f"{name} {statistic}", theirs[name][statistic], value, PEER_TOLERANCE, timed)


def figures_of(path: Path) -> list[Figure]:
    """Return every figure that can be compared for a result file; none where its tool left no report."""
    tool = recognise(path)
    if tool == "evalscope" and path.with_name("benchmark_summary.json").exists():
        return list(evalscope_figures(path))
    if tool == "evalscope" and path.with_name("summary_stdout.txt").exists():
        return list(llmuses_figures(path))
    return list(peer_figures(path, tool)) if tool in PEERS else []


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--verbose", action="store_true", help="print every figure that is not equal")
    options = parser.parse_args()
    total: Counter[str] = Counter()
    print(f"{'run':45s} {'equal':>6s} {'close':>6s} {'explained':>9s} {'different':>9s}")
    for folder in options.folders:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            figures = figures_of(path)
            counts = Counter(figure.verdict for figure in figures)
            total += counts
            if figures:
                _print(path.relative_to(folder).parts[0], counts)
            for figure in figures:
                if figure.verdict in ("different", "explained") or (options.verbose and figure.verdict != "equal"):
                    print(f"    {figure.name}: {figure.theirs!r}, ours {figure.ours!r}. {figure.cause}")
    _print("all", total)
    return int(total["different"] > 0)


def _print(name: str, counts: Counter[str]) -> None:
    print(f"{name:45s} {counts['equal']:6d} {counts['close']:6d} {counts['explained']:9d} {counts['different']:9d}")


if __name__ == "__main__":
    sys.exit(main())
