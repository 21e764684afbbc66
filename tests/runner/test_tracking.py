import json
import sqlite3
import struct
from contextlib import closing
from itertools import pairwise

import pytest

import perfkit as pk
from perfkit.runner.tracking import Mlflow, TrackingFailed, tracked
from tests.cli.commands import begun

pytestmark = pytest.mark.processes

KEY = "0123456789abcdef0123456789abcdef01234567"


class Notebook:
    """A tracker that writes down what it is told."""

    def __init__(self, fails=False):
        self.begun, self.logged, self.ended, self.fails = [], [], [], fails

    def begin(self, name, settings):
        self.begun.append((name, settings))

    def log(self, step, values):
        if self.fails:
            raise TrackingFailed("it is full")
        self.logged.append((step, values))

    def end(self, summary, pictures):
        self.ended.append((summary, [picture.name for picture in pictures]))


@pytest.fixture(scope="module")
def server():
    with pk.simulate(ttft=0.02, itl=0.005, model="tiny") as running:
        yield running


def tell(server, path, tracker, **given):
    job = pk.start(server.url, name="told", max_tokens=8, db=str(path), **given)
    with tracked(job, tracker):
        return job.wait()


def test_a_tracker_is_told_everything_once(server, tmp_path):
    notebook = Notebook()
    runs = tell(server, tmp_path / "a.db", notebook, parallel=[1, 4], number=[12, 40], log_every_n_query=10)
    ((name, settings),) = notebook.begun
    assert (name, settings["parallel"]) == ("told", [1, 4])
    steps = [step for step, _ in notebook.logged]
    assert steps == sorted(steps)
    assert steps[-1] == len(runs.requests) == 52
    counts = [later - earlier for earlier, later in pairwise([0, *steps])]
    for name in ("ttft", "e2e"):  # means of the requests since the message before
        values = [values[name] for _, values in notebook.logged]
        mean = sum(count * value for count, value in zip(counts, values, strict=True)) / 52
        assert mean == pytest.approx(runs.requests[name].mean())
    assert {values["failed"] for _, values in notebook.logged} == {0}
    ((summary, pictures),) = notebook.ended
    assert summary["told parallel=4/ttft/n"] == 40
    assert "ecdf-ttft.png" in pictures


def test_a_tracker_that_fails_leaves_the_run_whole(server, tmp_path, capsys):
    runs = tell(server, tmp_path / "a.db", Notebook(fails=True), number=3)
    assert len(runs.requests) == 3
    assert capsys.readouterr().err.endswith("tracking ended early, the run did not: it is full\n")


def test_wandb_offline_keeps_metrics_summary_and_charts_and_no_key(server, tmp_path):
    pytest.importorskip("wandb")
    words = ("-n", 12, "--parallel", 2, "--max-tokens", 4, "--db", "w.db", "--name", "told", "--wandb-api-key", KEY)
    offline = {"WANDB_MODE": "offline", "WANDB_SILENT": "true"}
    with begun("run", "--url", server.url, *words, folder=tmp_path, **offline) as running:  # wandb keeps what it reads
        _, said = running.communicate(timeout=120)
    assert running.returncode == 0, said
    (kept,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    history, summary = read_back(kept)
    assert any("ttft" in values for values in history)
    assert list(kept.parent.glob("files/media/images/chart/ecdf-ttft*.png"))
    assert summary["told/ttft/n"] == 12
    assert [file for file in tmp_path.rglob("*") if file.is_file() and KEY.encode() in file.read_bytes()] == []


def test_mlflow_keeps_settings_metrics_summary_and_charts_in_a_file(server, tmp_path):
    pytest.importorskip("mlflow")
    words = ("-n", 12, "--parallel", 2, "--max-tokens", 4, "--db", "m.db", "--name", "told", "--api-key", KEY)
    with begun("run", server.url, *words, "--mlflow", "mlflow.db", folder=tmp_path) as running:
        _, said = running.communicate(timeout=120)
    assert running.returncode == 0, said
    assert "tracking ended early" not in said
    # Read with sqlite itself, not with what wrote it.
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as file:
        ((name, status, place),) = file.execute("SELECT name, status, artifact_uri FROM runs").fetchall()
        params = dict(file.execute("SELECT key, value FROM params"))
        history = file.execute("SELECT step, value FROM metrics WHERE key = 'ttft' ORDER BY step").fetchall()
        latest = dict(file.execute("SELECT key, value FROM latest_metrics"))
        tags = dict(file.execute("SELECT key, value FROM tags"))
    assert (name, status) == ("told", "FINISHED")
    assert (params["parallel"], params["max_tokens"]) == ("2", "4")
    assert history[-1][0] == 12
    summary = pk.open(tmp_path / "m.db").summary()
    assert latest["told/ttft/p50"] == pytest.approx(summary.frame.loc[("told", "ttft"), "p50"])
    assert tags["told/verdict"] == summary.verdicts["told"].level
    assert (tmp_path / place.removeprefix("file://") / "charts" / "ecdf-ttft.png").exists()
    assert [path for path in tmp_path.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()] == []


def test_an_mlflow_that_cannot_be_reached_leaves_the_run_whole(server, tmp_path, capsys, monkeypatch):
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    runs = tell(server, tmp_path / "a.db", Mlflow("http://127.0.0.1:9"), number=3)
    assert len(runs.requests) == 3
    assert "tracking ended early, the run did not: " in capsys.readouterr().err


def read_back(file):
    """Return the history and the summary of a run that wandb kept offline."""
    from wandb.proto import wandb_internal_pb2

    history, summary = [], {}
    for data in log_records(file.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        if record.WhichOneof("record_type") == "history":
            history.append({name_of(item): item.value_json for item in record.history.item})
        elif record.WhichOneof("record_type") == "summary":
            summary |= {name_of(item): json.loads(item.value_json) for item in record.summary.update}
    return history, summary


def name_of(item):
    return ".".join(item.nested_key) or item.key


def log_records(data, block=32_768, start=7):
    """Yield the records of a log in LevelDB's format: fragments of crc, length and kind, none across a block's end."""
    record, position = b"", start
    while position < len(data):
        if block - position % block < 7:
            position += block - position % block
            continue
        length, kind = struct.unpack_from("<HB", data, position + 4)
        record += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # whole, or the last fragment
            yield record
            record = b""


def test_no_key_no_tracker(server, tmp_path):
    job = pk.start(server.url, number=1, max_tokens=1, db=str(tmp_path / "a.db"))
    with tracked(job):
        job.wait()
    with sqlite3.connect(tmp_path / "a.db") as file:
        assert file.execute("SELECT count(*) FROM run").fetchone() == (1,)
