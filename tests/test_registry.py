import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from perfkit.errors import UnknownPlugin
from perfkit.registry import APIS, DATASETS, Registry, api_class, dataset_class, register_api


@pytest.mark.parametrize("name", list(APIS))
def test_every_api_in_the_table_can_be_imported(name: str) -> None:
    assert hasattr(api_class(name), "build_request")


@pytest.mark.parametrize("name", list(DATASETS))
def test_every_dataset_in_the_table_can_be_imported(name: str) -> None:
    assert hasattr(dataset_class(name), "build_messages")


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(UnknownPlugin, match="no api is called 'opnai-chat'; did you mean 'openai_chat'"):
        api_class("opnai-chat")


def test_registering_an_existing_name_replaces_it_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    theirs = APIS["openai"]
    with caplog.at_level(logging.INFO, logger="perfkit"):
        cls = register_api("openai")(type("Mine", (), {"__module__": "mine"}))
    assert (APIS["openai"], APIS.built_in["openai"], list(APIS).count("openai")) == (cls, theirs, 1)
    assert "api 'openai' is now that of mine" in caplog.text
    del APIS["openai"]
    assert APIS["openai"] is theirs


def test_one_class_may_have_several_names() -> None:
    registry: Registry[object] = Registry("dataset")
    registry.register(["a", "b"], both := object(), "mine")
    assert (registry["a"], registry["b"], list(registry), registry.name_of(both)) == (both, both, ["a", "b"], "a")


@pytest.mark.processes
def test_plugins_one_api_and_one_dataset_need_nothing_heavy() -> None:
    code = (
        "import sys, perfkit.plugins, perfkit.loadgen.datasets, perfkit.apis.openai, perfkit.loadgen.datasets.text;"
        "print(sorted({'aiohttp', 'asyncio', 'pandas', 'numpy', 'transformers', 'tokenizers', 'yaml', 'pyarrow'}"
        " & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


PACKAGE = Path(__file__).parents[1] / "perfkit"
RUNS = Path(__file__).parents[1] / "sample_data/runs.db"

# One file for each kind, as a built-in would be written, and as a user's own file says the same.
ADDED = {
    "apis/parrot.py": """
from perfkit.apis.bodies import BodyApi
from perfkit.registry import register_api

@register_api("parrot")
class Parrot(BodyApi):
    path = "/v1/completions"

    def asking(self, asked, param):
        return {"prompt": "polly"}
""",
    "loadgen/datasets/biscuits.py": """
from perfkit.loadgen.datasets.base import DatasetPluginBase
from perfkit.registry import register_dataset

@register_dataset("biscuits")
class Biscuits(DatasetPluginBase):
    def build_messages(self):
        yield from ("one", "two")
""",
    "options/presets/seeds.py": """
from perfkit.options.presets import Preset, register_preset

@register_preset("seeds")
def seeds():
    return Preset(meaning="two biscuits", settings={"dataset": "biscuits"}, sources={})
""",
    "analysis/metrics/squawks.py": """
from perfkit.analysis.metrics import metric, rate

@metric("squawk length", unit="tokens", columns=("completion_tokens",))
def squawk(requests):
    return requests["completion_tokens"] * 2.0

@rate("squawk volume", unit="tokens", columns=("completion_tokens",))
def volume(requests):
    return requests["completion_tokens"].sum()
""",
    "analysis/plots/feathers.py": """
from perfkit.analysis.plots.canvas import canvas
from perfkit.analysis.plots.catalogue import chart

@chart("feathers")
def feathers(requests, metric="ttft", *, by="run", ax=None):
    "Every answer as a dot."
    with canvas(ax) as ax:
        ax.plot(requests[metric], "o")
    return ax
""",
    "analysis/importers/cage.py": """
from perfkit.analysis.importers.registry import ImportedRun, importer

@importer("cage")
class Cage:
    def matches(self, path, head):
        return head.startswith(b"cage")

    def read(self, path):
        yield ImportedRun({"name": "cage"}, [{"success": 1, "latency": 0.5}])
""",
}

SEEN = """
import json, sys
import perfkit as pk
from perfkit.cli import main

runs, folder = pk.open(sys.argv[1]), sys.argv[2]
summary = runs.summary()
comparison = runs.compare("A100", by="gpu", quantities=["squawk_p50", "volume"]).table
with open(f"{folder}/a.cage", "w") as file:
    file.write("cage")
print(json.dumps({
    "summary": ["squawk" in summary.frame.index.get_level_values("metric"), "squawk volume" in str(summary)],
    "percentiles": len(runs.percentiles(["squawk"])),
    "compared": sorted(set(comparison["quantity"])),
    "chart": type(runs.plot.feathers("squawk")).__name__,
    "export": sorted(path.name for path in runs.export(f"{folder}/out", ["feathers:squawk"], formats=["csv"])),
    "preset": pk.Arguments(preset="seeds").dataset,
    "opened": pk.open(f"{folder}/a.cage").table.index.tolist(),
    "where": len(runs.where("squawk > 0").requests) > 0,
    "show": main(["show", sys.argv[1], "--metric", "squawk", *sys.argv[3:]]),
    "plot": main(["plot", sys.argv[1], "--chart", "feathers", "--out", f"{folder}/b.png", *sys.argv[3:]]),
}), file=sys.stderr)
"""

EXPECTED = {
    "summary": [True, True],
    "percentiles": 5,
    "compared": ["squawk_p50", "volume"],
    "chart": "ChartAxes",
    "export": ["feathers-squawk.csv", "percentiles.csv"],
    "preset": "biscuits",
    "opened": ["cage"],
    "where": True,
    "show": 0,
    "plot": 0,
}

RUN = """
import json, sys
import perfkit as pk

with pk.simulate() as server:
    kinds = {"api": "parrot", "dataset": "biscuits", "plugins": sys.argv[2:]}
    pk.run(server.url, model="m", db=sys.argv[1], preflight=False, **kinds)
runs = pk.open(sys.argv[1])
print(json.dumps([runs.table["api"].tolist(), runs.table["dataset"].tolist(), len(runs.requests)]), file=sys.stderr)
"""

MIN_P = "    min_p: float | None = sampling("
TOP_A = '    top_a: float | None = sampling("top-a sampling", ge=0, le=1)\n'

OPTION = """
import inspect, json, sys
import perfkit as pk

with pk.simulate() as server:
    for name, value in (("a", 0.2), ("b", 0.3)):
        pk.run(server.url, model="m", number=2, top_a=value, name=name, db=sys.argv[1], preflight=False)
runs = pk.open(sys.argv[1])
said = []
for attempt in (lambda: pk.Arguments(url="x", top_a=2), lambda: runs.compare("a")):
    try:
        attempt()
    except pk.PerfkitError as error:
        said.append(str(error))
print(json.dumps({
    "sent": [body["top_a"] for body in runs.decoded()["request"]],
    "recorded": [run.arguments["top_a"] for run in runs.members],
    "grouped": sorted(runs.percentiles("e2e", by="top_a").index.get_level_values("top_a")),
    "refused": said,
    "python": "top_a" in inspect.signature(pk.run).parameters,
}), file=sys.stderr)
"""


def told(code: str, path: Path, *words: object) -> object:
    """Return what a program says in the last line of its errors, with a path before those where perfkit is."""
    environment = {**os.environ, "PYTHONPATH": str(path), "MPLBACKEND": "agg", "COLUMNS": "200"}
    command = [sys.executable, "-c", code, *map(str, words)]
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=path, check=False)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stderr.splitlines()[-1])


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a copy of perfkit to which one file of each kind was added."""
    folder = tmp_path_factory.mktemp("copy")
    shutil.copytree(PACKAGE, folder / "perfkit", ignore=shutil.ignore_patterns("__pycache__"))
    for name, text in ADDED.items():
        (folder / "perfkit" / name).write_text(text)
    return folder


@pytest.mark.processes
def test_a_new_file_of_each_kind_in_the_package_is_seen_everywhere(copy: Path, tmp_path: Path) -> None:
    assert told(SEEN, copy, RUNS, tmp_path) == EXPECTED


@pytest.mark.processes
def test_a_new_api_and_dataset_in_the_package_can_be_run(copy: Path, tmp_path: Path) -> None:
    assert told(RUN, copy, tmp_path / "run.db") == [["parrot"], ["biscuits"], 2]


@pytest.mark.processes
def test_a_new_sampling_option_is_one_line(tmp_path: Path) -> None:
    shutil.copytree(PACKAGE, tmp_path / "perfkit", ignore=shutil.ignore_patterns("__pycache__"))
    declared = tmp_path / "perfkit/options/arguments.py"
    declared.write_text(declared.read_text().replace(MIN_P, TOP_A + MIN_P))
    found = told(OPTION, tmp_path, tmp_path / "run.db")
    assert isinstance(found, dict)
    range_, work = found.pop("refused")
    assert "top_a" in range_
    assert "2" in range_
    assert "top_a" in work
    expected = {"sent": [0.2] * 2 + [0.3] * 2, "recorded": [0.2, 0.3], "grouped": [0.2, 0.3], "python": True}
    assert found == expected
    shown = [sys.executable, "-m", "perfkit", "run", "--help"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    helped = subprocess.run(shown, capture_output=True, text=True, check=True, env=environment, cwd=tmp_path).stdout
    assert "--top-a" in helped
    assert "top-a sampling" in helped


@pytest.mark.processes
def test_the_same_files_given_as_plugins_can_be_run(tmp_path: Path) -> None:
    folder = tmp_path / "plugins"
    folder.mkdir()
    for name, text in ADDED.items():
        (folder / Path(name).name).write_text(text)
    assert told(RUN, PACKAGE.parent, tmp_path / "run.db", folder) == [["parrot"], ["biscuits"], 2]
    shown = [sys.executable, "-m", "perfkit", "show", str(RUNS), "--metric", "squawk", "--plugins", str(folder)]
    assert "squawk length" in subprocess.run(shown, capture_output=True, text=True, check=True).stdout
