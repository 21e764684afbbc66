"""A run file written from another machine: the driver's end does what it is asked, on the driver's clock."""

from collections.abc import Callable
from pathlib import Path
from time import time

import pytest

from perfkit.errors import StorageError
from perfkit.runfile.remote import Answer, Question, RemoteStore, RemoteStoreServer
from perfkit.runfile.schema import RESULT_NAMES
from perfkit.runfile.writer import Writer
from tests.measured import stored

RUN = {"run_id": "R", "name": "a run", "status": "running", "heartbeat": 0.0, "start_time": 0.0, "pid": 1}


def driver_ahead(end: RemoteStoreServer, seconds: float) -> Callable[[Question], Answer]:
    """Return a driver whose clock is ahead of ours."""

    def ask(question: Question) -> Answer:
        error, said = end.answer(question)
        return (error, said + round(seconds * 1e9)) if question[0] == "now" else (error, said)

    return ask


def test_what_is_stored_from_afar_is_what_a_writer_stores(tmp_path: Path) -> None:
    row = {"run_id": "R", "seq": 3, "worker": 1, "phase": "steady", "success": 1, "chunks": b"\x01\x02"}
    end = RemoteStoreServer(tmp_path)
    for store in (RemoteStore(end.answer, "far.db"), Writer(tmp_path / "near.db")):
        store.begin_run(RUN)
        store.add_results([{**dict.fromkeys(RESULT_NAMES), **row}])
        store.update_run("R", sent=1)
        store.merge_run("R", {"status": "finished", "sent": 1})
        assert store.cached_repeats("R") is None
        assert store.orders("R") == (False, 0)
        store.close()
    for query in ("SELECT * FROM result", "SELECT name, status, sent FROM run"):
        assert stored(tmp_path / "far.db", query) == stored(tmp_path / "near.db", query)
    assert not (tmp_path / "far.db-wal").exists()


def test_samples_are_put_on_the_driver_s_clock_and_the_offset_is_kept_with_its_bound(tmp_path: Path) -> None:
    store = RemoteStore(driver_ahead(RemoteStoreServer(tmp_path), 5.0), "r.db")
    store.begin_run(RUN)
    assert store.ahead() / 1e9 == pytest.approx(-5.0, abs=0.01)
    now = time()
    store.add_samples([("R", 1, now, "in_flight", 2.0)])
    store.close()
    (sample,) = stored(tmp_path / "r.db", "SELECT * FROM sample")
    assert sample["time"] == pytest.approx(now + 5, abs=0.01)
    (clock,) = stored(tmp_path / "r.db", "SELECT * FROM clock")
    assert (clock["run_id"], clock["worker"]) == ("R", 1)
    assert abs(clock["offset"] + 5.0) <= clock["bound"] < 0.01
    assert clock["time"] == pytest.approx(now + 5, abs=0.1)


def test_heartbeats_and_starts_are_the_driver_s_whatever_the_other_clock_says(tmp_path: Path) -> None:
    store = RemoteStore(RemoteStoreServer(tmp_path).answer, "r.db")
    store.begin_run(RUN)
    store.update_run("R", heartbeat=1.0)
    (run,) = stored(tmp_path / "r.db", "SELECT heartbeat, start_time FROM run")
    assert run["heartbeat"] == pytest.approx(time(), abs=5)
    assert run["start_time"] == pytest.approx(time(), abs=5)


def test_what_the_driver_cannot_store_is_raised_where_it_was_asked_for(tmp_path: Path) -> None:
    (tmp_path / "r.db").write_text("no database")
    with pytest.raises(StorageError, match=r"cannot write .*r.db"):
        RemoteStore(RemoteStoreServer(tmp_path).answer, "r.db")


def test_a_driver_that_is_gone_is_told_as_a_storage_error(tmp_path: Path) -> None:
    def gone(question: Question) -> Answer:
        raise ConnectionResetError("it hung up")

    with pytest.raises(StorageError, match=r"the connection to the driver ended \(it hung up\)"):
        RemoteStore(gone, "r.db")


@pytest.mark.parametrize("name", ["_execute", "settle_run", "__class__", "nothing"])
def test_nothing_is_done_for_a_far_store_that_a_run_does_not_need(tmp_path: Path, name: str) -> None:
    end = RemoteStoreServer(tmp_path)
    assert end.answer(("open", ["r.db"], {})) == (None, None)
    assert end.answer((name, [], {}))[0] == "StorageError"
