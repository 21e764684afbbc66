"""``--quiet`` shows no progress, and ``--json`` prints one document."""

import json

import pytest

import perfkit as pk
from perfkit.cli import COMMANDS, parser
from tests.cli.commands import begun, perfkit
from tests.nets.golden import RUNS

LOAD = ("-n", 4, "--max-tokens", 2, "--prompt", "hi", "--workers", 0)
WITHOUT_RESULT = {"simulate"}


@pytest.mark.parametrize("command", sorted(COMMANDS.keys() - WITHOUT_RESULT))
def test_every_command_that_has_a_result_has_json(command):
    of_command = parser([command])._subparsers._group_actions[0].choices[command]
    assert "--json" in of_command._option_string_actions


@pytest.mark.parametrize("command", ["run", "replay", "resume", "attach", "capacity", "ab", "calibrate", "demo"])
def test_every_command_that_measures_can_be_quiet(command):
    of_command = parser([command])._subparsers._group_actions[0].choices[command]
    assert {"--quiet", "-q"} <= set(of_command._option_string_actions)


@pytest.mark.processes
def test_a_quiet_run_says_nothing_but_its_summary(server, tmp_path):
    (tmp_path / "odd.jsonl").write_text('{"prompt": "a", "colour": 1}\n' * 4)
    words = ("run", server.url, *LOAD[:4], "--dataset", "odd.jsonl", "--workers", 0)
    loud, quiet = perfkit(*words, folder=tmp_path), perfkit(*words, "-q", folder=tmp_path)
    assert "4 of 4 requests" in loud.stderr
    assert quiet.stderr == ""
    assert "time to first token [ms]" in quiet.stdout


@pytest.mark.processes
def test_quiet_keeps_errors(tmp_path):
    done = perfkit("run", "http://127.0.0.1:9", "--model", "m", *LOAD, "--quiet", folder=tmp_path)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("perfkit: cannot connect to http://127.0.0.1:9")


@pytest.mark.processes
def test_repeated_runs_and_a_search_can_be_quiet_and_give_json(server, tmp_path):
    done = perfkit("run", server.url, *LOAD, "--repeat", 2, "-q", "--json", "--db", "r.db", folder=tmp_path)
    assert (done.stderr, len(json.loads(done.stdout)["rates"])) == ("", 2)
    search = ("--slo", "p50 ttft < 2s", "--axis", "parallel", "--high", 2, "--points", 1)
    done = perfkit("capacity", server.url, *search, *LOAD, "-q", "--json", "--db", "c.db", folder=tmp_path)
    found = json.loads(done.stdout)
    assert done.stderr == ""
    assert (found["axis"], found["file"], found["points"][0]["load"]) == ("parallel", "c.db", 1)


@pytest.mark.processes
def test_a_detached_run_and_its_end_are_told_as_json(server, tmp_path):
    words = (server.url, "-n", 1_000_000, "--max-tokens", 4, "--prompt", "hi", "--db", "d.db", "--detach", "--json")
    begun_at = json.loads(perfkit("run", *words, folder=tmp_path).stdout)
    assert begun_at["file"] == "d.db"
    ended = json.loads(perfkit("stop", "d.db", "--json", folder=tmp_path).stdout)
    assert (ended["file"], ended["failed"]) == ("d.db", 0)
    assert pk.open(tmp_path / "d.db").members[0].run_id in begun_at["run_ids"]


@pytest.mark.slow
def test_what_was_written_about_a_run_and_drawn_of_it_is_told_as_json(tmp_path):
    perfkit("save", RUNS, "--pick", "H100*", "--to", "a.db", folder=tmp_path)
    (said, *_) = json.loads(perfkit("annotate", "a.db", "--note", "n", "--json", folder=tmp_path).stdout)
    assert (said["note"], said["removed"], said["tags"]) == ("n", False, {"gpu": "H100"})
    for words, key in (
        (("plot", "a.db", "--out", "a.csv", "--chart", "percentiles"), "path"),
        (("report", "a.db", "--out", "a.md"), "path"),
        (("export", "a.db", "--chart", "ecdf", "--format", "csv"), "paths"),
    ):
        found = json.loads(perfkit(*words, "--json", folder=tmp_path).stdout)[key]
        assert all((tmp_path / name).exists() for name in ([found] if isinstance(found, str) else found))


@pytest.mark.processes
def test_attach_can_be_quiet(server, tmp_path):
    perfkit("run", server.url, *LOAD[:6], "--detach", "--db", "d.db", folder=tmp_path)
    watching = begun("attach", "d.db", "-q", folder=tmp_path)
    out, err = watching.communicate(timeout=300)
    assert (watching.returncode, err) == (0, "")
    assert "time to first token [ms]" in out
