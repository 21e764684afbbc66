"""The lens held to the tools: does each report what its definition makes of our stamps?

    python benchmarks/lens.py --install venvs
    python benchmarks/lens.py --peer evalscope=venv/bin \
        --server './paced_server --port {port} --ttft-ms 100 --itl-ms 10 --chunks 64 --role-lead-ms 50 \
                  --tokens-per-event 4 --log {log} --chunk-log {chunks}'

One stream, and a server that makes the differences large: an empty role chunk 50 ms before the first token, four tokens
in an event, a usage chunk at the end; with ``--reasoning`` (the simulator only) thinking before the answer. perfkit
measures it once; then each tool measures the same server, and its figure stands beside the one that its definition
gives of perfkit's stamps.
"""

import argparse
import math
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from accuracy import TOKENS, server
from clients import CLIENTS, METRICS, PROMPT, Client, Figures, Load, Metric, Report, located
from cost import run

import perfkit as pk

EFFECTS = {"role_lead": 0.050, "tokens_per_event": 4, "usage": "always"}
CLOSE = 0.005
"""Seconds: figures this near are the same."""

SAME = 0.0005
"""Seconds: near enough to tell definitions of the time per token apart, which differ by less than ``CLOSE``."""


@dataclass(frozen=True)
class Row:
    """One metric of one tool: what it reported of its own run, and what its definition makes of ours. Seconds."""

    tool: str
    metric: Metric
    own: Figures
    lens: Figures
    perfkit: float
    """Mean under perfkit's own definition: how large the effect is."""

    @property
    def spread(self) -> float:
        """How far the tool's own values lie apart: p99 - p50."""
        return self.own.p99 - self.own.p50

    @property
    def mean_off(self) -> float:
        """Tool's mean minus the lens's."""
        return self.own.mean - self.lens.mean

    @property
    def median_off(self) -> float:
        """Tool's median minus the lens's."""
        return self.own.p50 - self.lens.p50

    @property
    def holds(self) -> bool:
        """True if mean and median agree within 5 ms or the tool's own spread."""
        return self.difference <= max(CLOSE, self.spread)

    @property
    def difference(self) -> float:
        """The larger of the two differences."""
        return max(abs(self.mean_off), abs(self.median_off))

    @property
    def bound(self) -> str:
        """The narrowest bound within which the figures agree."""
        bounds = {"0.5 ms": SAME, "5 ms": CLOSE, "its own spread": self.spread}
        return next((name for name, bound in bounds.items() if self.difference <= bound), "**none**")


def compare(
    names: dict[str, Path], number: int, command: str | None, reasoning: int, patience: float
) -> tuple[list[Row], list[str]]:
    """Measure with perfkit, then with each tool; return the rows, and a sentence for each tool that failed."""
    rows, failed = [], []
    effects = {**EFFECTS, "reasoning_tokens": reasoning}
    with tempfile.TemporaryDirectory() as place, server(command, Path(place), **effects) as port:
        load = Load(f"http://127.0.0.1:{port}", 1, number, TOKENS)
        tables = lenses(load, Path(place) / "run.db")
        for name, folder in names.items():
            output = Path(place) / name
            output.mkdir()
            told = reported(CLIENTS[name], folder, load, output, patience)
            if isinstance(told, str):
                failed.append(told)
                continue
            rows += [_row(name, metric, told, tables[metric]) for metric in METRICS]
    # A tool without the metric has nothing to be held to.
    return [row for row in rows if not math.isnan(row.own.mean)], failed


def lenses(load: Load, path: Path) -> dict[Metric, pd.DataFrame]:
    """Measure the load with perfkit; return every definition's figures by metric."""
    runs = pk.start(
        load.url, parallel=load.streams, number=load.number, max_tokens=load.tokens, prompt=PROMPT, db=str(path)
    ).wait()
    return {metric: runs.lens(metric).table.droplevel("run") for metric in METRICS}


def reported(client: Client, folder: Path, load: Load, output: Path, patience: float) -> Report | str:
    """Run a tool; return its report, or a sentence why there is none."""
    cost = run(client.command(folder, load, output), output, client.environment, patience)
    try:
        return client.report(output)
    except (StopIteration, KeyError, ValueError, OSError) as error:
        words = (output / "output.txt").read_text(errors="replace")[-1500:]
        return f"{client.name} ended with {cost.status} and left no report ({error!r}): {words}"


def _row(name: str, metric: Metric, told: Report, table: pd.DataFrame) -> Row:
    columns = ["mean", "p50", "p99"]
    ours = Figures(*map(float, table.loc[name, columns].to_numpy(float)))
    return Row(name, metric, told.figures[metric], ours, float(table["mean"].astype(float)["perfkit"]))


def table(rows: list[Row]) -> str:
    """Return the rows as a Markdown table, in ms."""
    heads = ["tool", "metric", "tool's mean", "of our stamps", "off", "tool's p50", "of our stamps", "off"]
    heads += ["tool's p99 - p50", "perfkit's own mean", "agrees within"]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for row in rows:
        times = [row.own.mean, row.lens.mean, row.mean_off, row.own.p50, row.lens.p50, row.median_off]
        cells = [f"{time * 1e3:.2f}" for time in [*times, row.spread, row.perfkit]]
        lines.append("| " + " | ".join([row.tool, row.metric, *cells, row.bound]) + " |")
    return "\n".join(lines)


def main(words: list[str] | None = None) -> int:
    """Run the program; the exit status says whether every figure held."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--number", type=int, default=12, help="requests of each tool [12]")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=BIN", help="bin folder of a peer's venv")
    parser.add_argument("--install", type=Path, metavar="FOLDER", help="install the other peers here")
    parser.add_argument("--server", help="command with {port}, {log} and {chunks}; default: the simulator")
    parser.add_argument("--reasoning", type=int, default=0, help="tokens of each answer that are reasoning [0]")
    parser.add_argument("--patience", type=float, default=120, help="seconds for one command [120]")
    options = parser.parse_args(words)
    if options.server and options.reasoning:
        parser.error("--reasoning is an option of the simulator; leave --server out")
    found, skipped = located(options.peer, options.install)
    before = f"load of the machine before: {os.getloadavg()[0]:.1f}"
    rows, failed = compare(found, options.number, options.server, options.reasoning, options.patience)
    sys.stdout.write("\n\n".join([table(rows), before, *skipped, *failed]) + "\n")
    return 0 if not failed and all(row.holds for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
