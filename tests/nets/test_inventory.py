"""Everything that a user could name before the reorganisation can still be named, or is said to be gone."""

import json
import re
from importlib import import_module

import pytest

import perfkit as pk
from tests.nets.golden import ROOT, RUNS
from tests.nets.inventory import HERE, inventory, missing
from tests.recording import recording

KEPT = json.loads((HERE / "inventory.json").read_text(encoding="utf-8"))
REMOVED = json.loads((HERE / "removed.json").read_text(encoding="utf-8"))
"""Path of an entry, as the failing test prints it up to a blank, to the reason: its first words stand in CHANGELOG."""

LOCATED = ("apis", "datasets", "rates", "documented imports")
"""What is held by its use below, as a place in the package or a table of the documentation tells of it now."""

DATA = ROOT / "sample_data"
DATASETS = {
    "line_by_line": "prompts.txt",
    "openqa": "openqa.jsonl",
    "longalpaca": "longalpaca.json",
    "jsonl": "messages.jsonl",
    "csv": "prompts.csv",
    "share_gpt": "share_gpt.json",
    "share_gpt_zh": "share_gpt.json",
    "share_gpt_en": "share_gpt.json",
    "multi_turn": "share_gpt.json",
    "trace": "trace.jsonl",
    "workload_trace": "trace.jsonl",
    "rerank": "rerank.jsonl",
}
"""Datasets that read a file; the others are made or named by options of their own."""


@pytest.mark.slow
def test_every_entry_is_there_or_named_as_removed(monkeypatch):
    monkeypatch.chdir(ROOT)
    found = inventory(KEPT)
    gone = [each for each in missing(KEPT, found) if each.split("/")[1] not in LOCATED]
    assert [each for each in gone if each.split(" (")[0] not in REMOVED] == []


def test_what_is_removed_stands_in_the_changelog():
    changes = " ".join((ROOT / "CHANGELOG.md").read_text(encoding="utf-8").split())
    assert [entry for entry, reason in REMOVED.items() if " ".join(reason.split()) not in changes] == []


@pytest.mark.slow
@pytest.mark.parametrize("rate", KEPT["rates"])
def test_a_rate_can_be_drawn(rate):
    from matplotlib import pyplot

    assert pk.open(RUNS).pick("H100*").plot.sweep(rate).get_ylabel()
    pyplot.close("all")


@pytest.mark.parametrize(
    "entry",
    [each for each in KEPT["documented imports"] if not each.endswith("*")],
)
def test_what_the_documentation_imported_can_be_imported(entry):
    module, name = entry.split(":")
    if f"/documented imports/{entry}" not in REMOVED:
        assert hasattr(import_module(module), name)


@pytest.fixture(scope="module")
def server():
    with recording() as found:
        yield found


@pytest.mark.processes
@pytest.mark.parametrize("api", KEPT["apis"])
def test_an_api_can_be_asked_for_by_its_name(server, api, tmp_path):
    given = {"prompt": "hi"}
    if "rerank" in api:
        given = {"dataset": "rerank", "dataset_path": str(DATA / "rerank.jsonl")}
    elif api == "verbatim":
        given = {"dataset": [{"model": "m", "messages": [{"role": "user", "content": "hi"}]}]}
    url = f"{server.url}/any" if api == "custom" else server.url
    asked = {"model": "m", "number": 1, "max_tokens": 2, "preflight": False, "workers": 0, **given}
    before = len(server.received)
    pk.start(url, api=api, db=str(tmp_path / "a.db"), **asked).wait()
    assert len(server.received) == before + 1


@pytest.mark.processes
@pytest.mark.parametrize("dataset", [each for each in KEPT["datasets"] if each in DATASETS])
def test_a_dataset_can_be_asked_for_by_its_name(server, dataset, tmp_path):
    before = len(server.received)
    given = {"dataset_path": str(DATA / DATASETS[dataset]), "model": "m", "number": 1, "preflight": False}
    api = "rerank" if dataset == "rerank" else "openai"
    job = pk.start(server.url, api=api, dataset=dataset, workers=0, db=str(tmp_path / "a.db"), **given)
    job.wait()
    assert len(server.received) > before, job.problem


@pytest.mark.processes
@pytest.mark.parametrize("dataset", [each for each in KEPT["datasets"] if each not in DATASETS])
def test_every_other_dataset_is_known_by_its_name(server, dataset, tmp_path):
    given = {"dataset": dataset, "tokenizer_path": str(DATA / "tokenizer"), "model": "m", "number": 1, "workers": 0}
    said = ""
    try:
        pk.start(server.url, preflight=False, db=str(tmp_path / "a.db"), **given).wait()
    except pk.PerfkitError as error:  # what it needs, and was not given
        said = str(error)
    assert not re.search(rf"called.*{dataset}", said)
