import re

import pytest

from perfkit.cli import main


@pytest.mark.processes
def test_capacity_prints_the_curve_and_the_answer(server, tmp_path, capsys):
    words = ["--url", server.url, "--slo", "ttft:p50:2000ms", "--axis", "parallel", "--low", "1", "--high", "2"]
    db = tmp_path / "c.db"
    assert main(["capacity", *words, "-n", "30", "--max-tokens", "2", "--db", str(db), "--workers", "0"]) == 0
    printed = capsys.readouterr()
    assert "ttft p50 <= 2000 ms: " in printed.out
    assert f"perfkit show {db}" in printed.out
    lines = printed.err.splitlines()
    assert lines[0].startswith("point 1 of 12, 1 users · ")
    assert "30 of 30 requests" in lines[0]
    assert any(re.match(r"1: ttft p50 is [\d.]+ ms of 2000$", line) for line in lines)
    assert lines[-2].endswith(" · met at 1")


@pytest.mark.slow
@pytest.mark.parametrize("text", ["ttft", "ttft:p95", "ttft:p95:soon", "ttft:p95:-300ms", "ttft:p95:0", "ttft:p95:5x"])
def test_an_objective_that_cannot_be_read_is_bad_usage(text, capsys):
    assert main(["capacity", "--url", "http://127.0.0.1:9", "--slo", text]) == 2
    assert "objective" in capsys.readouterr().err


@pytest.mark.parametrize(("metric", "bare"), [("ttft", "300"), ("tpot", "50"), ("itl_p95", "20"), ("e2e", "5000")])
def test_a_bound_that_was_meant_in_milliseconds_is_asked_about_before_anything_is_sent(metric, bare, capsys):
    assert main(["capacity", "--url", "http://127.0.0.1:9", "--slo", f"{metric}:p95:{bare}"]) == 2
    said = f"the bound of {metric} would be {bare} seconds: write '{bare}ms' for milliseconds, or '{bare}s' if seconds"
    assert said in capsys.readouterr().err
