"""What is installed and released: the constraints fit the requirements, and the source archive leaves nothing out."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINS = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
VERSIONS = {canonicalize_name(name): version for name, _, version in (pin.partition("==") for pin in PINS)}
REQUIRED = [Requirement(text) for text in (*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["test"])]


def test_constraints_are_names_and_versions_and_nothing_else():
    assert [pin for pin in PINS if not re.fullmatch(r"[\w.-]+==[\w.!+]+", pin)] == []


@pytest.mark.parametrize("requirement", REQUIRED, ids=lambda requirement: requirement.name)
def test_constraints_hold_a_version_of_each_requirement_within_its_range(requirement):
    version = VERSIONS[canonicalize_name(requirement.name)]
    assert requirement.specifier.contains(version, prereleases=True)


def test_the_library_itself_pins_nothing():
    ranges = [Requirement(text).specifier for text in PROJECT["dependencies"]]
    assert [str(each) for each in ranges if any(clause.operator in {"==", "==="} for clause in each)] == []


@pytest.mark.processes
@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a clone")
def test_no_committed_file_is_ignored_and_so_left_out_of_the_source_archive():
    words = ["git", "ls-files", "--cached", "--ignored", "--exclude-standard"]
    assert subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout == ""
