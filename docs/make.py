"""Fills the tables of the documentation from the code that they describe.

``python docs/make.py`` rewrites what stands between ``<!-- table NAME -->`` and ``<!-- end -->``; the tests check that
nothing would change.
"""

import json
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from pathlib import Path

from perfkit.analysis.definitions import DEFINITIONS
from perfkit.analysis.metrics import METRICS, RATES
from perfkit.analysis.plots.catalogue import CHARTS
from perfkit.analysis.query.server_names import QUANTITIES, Published
from perfkit.cli import COMMANDS
from perfkit.options.arguments import OPTIONS, WIRE, default_of
from perfkit.options.docstrings import spelt_range
from perfkit.options.presets import PRESETS
from perfkit.runfile.schema import ADDED, TABLES
from perfkit.simulator.options import Simulation
from perfkit.validity.thresholds import LIMITS

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
MARKED = re.compile(r"(<!-- table ([\w:]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def main() -> None:
    """Rewrite every page."""
    for page in PAGES:
        page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")


def filled(text: str) -> str:
    """Return a page with its tables as the code has them now."""
    return MARKED.sub(lambda match: f"{match[1]}{_table(match[2])}{match[3]}", text)


def _table(name: str) -> str:
    kind, _, of = name.partition(":")
    head, rows = _KINDS[kind](of)
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


Table = tuple[Sequence[str], Iterable[Sequence[str]]]


def _columns(table: str) -> Table:
    rows = ((f"`{each.name}`", each.type.split()[0], each.unit, each.meaning) for each in TABLES[table])
    return ("column", "type", "unit", "meaning"), rows


def _added(_: str) -> Table:
    meaning = {each.name: each.meaning for each in TABLES["result"]}
    return ("column", "meaning"), ((f"`{name}`", meaning[name]) for name in ADDED)


def _limits(_: str) -> Table:
    rows = (
        (each.name, _level(key, each.suspect), _level(key, each.bound), each.remedy) for key, each in LIMITS.items()
    )
    return ("evidence", "SUSPECT from", "CLIENT-BOUND from", "what to do"), rows


def _level(key: str, value: float) -> str:
    if value == float("inf"):
        return ""
    if key in ("loop_lag", "stall", "gc_pause", "send_lag", "turnaround", "commit"):
        return f"{value * 1e3:,.0f} ms"
    if key == "calibrated":
        return f"{value:g} times"
    return f"{value:,.0f} rows" if key == "backlog" else f"{value:.1%}".replace(".0%", "%")


def _metrics(_: str) -> Table:
    rows = (
        (f"`{name}`", each.label, each.display_unit, each.definition.splitlines()[0].replace("``", "`"))
        for name, each in METRICS.items()
        if each.compute.__module__.startswith("perfkit.")
    )
    return ("name", "what", "shown in", "definition"), rows


def _rates(_: str) -> Table:
    rows = (
        (f"`{name}`", each.unit, (each.compute.__doc__ or each.label).strip().splitlines()[0])
        for name, each in RATES.items()
        if each.compute.__module__.startswith("perfkit.")
    )
    return ("name", "unit", "definition"), rows


def _tools(_: str) -> Table:
    rows = (
        (f"`{name}`", each.releases, *(each.causes.get(metric, "") for metric in ("ttft", "itl", "tpot", "e2e")))  # type: ignore[call-overload]
        for name, each in DEFINITIONS.items()
        if name != "perfkit"
    )
    return ("definition", "releases", "TTFT", "ITL", "TPOT", "E2E"), rows


def _charts(_: str) -> Table:
    rows = (
        (f"`{name}`", each.sentence) for name, each in CHARTS.items() if each.draw.__module__.startswith("perfkit.")
    )
    return ("chart", "what it shows"), rows


def _commands(_: str) -> Table:
    return ("command", "what it does"), ((f"`perfkit {name}`", sentence) for name, sentence in COMMANDS.items())


def _options(group: str) -> Table:
    fields = {name: field for name, field in OPTIONS.items() if field.metadata["group"] == group}
    rows = (
        (
            f"`--{name.replace('_', '-')}`",
            f"`{WIRE[name]}`" if name in WIRE else "",
            ", ".join(field.metadata["choices"]) if "choices" in field.metadata else spelt_range(field.metadata),
            field.metadata["unit"],
            "" if default_of(name) in (None, "", (), {}, sys.maxsize) else str(default_of(name)).lower(),
            {True: "equal", "noted": "said"}.get(field.metadata.get("work", False), ""),
            field.metadata["meaning"],
        )
        for name, field in fields.items()
    )
    return ("option", "field", "values", "unit", "default", "compared", "meaning"), rows


def _server(_: str) -> Table:
    rows = (
        (f"`{name}`", each.unit, each.meaning, "; ".join(map(_published, each.names)))
        for name, each in QUANTITIES.items()
    )
    return ("column", "unit", "meaning", "published as, the first that there is"), rows


def _published(one: Published) -> str:
    label = f'{{{one.where[0]}="{one.where[1]}"}}' if one.where else ""
    scale = {1.0: "", 0.01: " / 100", 0.001: " / 1000", 2.0**20: " MiB"}[one.scale]
    whole = " + ".join(f"`{name}`" for name in one.of)
    share = f" / ({whole})" if len(one.of) > 1 else f" / {whole}" if whole else ""
    return f"{one.server} `{one.name}{label}`{share}{scale}"


def _simulation(group: str) -> Table:
    rows = (
        (
            f"`{field.name}`",
            field.metadata["unit"],
            "" if field.default is None else f"`{field.default!r}`",
            field.metadata["meaning"],
        )
        for field in fields(Simulation)
        if field.metadata["group"] == group
    )
    return ("option", "unit", "default", "meaning"), rows


def _presets(_: str) -> Table:
    rows = (
        (
            f"`{name}`" if number == 0 else "",
            preset.meaning if number == 0 else "",
            f"`{figure}`",
            f"`{json.dumps(preset.figures[figure])}`",
            source,
        )
        for name, preset in PRESETS.items()
        for number, (figure, source) in enumerate(preset.sources.items())
    )
    return ("preset", "stands for", "figure", "value", "where from"), rows


_KINDS: dict[str, Callable[[str], Table]] = {
    "columns": _columns,
    "added": _added,
    "limits": _limits,
    "metrics": _metrics,
    "rates": _rates,
    "tools": _tools,
    "charts": _charts,
    "presets": _presets,
    "commands": _commands,
    "options": _options,
    "server": _server,
    "simulation": _simulation,
}

if __name__ == "__main__":
    main()
