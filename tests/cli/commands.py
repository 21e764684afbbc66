"""The command line as a shell runs it: processes of its own, whose status, words and files the tests look at."""

import os
import subprocess
import sys
from pathlib import Path

PERFKIT = [sys.executable, "-m", "perfkit"]


def perfkit(*words: object, folder: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end."""
    return subprocess.run(
        [*PERFKIT, *map(str, words)],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def begun(*words: object, folder: Path) -> "subprocess.Popen[str]":
    """Start a command and leave it running."""
    return subprocess.Popen(
        [*PERFKIT, *map(str, words)], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
