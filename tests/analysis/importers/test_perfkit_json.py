"""perfkit's own ``--json`` is opened again as what it was."""

import json

import pytest

import perfkit as pk
from perfkit.cli import main
from perfkit.errors import UnsafeFile
from tests.run_files import failure, request, write_run


@pytest.fixture
def printed(tmp_path, capsys):
    for users in (1, 8):
        answers = [*(request(seq, seq, ttft=0.1 * (1 + seq % 7)) for seq in range(40)), failure(40, 40)]
        write_run(tmp_path / "a.db", answers, name="tp2", run_id=f"r{users}", parallel=users, tags={"gpus": "2"})

    def show(*options):
        assert main(["show", str(tmp_path / "a.db"), "--json", *options]) == 0
        path = tmp_path / "kept.json"
        path.write_text(capsys.readouterr().out)
        return path

    return pk.open(tmp_path / "a.db"), show


def test_it_tells_the_numbers_settings_and_tags_of_each_run(printed):
    full, show = printed
    again = pk.open(show())
    assert again.labels == full.labels
    assert again.table[["parallel", "model", "gpus"]].equals(full.table[["parallel", "model", "gpus"]])
    assert again.table[["sent", "succeeded", "failed"]].to_numpy().tolist() == [[41, 40, 1]] * 2
    columns = ["mean", "p50", "p95", "n"]
    before, after = (runs.percentiles(["ttft", "tpot", "e2e"], [50, 95])[columns] for runs in (full, again))
    assert after.to_numpy(dtype=float) == pytest.approx(before.to_numpy(dtype=float))
    rates = ["output_throughput", "whole_run_output_throughput", "throughput_per_gpu", "interactivity", "concurrency"]
    assert again.summary().rates[rates].to_numpy() == pytest.approx(full.summary().rates[rates].to_numpy())


def test_that_of_an_earlier_perfkit_tells_no_settings(printed):
    _, show = printed
    path = show()
    path.write_text(json.dumps({name: part for name, part in json.loads(path.read_text()).items() if name != "runs"}))
    again = pk.open(path)
    assert len(again) == 2
    assert again.table["parallel"].isna().all()


def test_one_grouped_by_something_else_is_refused_with_advice(printed):
    _, show = printed
    with pytest.raises(UnsafeFile, match="write it without --by"):
        pk.open(show("--by", "model"))
