"""What the run file says of a run: identity, settings, versions, machine."""

import json
import os
import platform
import secrets
import subprocess
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from time import time, time_ns

from perfkit.options.arguments import Arguments, spelt
from perfkit.printable import slug
from perfkit.runfile.owner import machine, process_start
from perfkit.runfile.writer import Row
from perfkit.secrets import shown_url

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_NAMED_VERSIONS = ("perfkit", "httptools", "uvloop", "orjson", "aiohttp")


def new_run_id() -> str:
    """Return a ULID: 26 characters that sort by time.

    Examples
    --------
    >>> first, second = new_run_id(), new_run_id()
    >>> len(first), first != second
    (26, True)
    """
    number = time_ns() // 1_000_000 << 80 | secrets.randbits(80)
    return "".join(_CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))


def default_name(model: str | None) -> str:
    """Return the name of a run that was given none: model and local time, fit for a file name.

    Examples
    --------
    >>> default_name("org/Qwen 7B")[:8]
    'Qwen-7B_'
    """
    stem = slug((model or "run").rstrip("/").rpartition("/")[2]) or "run"
    return f"{stem}_{datetime.now():%Y%m%d_%H%M%S}"


def run_row(arguments: Arguments, *, run_id: str, urls: Sequence[str], model: str | None) -> Row:
    """Return the row of ``run`` that a run begins with."""
    return {
        "run_id": run_id,
        "name": arguments.name or default_name(model),
        "note": arguments.note,
        "tags": json.dumps(dict(arguments.tags), ensure_ascii=False),
        "arguments": json.dumps(arguments.shown(), ensure_ascii=False),
        "model": None if model is None else str(model),  # plain: it may go to a driver elsewhere
        "target": ", ".join(map(shown_url, urls)),
        "api": spelt(arguments.api),
        "load": arguments.load,
        "parallel": arguments.parallel
        if isinstance(arguments.parallel, int)
        else (1 if arguments.rate is None else None),
        "rate": arguments.rate if isinstance(arguments.rate, (int, float)) else None,
        "number": arguments.number if isinstance(arguments.number, int) else None,
        "duration": arguments.duration,
        "dataset": " ".join(arguments.mix)
        or arguments.dataset
        or arguments.dataset_path
        or ("prompt" if arguments.prompt else "sample"),
        "prompt_seed": arguments.prompt_seed,
        "arrival_seed": arguments.arrival_seed,
        "request_seed": arguments.seed,
        "versions": json.dumps(_versions()),
        "host": json.dumps(_host()),
        "git": json.dumps(_git()),
        "pid": os.getpid(),
        "pid_time": process_start(),
        "status": "running",
        "start_time": time(),
        "heartbeat": time(),
        "basis": json.dumps({"*": "stamps"}),
        "source": "perfkit",
    }


@cache
def _versions() -> dict[str, str]:
    from importlib import metadata  # slow to load, and a driver only makes run ids here

    found = {"python": platform.python_version()}
    for name in _NAMED_VERSIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _host() -> dict[str, object]:
    governor = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    return {
        "name": platform.node(),
        "processes": machine(),
        "system": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "governor": governor.read_text().strip() if governor.is_file() else None,
    }


def _git() -> dict[str, object] | None:
    """Return commit and state of the working directory, None outside a repository."""
    try:
        told = subprocess.run(
            ["git", "status", "--porcelain=v2", "--branch", "--untracked-files=no"],
            capture_output=True,
            text=True,
            timeout=2,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    lines = told.splitlines()
    commit = next((line.split()[-1] for line in lines if line.startswith("# branch.oid")), None)
    return {"commit": commit, "changed": any(not line.startswith("#") for line in lines)}
