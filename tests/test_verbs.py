"""What a person can ask of perfkit: the commands, and what each is called in a notebook."""

import pkgutil
import re
from pathlib import Path

import pytest

import perfkit as pk
from tests.cli.commands import perfkit

VERBS = {
    "run": "perfkit:run",
    "ab": "perfkit:ab",
    "check": "perfkit:check",
    "simulate": "perfkit:simulate",
    "translate": None,  # of command lines
    "presets": None,  # of names; each is a function of perfkit.options.presets
    "demo": None,  # a notebook has notebooks/01-first-benchmark.ipynb
    "replay": "perfkit:replay",
    "resume": "perfkit:resume",
    "recover": "perfkit:recover",
    "attach": "perfkit:attach",
    "stop": "perfkit.runner.job:Job.stop",
    "calibrate": "perfkit:calibrate",
    "capacity": "perfkit:capacity",
    "ls": "perfkit:Runs.table",
    "show": "perfkit:Runs.summary",
    "compare": "perfkit:Runs.compare",
    "trend": "perfkit:Runs.trend",
    "plan": "perfkit:plan",
    "lens": "perfkit:Runs.lens",
    "slow": "perfkit:Runs.show",
    "save": "perfkit:Runs.save",
    "merge": "perfkit:Runs.save",
    "scrub": "perfkit:scrub",
    "annotate": "perfkit:Runs.annotate",
    "plot": "perfkit:Runs.plot",
    "export": "perfkit:Runs.export",
    "report": "perfkit:Runs.report",
}
"""Commands, and the same in Python."""

NOTEBOOK = """
start open from_frame explore style secret decode_cell share_running_loop
run_perf_benchmark get_logger abstractmethod
Arguments ApiPluginBase DefaultApiPlugin DatasetPluginBase PerfPluginBase BenchmarkData
register_api register_dataset register_preset Preset metric rate chart importer ImportedRun canvas
Runs Simulation METRICS DEFINITIONS PerfkitError
"""
"""Public names that are no command: what only a notebook needs, and the doors for people's own code."""


@pytest.mark.processes
def test_help_lists_these_commands_and_no_others(tmp_path: Path) -> None:
    said = perfkit("--help", folder=tmp_path).stdout
    _, _, commands = said.partition("\n  command\n")
    assert sorted(re.findall(r"^    (\w+)", commands, re.MULTILINE)) == sorted(VERBS)


@pytest.mark.parametrize("verb", [verb for verb, spelt in VERBS.items() if spelt])
def test_a_notebook_can_do_what_the_command_does(verb: str) -> None:
    assert pkgutil.resolve_name(VERBS[verb] or "").__doc__


def test_these_are_the_public_names() -> None:
    verbs = [
        spelt.removeprefix("perfkit:") for spelt in VERBS.values() if spelt and re.fullmatch(r"perfkit:\w+", spelt)
    ]
    assert sorted(dir(pk)) == sorted([*verbs, *NOTEBOOK.split(), "__version__"])
    assert all(getattr(pk, name) is not None for name in dir(pk))
