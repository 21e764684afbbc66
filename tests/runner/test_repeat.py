import json
import socket
import sys

import pytest

import perfkit as pk
from perfkit.cli import main
from perfkit.errors import PerfkitError, UsageError
from perfkit.runner.repeat import repeat
from tests.ports import free_port

QUICK = {"parallel": 2, "max_tokens": 4, "workers": 0}

pytestmark = pytest.mark.processes


def prompts_of(runs, **settings):
    return [run.requests["prompt_hash"].tolist() for run in (runs.pick(**settings))]


def test_rounds_have_prompts_of_their_own_that_are_the_same_for_both_sides(tmp_path):
    prompts = [f"prompt {number}" for number in range(100)]
    with pk.simulate(ttft=0.01, itl=0.001) as a, pk.simulate(ttft=0.04, itl=0.001) as b:
        found = pk.ab(a.url, b.url, repeat=3, number=20, dataset=prompts, db=str(tmp_path / "ab.db"), **QUICK)
    runs = pk.open(tmp_path / "ab.db")
    sides = [[sorted(each) for each in prompts_of(runs, name=name)] for name in "AB"]
    assert sides[0] == sides[1]
    assert len({prompt for each in sides[0] for prompt in each}) == 60
    assert {result.method for result in found.results} == {"rounds"}
    ttft = next(result for result in found.results if result.quantity.name == "ttft_p50")
    assert ttft.ratio.value > 1.5


def test_the_order_within_rounds_is_drawn(tmp_path):
    with pk.simulate(ttft=0.001, itl=0.001) as server:
        pk.ab(server.url, server.url, repeat=6, number=2, db=str(tmp_path / "o.db"), **QUICK)
    table = pk.open(tmp_path / "o.db").table.sort_values("start_time")
    assert {tuple(names) for names in table["name"].to_numpy().reshape(6, 2)} == {("A", "B"), ("B", "A")}


def test_repeats_past_the_end_of_a_dataset_begin_anew(tmp_path):
    with pk.simulate(ttft=0.001, itl=0.001) as server:
        runs = repeat(
            server.url, count=3, number=4, dataset=["a", "b", "c", "d", "e", "f"], db=str(tmp_path / "r.db"), **QUICK
        )
    assert runs.table["repeat"].tolist() == ["1", "2", "3"]
    assert [int(run.arguments.get("dataset_offset", 0)) for run in runs.members] == [0, 4, 2]


def test_servers_are_started_and_stopped_in_each_round(tmp_path):
    port, log = free_port(), tmp_path / "log"
    start = f"echo start >> {log}; exec {sys.executable} -m perfkit simulate --port {port} --ttft 0.005 --itl 0.001"
    found = pk.ab(
        f"127.0.0.1:{port}",
        f"127.0.0.1:{port}",
        repeat=2,
        number=4,
        start_a=start,
        start_b=start,
        db=str(tmp_path / "s.db"),
        **QUICK,
    )
    assert log.read_text().split() == ["start"] * 4
    assert len(found.results[0].pairing.runs) == 4
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), timeout=1)


def test_a_server_that_does_not_come_up_is_told_with_its_words(tmp_path):
    with pytest.raises(PerfkitError, match="status 3; its last words: out of memory"):
        pk.ab(
            f"127.0.0.1:{free_port()}",
            f"127.0.0.1:{free_port()}",
            start_a="echo out of memory; exit 3",
            start_b="echo out of memory; exit 3",
            number=2,
            db=str(tmp_path / "x.db"),
            **QUICK,
        )


def test_the_command_line_stops_a_server_that_its_start_command_leaves_behind(tmp_path, capsys):
    port, log, pid = free_port(), tmp_path / "log", tmp_path / "pid"
    simulate = f"{sys.executable} -m perfkit simulate --port {port} --itl 0.001"
    words = ["--repeat", "2", "-n", "4", "--parallel", "2", "--max-tokens", "4", "--db", str(tmp_path / "s.db")]
    for side, ttft in (("a", 0.002), ("b", 0.03)):
        words += [f"--start-{side}", f"echo start {side} >> {log}; {simulate} --ttft {ttft} & echo $! > {pid}"]
        words += [f"--stop-{side}", f"echo stop {side} >> {log}; kill $(cat {pid})"]
    url = f"127.0.0.1:{port}"
    assert main(["ab", url, url, *words, "--json"]) == 0
    done = log.read_text().splitlines()
    assert sorted(done) == sorted(f"{verb} {side}" for verb in ("start", "stop") for side in "ab" for _ in range(2))
    assert all(stop == start.replace("start", "stop") for start, stop in zip(done[::2], done[1::2], strict=True))
    ratios = {row["quantity"]: row["ratio"] for row in json.loads(capsys.readouterr().out)["table"]}
    assert ratios["ttft_p50"] > 2
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), timeout=1)


def test_a_server_that_runs_before_it_is_started_is_not_measured_in_its_place(tmp_path):
    with (
        pk.simulate(ttft=0.001, itl=0.001) as server,
        pytest.raises(PerfkitError, match=r"answers at .* before its start command has run"),
    ):
        pk.ab(server.url, server.url, start_a="true", start_b="true", number=2, db=str(tmp_path / "x.db"), **QUICK)


def test_a_stop_command_that_fails_is_told_with_its_words(tmp_path):
    port = free_port()
    start = f"exec {sys.executable} -m perfkit simulate --port {port} --ttft 0.001"
    sides = {"start_a": start, "start_b": start, "stop_a": "echo no such container; exit 4"}
    sides["stop_b"] = sides["stop_a"]
    url = f"127.0.0.1:{port}"
    with pytest.raises(PerfkitError, match="status 4; its last words: no such container"):
        pk.ab(url, url, number=2, db=str(tmp_path / "x.db"), **sides, **QUICK)


def test_repeats_cannot_be_detached(tmp_path, capsys):
    words = ["run", "--url", "http://127.0.0.1:1", "--repeat", "2", "--detach", "--db", str(tmp_path / "d.db")]
    assert main(words) == 2
    assert "give one of them" in capsys.readouterr().err


def test_the_command_line_repeats_and_compares(tmp_path, capsys):
    words = ["-n", "6", "--parallel", "2", "--max-tokens", "4"]
    with pk.simulate(ttft=0.005, itl=0.001) as server:
        assert (
            main(["run", "--url", server.url, "--repeat", "2", "--db", str(tmp_path / "r.db"), "--json", *words]) == 0
        )
        assert len(json.loads(capsys.readouterr().out)["rates"]) == 2
        assert main(["ab", server.url, server.url, "--repeat", "2", "--db", str(tmp_path / "ab.db"), *words]) == 0
    assert "look again with: perfkit compare" in capsys.readouterr().out


@pytest.mark.parametrize("count", [0, -1, 1.5])
def test_a_count_that_is_none_is_refused(count):
    with pytest.raises(UsageError, match="whole number of runs"):
        repeat("http://127.0.0.1:1", count=count)


def test_prompts_that_can_be_read_once_cannot_be_repeated():
    with pytest.raises(UsageError, match="only once"):
        repeat("http://127.0.0.1:1", count=2, dataset=iter(["a"]))
