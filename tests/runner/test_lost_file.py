"""A run file that is deleted, replaced or left without its folder while a run is under way."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import perfkit as pk
from perfkit.errors import StorageError
from tests.loadgen.workers.processes import until

pytestmark = pytest.mark.processes


def deleted(path: Path) -> None:
    path.unlink()


def replaced(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(b"somebody else's")
    other.replace(path)


def without_its_folder(path: Path) -> None:
    shutil.rmtree(path.parent)


@pytest.mark.parametrize("lose", [deleted, replaced, without_its_folder])
def test_a_run_whose_file_is_gone_ends_and_keeps_all_in_a_copy(
    lose: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "results" / "a.db"
    with pk.simulate(ttft=0.01, itl=0.002, output_tokens=5) as server:
        job = pk.start(server.url, model="m", prompt="hi", parallel=2, duration=60, db=str(path))
        until(lambda: job.progress.done > 20)
        lose(path)
        with pytest.raises(StorageError, match="was deleted or replaced during the run; what was measured is in"):
            job.wait()
    copy = job.path
    assert copy is not None
    assert copy.parent == (tmp_path if lose is without_its_folder else path.parent)
    (run,) = pk.open(copy).members
    assert (run.record["status"], run.record["sent"]) == ("interrupted", job.progress.sent)
    rows = job.runs.requests
    assert rows["seq"].tolist() == list(range(len(rows)))
    assert len(rows) == job.progress.sent
    if lose is replaced:
        assert path.read_bytes() == b"somebody else's"
