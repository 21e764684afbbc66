import json

import pytest

from perfkit.cli import main
from perfkit.errors import UsageError
from tests.cli.commands import carried_out as run
from tests.run_files import failure, request, write_run


@pytest.fixture
def path(tmp_path):
    rows = [*(request(i, i, ttft=0.1 * (i + 1)) for i in range(10)), failure(10, 10)]
    write_run(tmp_path / "a.db", rows, name="a", sent=11, failed=1, tags={"gpu": "H100"})
    return str(tmp_path / "a.db")


@pytest.mark.slow
def test_show_prints_what_a_notebook_shows(path, capsys):
    assert run("show", path) == 0
    assert "time to first token [ms]" in capsys.readouterr().out


@pytest.mark.slow
def test_show_counts_the_requests_within_objectives_as_goodput(path, capsys, monkeypatch):
    run("show", path, "--json", "--slo", "ttft:550ms", "e2e:60")
    (rates,) = json.loads(capsys.readouterr().out)["rates"]
    monkeypatch.setenv("COLUMNS", "200")
    assert rates["goodput"] == pytest.approx(4 / 9)  # from the second request to the last, a failure, sent 9 s later
    run("show", path, "--slo", "ttft:0.55")
    assert "goodput [requests/s]" in capsys.readouterr().out
    run("show", path)
    assert "goodput" not in capsys.readouterr().out


def test_a_percentile_is_no_objective_of_each_request(path):
    with pytest.raises(UsageError, match="each request reads 'ttft < 500ms', got one of its p95"):
        run("show", path, "--slo", "ttft:p95:500ms")


@pytest.mark.slow
def test_show_json_is_plain_numbers_for_scripts(path, capsys):
    run("show", path, "--json", "--metric", "ttft")
    summary = json.loads(capsys.readouterr().out)
    assert summary["metrics"][0]["p50"] == pytest.approx(0.55)
    assert summary["rates"][0]["failed"] == 1


@pytest.mark.slow
def test_show_filters_groups_and_trims(path, capsys):
    run("show", path, "--where", "prompt_tokens = 10", "--by", "gpu", "--warmup", "2", "--json")
    summary = json.loads(capsys.readouterr().out)
    assert summary["metrics"][0]["gpu"] == "H100"
    assert summary["rates"][0]["requests"] == 9


@pytest.mark.slow
def test_a_warm_up_longer_than_the_run_is_a_mistake_of_the_options(path, capsys):
    assert main(["show", path, "--warmup", "1h"]) == 2
    assert "warmup 1h leaves nothing of a, which has 11 requests in 11 s" in capsys.readouterr().err
    assert main(["show", path, "--warmup", "50 %"]) == 0
    assert "left out: 5 warm-up" in capsys.readouterr().out


def test_ls_has_a_line_a_run(path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    assert run("ls", path) == 0
    _, line = capsys.readouterr().out.splitlines()
    assert line.split()[:2] == ["a", "m"]
    assert "1 user  " in line


def test_ls_shows_the_rates_of_steps(tmp_path, capsys):
    arguments = {"rate": 8.0, "steps": [[2.0, 4.0], [8.0, 4.0]]}
    write_run(tmp_path / "s.db", [request(0, 0)], load="open", parallel=None, rate=8.0, arguments=arguments)
    run("ls", str(tmp_path))
    assert "  2, 8/s  " in capsys.readouterr().out


def test_ls_json_has_every_column_of_the_run(path, capsys):
    run("ls", path, "--json")
    (record,) = json.loads(capsys.readouterr().out)
    assert (record["sent"], record["rate"], record["gpu"]) == (11, None, "H100")
    assert isinstance(record["arguments"], dict)


def test_ls_without_a_path_looks_where_runs_are_kept(tmp_path, monkeypatch, capsys):
    (tmp_path / "outputs").mkdir()
    write_run(tmp_path / "outputs" / "kept.db", [request(0, 0)], name="kept")
    monkeypatch.chdir(tmp_path)
    assert run("ls") == 0
    assert "kept" in capsys.readouterr().out


def test_ls_names_files_it_could_not_open(path, tmp_path, capsys):
    (tmp_path / "bad.db").write_bytes(b"x" * 200)
    run("ls", str(tmp_path))
    assert "bad.db" in capsys.readouterr().err
