import sqlite3

import numpy as np
import pandas as pd
import pytest

import perfkit as pk
from perfkit.analysis.query import frame, run
from perfkit.runfile.chunks import NO_LAG, Chunks, pack
from tests.run_files import START, failure, request, write_run


@pytest.fixture
def path(tmp_path):
    return write_run(tmp_path / "f.db", [request(0, status_code=200), failure(1, 1), request(2, 2)])


def members(path):
    return pk.open(path).members


def test_whole_numbers_are_int_unless_one_is_missing(path):
    rows = frame.requests(members(path), ["seq", "completion_tokens", "latency", "success", "error"])
    assert rows.dtypes[["seq", "completion_tokens", "latency", "success"]].astype(str).tolist() == [
        "int64",
        "float64",
        "float64",
        "bool",
    ]
    assert rows["error"].isna().tolist() == [True, False, True]


def test_columns_come_in_the_order_asked_for_and_no_others(path):
    assert frame.requests(members(path), ["latency", "run", "seq"]).columns.tolist() == ["latency", "run", "seq"]


def test_rows_come_in_order_of_start_whatever_the_order_of_ending(tmp_path):
    path = write_run(tmp_path / "o.db", [request(1, 5), request(0, 0)])
    assert frame.requests(members(path), ["seq"])["seq"].tolist() == [0, 1]


def test_a_request_that_never_started_is_kept(tmp_path):
    path = write_run(tmp_path / "n.db", [request(0), failure(1, start_time=None, kind="connect")])
    rows = pk.open(path).requests
    assert rows["t"].isna().sum() == 1
    assert len(pk.open(path).trim(warmup="0.1s").requests) == 2


def test_what_another_program_put_into_a_column_of_numbers_is_nan(path):
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE result SET latency = 'quick', prompt_tokens = x'00' WHERE seq = 0")
    rows = frame.requests(members(path), ["latency", "prompt_tokens"])
    assert rows["latency"].isna().tolist() == [True, True, False]
    assert rows["prompt_tokens"].isna().tolist() == [True, False, False]


def test_columns_read_again_are_those_of_the_file_as_it_is_now(path):
    runs = members(path)
    assert frame.requests(runs, ["seq", "latency"])["latency"].notna().sum() == 2
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE result SET latency = 7 WHERE seq = 0")
    assert frame.requests(runs, ["latency"])["latency"].tolist()[0] == 7
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM result WHERE seq = 0")
    assert frame.requests(runs, ["latency", "seq"])["seq"].tolist() == [1, 2]


def test_columns_read_again_are_those_of_the_rows_looked_at(path):
    runs = pk.open(path)
    for where, seqs in (("seq >= 0", [0, 1, 2]), ("seq > 0", [1, 2]), ("seq > 1", [2]), ("seq > 0", [1, 2])):
        assert frame.requests(runs.where(where).members, ["seq"])["seq"].tolist() == seqs
        assert frame.requests(runs.where(where).members, ["t", "seq"])["t"].tolist() == seqs


def test_what_somebody_does_to_a_frame_changes_no_later_one(path):
    runs = members(path)
    rows = frame.requests(runs, ["seq", "start_time"])
    rows.loc[:, "seq"] = 99
    rows["start_time"] += 1
    assert frame.requests(runs, ["seq", "start_time"]).to_numpy().tolist() == [[i, START + i] for i in range(3)]


def test_columns_that_were_read_in_another_order_of_rows_are_not_mixed(path):
    runs = members(path)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE result SET start_time = 5")  # all at one time: their order is sqlite's to choose
    frame.requests(runs, ["seq"])
    ((_, seqs),) = runs[0].source.loaded.of(runs[0].source.version).values()
    loaded = runs[0].source.loaded
    ((key, (index, _)),) = list(loaded.of(runs[0].source.version).items())
    loaded.keep(key, [index[::-1].copy(), seqs[::-1].copy()])
    rows = frame.requests(runs, ["seq", "prompt_tokens", "status_code"])
    assert rows.loc[rows["seq"] == 1, "status_code"].tolist() == [500]


def test_only_so_many_values_are_kept(path, monkeypatch):
    monkeypatch.setattr(run, "_KEPT", 7)
    runs = members(path)
    for name in ("seq", "latency", "t", "worker"):
        frame.requests(runs, [name])
    kept = runs[0].source.loaded.of(runs[0].source.version)
    assert [key[-1] for key in kept][-1] == '"worker"'
    assert sum(len(index) for index, _ in kept.values()) == 6


def test_settings_that_runs_lack_are_missing(tmp_path):
    write_run(tmp_path / "a.db", [request(0)], name="a", parallel=8, tags={"gpu": "H100"})
    write_run(tmp_path / "a.db", [request(0)], name="b", parallel=None, load="open", rate=2.5)
    rows = frame.requests(members(tmp_path / "a.db"), ["run", "parallel", "rate", "gpu"])
    assert rows["parallel"].tolist() == pytest.approx([8, np.nan], nan_ok=True)
    assert rows["rate"].tolist() == pytest.approx([np.nan, 2.5], nan_ok=True)
    assert rows["gpu"].isna().tolist() == [False, True]


def test_no_rows_are_an_empty_frame_of_the_same_columns(path):
    rows = pk.open(path).where("seq > 100").requests
    assert rows.empty
    assert {"ttft", "run", "t"} <= set(rows)
    assert pk.open(path).where("seq > 100").chunks.empty


def test_chunks_carry_lag_kind_and_what_was_censored(tmp_path):
    blob = pack(Chunks([1_000_000, 2_000_000, 2_000_000], [NO_LAG, 30, 0], [0, 1, 1], [0, 1, 5], [0] * 3, [0, 1, -1]))
    (first, second, third) = pk.open(write_run(tmp_path / "c.db", [request(7, chunks=blob)])).chunks.to_dict("records")
    assert (first["arrival"], first["kind"], first["censored"]) == (0.001, "role", False)
    assert pd.isna(first["stamp_lag"])
    assert (second["gap"], second["stamp_lag"], second["kind"], second["censored"]) == (0.001, 30e-6, "content", True)
    assert (third["kind"], third["message"], third["seq"], third["chunk"]) == ("finish", -1, 7, 2)


@pytest.mark.parametrize("blob", [b"", b"\x09abc", b"\x01abc", "text"])
def test_chunks_that_cannot_be_read_are_none(tmp_path, blob):
    path = write_run(tmp_path / "b.db", [request(0, chunks=blob), request(1, 1)])
    assert pk.open(path).chunks["seq"].unique().tolist() == [1]


def test_a_table_has_a_row_a_run_with_tags_as_columns(tmp_path):
    write_run(tmp_path / "a.db", [request(0)], name="a", tags={"gpu": "H100"})
    table = pk.open(tmp_path / "a.db").table
    assert table.loc["a", "gpu"] == "H100"
    assert table.loc["a", "start_time"] == START
    assert table.loc["a", "path"] == str(tmp_path / "a.db")
