"""The GitHub Action and the image: the entry script is run as the action runs it, and its Markdown is looked at."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.cli.commands import perfkit
from tests.nets.golden import ROOT, RUNS

ACTION = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
STEP = ACTION["runs"]["steps"][-1]


def run(folder: Path, **inputs: str) -> "subprocess.CompletedProcess[str]":
    given = {name: each["default"] for name, each in ACTION["inputs"].items() if "default" in each} | inputs
    names = {name: re.fullmatch(r"\$\{\{ inputs\.(\w+) \}\}", text)[1] for name, text in STEP["env"].items()}
    environment = {name: given.get(of, "") for name, of in names.items()}
    environment |= {"GITHUB_ACTION_PATH": str(ROOT), "GITHUB_STEP_SUMMARY": str(folder / "summary.md")}
    words = ["bash", "-e", "-c", STEP["run"].replace("python", sys.executable, 1)]
    around = os.environ | {"PYTHONPATH": str(ROOT)} | environment
    return subprocess.run(words, cwd=folder, env=around, capture_output=True, text=True, check=False)


@pytest.mark.processes
def test_the_step_writes_the_report_into_the_summary_of_the_job(tmp_path: Path) -> None:
    done = run(tmp_path, files=str(RUNS), by="gpu", baseline="A100", title="Nightly")
    assert done.returncode == 0, done.stderr
    perfkit(
        *("report", RUNS, "--out", "expected.md", "--by", "gpu", "--baseline", "A100", "--title", "Nightly"),
        folder=tmp_path,
    )
    expected = (tmp_path / "expected.md").read_text(encoding="utf-8")
    assert expected.startswith("# Nightly\n")
    assert (tmp_path / "summary.md").read_text(encoding="utf-8") == f"{expected}\n"
    assert (tmp_path / "perfkit-report.md").read_text(encoding="utf-8") == expected


@pytest.mark.processes
def test_the_step_fails_as_compare_does(tmp_path: Path) -> None:
    perfkit("save", RUNS, "--pick", "A100*", "H100*", "--to", "two.db", folder=tmp_path)
    given = {"by": "gpu", "baseline": "H100", "tolerance": "tpot_mean=5%\nttft_p50=5%"}
    unmatched = run(tmp_path, files=str(RUNS), **given)
    assert unmatched.returncode == 5, unmatched.stderr  # a load without a counterpart
    undecided = run(tmp_path, files="two.db", **given)
    assert undecided.returncode == 6, undecided.stderr  # one run a side
    passing = run(tmp_path, files="two.db", unsure="pass", **given)
    assert passing.returncode == 0, passing.stderr
    assert (tmp_path / "summary.md").read_text(encoding="utf-8").count("# perfkit\n") == 3


@pytest.mark.processes
def test_an_input_is_never_part_of_a_command(tmp_path: Path) -> None:
    done = run(tmp_path, files="$(touch made); `touch made`\n--help")
    assert done.returncode == 2
    assert not (tmp_path / "made").exists()
    assert "${{" not in STEP["run"]


@pytest.mark.processes
def test_without_files_the_step_says_what_it_wants(tmp_path: Path) -> None:
    done = run(tmp_path, files=" \n")
    assert (done.returncode, done.stderr) == (
        2,
        "the input files is empty: give run files, folders or patterns, one a line\n",
    )


def test_the_image_installs_what_the_readme_installs() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (extras,) = re.findall(r"pip install '\.(\[\w+\])'", readme)
    image = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert re.findall(r"^RUN pip install (.*)$", image, re.MULTILINE) == [f"--no-cache-dir '/perfkit{extras}'"]
