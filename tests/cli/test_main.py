import subprocess
import sys

import pytest

from perfkit.cli import COMMANDS, main
from perfkit.simulator import simulate
from tests.cli.commands import perfkit


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert command in capsys.readouterr().out


@pytest.mark.processes
def test_a_command_line_loads_the_module_of_its_command_alone():
    code = "import sys; from perfkit.cli import parser; parser(['run']); print('perfkit.cli.show' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said == "False\n"


def test_no_command_prints_the_help_and_is_bad_usage(capsys):
    assert main([]) == 2
    assert "commands:" in capsys.readouterr().err


MISTAKES = [
    (["rnu"], "no command is called 'rnu'; did you mean 'run'?"),
    (["run", "--modle", "x"], "run has no option --modle; did you mean '--model'?"),
    (["run", "--mod", "x"], "run has no option --mod"),
    (["run", "--bogus", "x"], "run has no option --bogus; see perfkit run --help"),
    (["replay", "a.db", "--paralel", "2"], "replay has no option --paralel; see perfkit replay --help"),
    (["run", "extra"], "'extra' belongs to no option, and is not a URL such as http://localhost:8000"),
    (["show", "a.db", "--jsno", "extra"], "show has no option --jsno"),
    (["run", "--request-rate", "4"], "run has no option --request-rate; here it is --rate R"),
    (["run", "--num-prompts=4"], "run has no option --num-prompts; here it is --number N"),
    (["run", "http://a:1", "--users", "4"], "run has no option --users; here it is --parallel N"),
    (["capacity", "--concurrency", "4", "--slo", "x"], "capacity has no option --concurrency; here it is --parallel N"),
    (
        ["run", "--random-input-len", "9"],
        "run has no option --random-input-len; here it is --dataset random --dataset-args length=N",
    ),
    (["show", "a.db", "--users", "4"], "show has no option --users; see perfkit show --help"),
    (["run", "a:1", "--url", "b:2"], "the URL is given twice, as 'b:2' and as 'a:1'"),
    (["run", "--url"], "argument --url: expected at least one argument"),
    (["run", "--workers", "-1"], "workers must be a whole number"),
    (["run", "--proxy", "nope"], "proxy must look like http://host:port"),
    (["run", "--ca-file", "no.pem"], "ca_file must be a file of certificates, got 'no.pem'"),
    (["run", "--url", "http://a b/"], "url must look like http://host:port"),
    (["check"], "the following arguments are required: url"),
    (["demo", "--to", "/proc/none"], "cannot write /proc/none/demo.db"),
    (["ls", "nowhere"], "no result file in 'nowhere'"),
    (["show", "nowhere.db"], "no result file in 'nowhere.db'"),
    (["simulate", "--tft", "1"], "simulate has no option --tft; did you mean '--ttft'?"),
]


@pytest.mark.parametrize(("words", "sentence"), MISTAKES, ids=[" ".join(words) for words, _ in MISTAKES])
def test_a_mistake_is_one_sentence_and_status_two(words, sentence, capsys):
    assert main(words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert said.err.startswith(f"perfkit: {sentence}")


@pytest.mark.processes
def test_a_reader_that_leaves_the_pipe_is_no_error(tmp_path):
    with simulate(ttft=0.001, itl=0.001) as server:
        perfkit("run", "--url", server.url, "-n", 2, "--max-tokens", 2, "--db", "a.db", folder=tmp_path)
    shell = f"{sys.executable} -m perfkit ls a.db --json | head -c 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", shell], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
