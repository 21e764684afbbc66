"""The step of the GitHub Action (``action.yml``): a Markdown report into the job's summary, then the gate.

Its inputs are the environment variables ``PERFKIT_FILES``, ``PERFKIT_BASELINE``, ``PERFKIT_BY``, ``PERFKIT_TOLERANCE``,
``PERFKIT_UNSURE``, ``PERFKIT_TITLE`` and ``PERFKIT_REPORT``. Its exit status is that of ``perfkit compare``: 5 if
something is clearly worse than allowed, 6 if that is undecided.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from perfkit.cli import main

LARGEST = 1_000_000
"""Bytes of a step's summary; GitHub takes 1 MiB and drops a larger one as a whole."""

TOO_LONG = "The report is too long for this page; it is in the file that the step has written."


def step(given: Mapping[str, str]) -> int:
    """Write the report, and compare if there is a baseline; return the exit status."""
    inputs = {name: given.get(f"PERFKIT_{name.upper()}", "").strip() for name in ("baseline", "by", "unsure", "title")}
    files, tolerances = (given.get(f"PERFKIT_{name}", "").split("\n") for name in ("FILES", "TOLERANCE"))
    # A name that begins with a dash is a file all the same.
    paths = [f"./{line}" if line.startswith("-") else line for line in map(str.strip, files) if line]
    if not paths:
        sys.stderr.write("the input files is empty: give run files, folders or patterns, one a line\n")
        return 2
    target = Path(given.get("PERFKIT_REPORT") or "perfkit-report.md")
    sides = ["--by", inputs["by"]] if inputs["by"] not in ("", "run") else []
    baseline = ["--baseline", inputs["baseline"]] if inputs["baseline"] else []
    title = ["--title", inputs["title"]] if inputs["title"] else []
    status = main(["report", *paths, "--format", "md", "--out", str(target), *sides, *baseline, *title])
    if status:
        return status
    append(given.get("GITHUB_STEP_SUMMARY"), target.read_text(encoding="utf-8"))
    if not baseline:
        return 0
    allowed = [word for line in tolerances for word in line.split()]
    gate = ["--tolerance", *allowed] if allowed else []
    unsure = ["--unsure", inputs["unsure"]] if inputs["unsure"] else []
    return main(["compare", *paths, *sides, *baseline, *gate, *unsure])


def append(place: str | None, text: str) -> None:
    """Add a report to the summary of the job, where there is one."""
    if place:
        fits = len(text.encode()) <= LARGEST
        with Path(place).open("a", encoding="utf-8") as summary:
            summary.write(f"{text if fits else TOO_LONG}\n")


if __name__ == "__main__":
    sys.exit(step(os.environ))
