"""The command line as a shell runs it: its status, words and files, which the tests look at."""

import contextlib
import io
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from perfkit.cli import parser

PERFKIT = [sys.executable, "-m", "perfkit"]


def perfkit(*words: object, folder: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end as ``python -m perfkit`` would, in this process: another takes a second to begin."""
    out, err, status = io.StringIO(), io.StringIO(), 0
    argv = ["perfkit", *map(str, words)]
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.chdir(folder)
        patch.setattr(sys, "argv", argv)
        for name, value in environment.items():
            patch.setenv(name, value)
        try:
            runpy.run_module("perfkit", run_name="__main__", alter_sys=False)
        except SystemExit as ended:
            status = int(ended.code or 0)
    return subprocess.CompletedProcess(argv, status, out.getvalue(), err.getvalue())


def begun(*words: object, folder: Path, **environment: str) -> "subprocess.Popen[str]":
    """Start a command in a process of its own and leave it running."""
    pipe, around = subprocess.PIPE, os.environ | environment
    return subprocess.Popen([*PERFKIT, *map(str, words)], cwd=folder, env=around, stdout=pipe, stderr=pipe, text=True)


def carried_out(*words: str) -> int:
    """Carry out a command in this process; its errors are raised, not printed."""
    options = parser(words).parse_args(words)
    status: int = options.function(options)
    return status
