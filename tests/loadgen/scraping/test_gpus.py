"""GPUs of this machine: a run that asks NVML. The library is a stand-in on disk, which a process of its own imports."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import perfkit as pk

LIBRARY = """
class NVMLError(Exception):
    pass

class Rates:
    def __init__(self, gpu):
        self.gpu, self.memory = gpu, 1

class Memory:
    def __init__(self, used):
        self.total, self.free, self.used = 80 << 30, 1, used

POWER = [300_000, 400_500, None]  # mW; the third does not tell

def nvmlInit():
    if "BROKEN" in __import__("os").environ:
        raise NVMLError("Driver Not Loaded")

def nvmlDeviceGetCount():
    return 3

def nvmlDeviceGetHandleByIndex(index):
    return index

def nvmlDeviceGetName(handle):
    return b"Stand-in" if handle == 0 else "Stand-in"

def nvmlDeviceGetPowerUsage(handle):
    if POWER[handle] is None:
        raise NVMLError("Not Supported")
    return POWER[handle]

def nvmlDeviceGetUtilizationRates(handle):
    return Rates([90, 60, 30][handle])

def nvmlDeviceGetMemoryInfo(handle):
    return Memory((handle + 1) << 30)
"""

RUN = """
import json, sys
import perfkit as pk

with pk.simulate(ttft=0.01, itl=0.001) as server:
    given = {"number": 6, "parallel": 2, "max_tokens": 4, "preflight": False, "db": sys.argv[1]}
    job = pk.start(server.url, scrape=[f"{server.url}/metrics", "nvml"], **given)
    job.wait()
print(json.dumps(job.progress.remarks))
"""


def run(folder: Path, **environment: str) -> list[str]:
    """Measure in a process that finds the stand-in, and return what it remarked."""
    (folder / "pynvml.py").write_text(LIBRARY)
    path = os.pathsep.join([str(folder), str(Path(pk.__file__).parents[1])])
    ended = subprocess.run(
        [sys.executable, "-c", RUN, str(folder / "a.db")],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path, **environment},
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout.splitlines()[-1])


@pytest.mark.processes
@pytest.mark.slow
def test_power_utilisation_and_memory_stand_in_the_columns_of_every_page(tmp_path):
    run(tmp_path)
    runs = pk.open(tmp_path / "a.db")
    server = runs.server
    gpus = server[server["page"] == "nvml"]
    assert len(gpus) >= 2
    assert gpus["up"].all()
    # Of the two that tell: 300 + 400.5 W; the mean of 90, 60 and 30 %; 1 + 2 + 3 GiB.
    assert gpus["power"].tolist() == pytest.approx([700.5] * len(gpus))
    assert gpus["utilisation"].tolist() == pytest.approx([0.6] * len(gpus))
    assert gpus["memory"].tolist() == pytest.approx([6 * 2.0**30] * len(gpus))
    others = server[server["page"] != "nvml"]
    assert others["power"].isna().all()
    assert others["running"].notna().any()
    assert gpus["running"].isna().all()


@pytest.mark.processes
@pytest.mark.slow
def test_their_power_makes_the_energy_of_a_token(tmp_path):
    run(tmp_path)
    runs = pk.open(tmp_path / "a.db")
    rates = runs.summary().rates.iloc[0]
    assert rates["energy_per_output_token"] == pytest.approx(700.5 / rates["output_throughput"])


@pytest.mark.processes
@pytest.mark.slow
def test_a_machine_without_a_driver_costs_the_run_nothing_and_is_told_once(tmp_path):
    remarks = run(tmp_path, BROKEN="1")
    said = [each for each in remarks if "nvml" in each]
    assert said == [
        "cannot read what the server publishes at nvml: NVML: Driver Not Loaded; the run goes on without it"
    ]
    runs = pk.open(tmp_path / "a.db")
    assert runs.requests["success"].sum() == 6
    assert not runs.server.query("page == 'nvml'")["up"].any()


@pytest.mark.skipif(find_spec("pynvml") is not None, reason="the library is installed here")
def test_without_the_library_the_extra_is_named():
    with pytest.raises(pk.PerfkitError, match=r"needs nvidia-ml-py: pip install 'perfkit\[nvml\]'"):
        pk.Arguments(scrape="nvml")
