"""The reference: a page for each group of public names, each of which is described by its docstring."""

import contextlib
import io
from dataclasses import dataclass
from typing import Any

import perfkit as pk
from perfkit.analysis.plots.catalogue import CHARTS
from perfkit.cli import COMMANDS, parser


@dataclass(frozen=True)
class Group:
    """One page.

    Parameters
    ----------
    title, sentence : str
        What it is called, and what its names are for.
    names : tuple of str
        Names of ``pk``, and where a class is that these return: ``"perfkit.runner.job.Job"``.
    """

    title: str
    sentence: str
    names: tuple[str, ...]


GROUPS = {
    "measure": Group(
        "Measure",
        "What sends requests. Every function takes the [options](../docs/options.md) by keyword.",
        ("run", "start", "check", "attach", "resume", "replay", "calibrate", "Arguments", "secret",
         "run_perf_benchmark"),
    ),
    "jobs": Group(
        "Jobs",
        "A measurement under way: what `start`, `attach`, `resume` and `replay` return.",
        ("perfkit.runner.job.Job", "perfkit.runner.attach.AttachedJob", "perfkit.runner.job.Progress",
         "perfkit.runner.calibration.Calibration", "perfkit.secrets.Secret"),
    ),
    "search": Group(
        "Search and compare by measuring",
        "What starts runs one after the other, and what they tell together.",
        ("capacity", "perfkit.analysis.capacity.curve.Capacity", "perfkit.analysis.capacity.search.Bracket", "ab",
         "plan", "perfkit.analysis.compare.sample_size.Plan"),
    ),
    "runs": Group(
        "Runs",
        "What was measured, by perfkit or another tool, and everything that is asked of it.",
        ("open", "from_frame", "Runs", "explore", "perfkit.analysis.notebook.explorer.workbench.Explorer",
         "perfkit.analysis.notebook.explorer.state.State", "scrub", "perfkit.analysis.results.scrub.Scrubbed",
         "recover", "perfkit.decoding.pending.Folded", "decode_cell"),
    ),
    "results": Group(
        "What runs return",
        "Tables, comparisons and texts; each prints itself, and has its numbers as a DataFrame.",
        ("perfkit.analysis.results.summary.Summary", "perfkit.analysis.compare.comparison.Comparison",
         "perfkit.analysis.compare.gate.Gate", "perfkit.analysis.definitions.lens.Lens",
         "perfkit.analysis.compare.slow_requests.Cohorts", "perfkit.analysis.results.show.Shown",
         "perfkit.analysis.results.trend.Trend"),
    ),
    "charts": Group(
        "Charts",
        "`runs.plot.ecdf(\"ttft\")` and the like; pictures of each are in [the gallery](../docs/charts.md).",
        ("perfkit.analysis.plots.accessor.Plots", "style", "perfkit.analysis.plots.canvas.Style", "canvas",
         *(f"{each.draw.__module__}.{each.draw.__name__}" for each in CHARTS.built_in.values())),
    ),
    "extend": Group(
        "Extend",
        "Decorators and base classes for what is your own: see [plugins](../docs/plugins.md).",
        ("metric", "rate", "chart", "importer", "ImportedRun", "register_api", "register_dataset", "register_preset",
         "Preset", "ApiPluginBase", "DefaultApiPlugin", "PerfPluginBase", "DatasetPluginBase",
         "perfkit.loadgen.datasets.remarks.Remarks", "perfkit.apis.tokenizer.Tokenizer", "BenchmarkData", "METRICS",
         "DEFINITIONS", "get_logger"),
    ),
    "simulate": Group(
        "A simulated server, and the rest",
        "A server of known timing; see [its page](../docs/simulate.md).",
        ("simulate", "Simulation", "perfkit.simulator.process.Simulated", "PerfkitError", "share_running_loop"),
    ),
}  # fmt: skip

NOT_OURS = ("abstractmethod",)
"""What ``pk`` hands on from the standard library, for plugins."""
DATA = {
    "METRICS": "perfkit.analysis.metrics.registry.METRICS",
    "DEFINITIONS": "perfkit.analysis.definitions.catalogue.DEFINITIONS",
}
"""Names that are neither functions nor classes, which know where they are."""


def place(name: str) -> str:
    """Return where a name of a group is defined.

    Examples
    --------
    >>> place("run"), place("perfkit.runner.job.Job")
    ('perfkit.runner.start.run', 'perfkit.runner.job.Job')
    """
    if "." in name or name in DATA:
        return DATA.get(name, name)
    value: Any = getattr(pk, name)
    return f"{value.__module__}.{value.__qualname__}"


def page(group: Group) -> str:
    """Return a page in Markdown, in which mkdocstrings puts the docstrings."""
    described = "\n\n".join(f"::: {place(name)}" for name in group.names)
    return f"# {group.title}\n\n{group.sentence}\n\n{described}\n"


def commands() -> str:
    """Return the page of the command line: what ``--help`` says of each command."""
    texts = (f"## perfkit {name}\n\n{sentence[0].upper()}{sentence[1:]}.\n\n```text\n{_help(name)}```\n"
             for name, sentence in COMMANDS.items())  # fmt: skip
    return "# The command line\n\n" + "\n".join(texts)


def _help(command: str) -> str:
    """Return what ``perfkit COMMAND --help`` prints."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        parser([command]).parse_args([command, "--help"])
    return said.getvalue()
