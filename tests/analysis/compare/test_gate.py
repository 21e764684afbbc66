"""The situations of docs/comparing.md, each decided as a careful engineer would."""

import re
from pathlib import Path

import numpy as np
import pytest

import perfkit as pk
from perfkit.analysis.compare import check_gate
from perfkit.cli import main
from perfkit.errors import Slower, Undecided
from tests.run_files import failure, request, write_run

PAGE = Path(__file__).parents[3] / "docs/comparing.md"


def side(tmp_path, name, factors, *, n=200, failing=0.0, tokens=4, seed=0, **record):
    """Write a run for each factor: log-normal TTFT around 100 ms times it, one request every half second."""
    for number, factor in enumerate(factors):
        rng = np.random.default_rng([seed, number, len(name), ord(name[0])])
        rows = [
            failure(i, i * 0.5, lasted=0.4)
            if i < failing * n
            else request(i, i * 0.5, ttft=float(0.1 * factor * rng.lognormal(0, 0.1)), gaps=[0.01] * (tokens - 1))
            for i in range(n)
        ]
        run_id = f"{name}{number}"
        write_run(tmp_path / f"{name}.db", rows, name=name, run_id=run_id, **{"parallel": 8, **record})


STEADY = (0.99, 1.0, 1.01)

SITUATIONS = {
    "equal servers, three runs a side": ({}, {}, {}, "passed"),
    "clearly slower than allowed": ({}, {"factors": (1.19, 1.2, 1.21)}, {}, "failed"),
    "slower, but within the tolerance": ({}, {"factors": (1.01, 1.02, 1.03)}, {"ttft_mean": "10%"}, "passed"),
    "exactly at the tolerance": ({}, {"factors": (1.04, 1.05, 1.06)}, {}, "undecided"),
    "runs that differ more than the tolerance": (
        {"factors": (0.8, 1.0, 1.2)},
        {"factors": (0.85, 1.05, 1.2)},
        {},
        "undecided",
    ),
    "one run a side": ({"factors": (1.0,)}, {"factors": (1.3,)}, {}, "undecided"),
    "one run a side with a known noise": ({"factors": (1.0,)}, {"factors": (1.3,)}, {"noise": "2%"}, "failed"),
    "few requests": ({"n": 3, "factors": (1.0,)}, {"n": 3, "factors": (1.0,)}, {"noise": "4%"}, "undecided"),
    "the slow requests fail, the others are fast": ({}, {"failing": 0.95, "factors": (0.5, 0.5, 0.5)}, {}, "failed"),
    "the baseline lost its slow requests": ({"failing": 0.2}, {}, {}, "failed"),
    "the client was the limit": ({}, {"samples": {"cpu_share": [0.99] * 3}}, {}, "failed"),
    "answers half as long": ({}, {"tokens": 2}, {}, "failed"),
    "other loads": ({}, {"parallel": 16}, {}, "failed"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SITUATIONS)
def test_the_gate_decides_as_a_careful_engineer_would(tmp_path, name):
    ours, theirs, options, expected = SITUATIONS[name]
    side(tmp_path, "a", **{"factors": STEADY, **ours})
    side(tmp_path, "b", **{"factors": STEADY, "seed": 1, **theirs})
    runs, baseline = pk.open(tmp_path / "b.db"), pk.open(tmp_path / "a.db")
    given = {"ttft_mean": "5%", **options}
    if expected == "passed":
        gate = runs.assert_not_slower(baseline, **given)
        assert "3 + 3 runs, 600 + 600 requests" in gate.rests_on
    else:
        with pytest.raises(Slower if expected == "failed" else Undecided) as caught:
            runs.assert_not_slower(baseline, **given)
        assert f"gate {expected}" in str(caught.value)
        assert ("CLIENT-BOUND, so the client was measured" in str(caught.value)) == ("samples" in theirs)


def test_every_situation_is_in_the_documents():
    rows = re.findall(
        r"^\| (.+?) \| \*?(passed|failed|undecided)\*? \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert dict(rows) == {name: expected for name, (*_, expected) in SITUATIONS.items()}


@pytest.mark.slow
@pytest.mark.parametrize(("n", "expected"), [(150, "undecided"), (250, "passed")])
def test_an_interval_that_is_not_to_be_relied_on_passes_no_gate(tmp_path, n, expected):
    for seed, name in enumerate("ab"):
        side(tmp_path, name, (1.0,), n=n, seed=seed)
    gate = check_gate(pk.open(tmp_path).compare("a", quantities=["ttft_mean"], noise="1%"), {"ttft_mean": "20%"})
    assert gate.status == expected
    assert ("is not to be relied on (too few)" in str(gate)) == (expected == "undecided")


@pytest.mark.slow
def test_undecided_has_an_exit_status_of_its_own_and_unsure_maps_it(tmp_path, capsys):
    for name in "ab":
        side(tmp_path, name, (1.0,))
    words = ["compare", str(tmp_path), "--baseline", "a", "--tolerance", "ttft_mean=5%"]
    assert main(words) == 6
    assert "3 runs a side would decide, or --noise" in capsys.readouterr().err
    assert main([*words, "--unsure", "fail"]) == 5
    assert main([*words, "--unsure", "pass"]) == 0
    assert "gate undecided, resting on 1 + 1 runs" in capsys.readouterr().out


@pytest.mark.slow
def test_failures_have_a_tolerance_of_their_own(tmp_path):
    side(tmp_path, "a", STEADY)
    side(tmp_path, "b", STEADY, failing=0.05)
    runs, baseline = pk.open(tmp_path / "b.db"), pk.open(tmp_path / "a.db")
    with pytest.raises(Slower, match=r"5\.00% of these's requests failed"):
        runs.assert_not_slower(baseline, ttft_mean="5%")
    assert runs.assert_not_slower(baseline, ttft_mean="5%", failures="10%").status == "passed"


@pytest.mark.slow
def test_higher_is_better_for_a_throughput(tmp_path):
    side(tmp_path, "a", STEADY)
    side(tmp_path, "b", STEADY, tokens=4)
    comparison = (pk.open(tmp_path)).compare("a", quantities=["request_throughput"])
    assert check_gate(comparison, {"request_throughput": "5%"}).status == "passed"
