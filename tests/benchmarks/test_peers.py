import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import perfkit as pk

ROOT = Path(__file__).parents[2]
FIXTURES = ROOT / "tests" / "fixtures"
REPORTS = {
    "evalscope": "evalscope/evalscope-1.14.1__doc002_api_dataset",
    "guidellm": "peers/guidellm_4",
    "aiperf": "peers/aiperf_4",
    "llmeter": "peers/llmeter_4",
}

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="process groups and wait4 are POSIX's"),
    pytest.mark.processes,
]


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("peers")


def cells(output: str) -> list[dict[str, str]]:
    """Return the rows of a Markdown table, by its heads."""
    table = [line.strip("| ").split(" | ") for line in output.splitlines() if line.startswith("| ")]
    return [dict(zip(table[0], row, strict=True)) for row in table[1:]]


def printed(name: str, *words: str) -> str:
    command = [sys.executable, str(ROOT / "benchmarks" / name), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=550, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.alone
def test_perfkit_alone_is_measured_and_the_missing_peers_are_named() -> None:
    output = printed("peers.py", "--streams", "2", "--rounds", "2")
    (row,) = cells(output)
    assert row["tool"] == "perfkit"
    assert row["served / reported"] == "4 / 4"
    assert abs(float(row["TTFT error p50"])) < 10
    assert float(row["ITL mean"]) == pytest.approx(float(row["true ITL mean [ms]"]), rel=0.2)
    assert [line.split()[0] for line in output.splitlines() if "skipped" in line] == [
        "evalscope",
        "guidellm",
        "aiperf",
        "llmeter",
        "vllm",
        "sglang",
    ]


def test_nothing_is_said_of_tools_that_nobody_asked_for() -> None:
    output = printed("peers.py", "--only", "perfkit", "--streams", "1", "--rounds", "1")
    (row,) = cells(output)
    assert float(row["start-up to first request [s]"]) > 0
    assert float(row["tail [s]"]) > 0
    assert "skipped" not in output


@pytest.mark.alone
def test_a_second_run_of_perfkit_agrees_with_the_lens_on_the_first() -> None:
    rows = cells(printed("lens.py", "--number", "3"))
    assert [row["metric"] for row in rows] == ["ttft", "itl", "tpot", "e2e"]
    # Four tokens an event, 10 ms a token: the role chunk 50 ms early must not count.
    assert float(rows[0]["tool's mean"]) == pytest.approx(100, abs=20)
    assert float(rows[1]["tool's mean"]) == pytest.approx(40, abs=8)


@pytest.mark.parametrize(("name", "folder"), REPORTS.items())
def test_what_a_tool_reported_is_the_mean_over_its_own_requests(program: ModuleType, name: str, folder: str) -> None:
    report = program.CLIENTS[name].report(FIXTURES / folder)
    requests = pk.open(FIXTURES / folder).requests
    assert report.requests == requests["success"].sum()
    assert report.figures["ttft"].mean == pytest.approx(requests["ttft"].mean(), abs=1e-5)
    assert report.figures["e2e"].mean == pytest.approx(requests["e2e"].mean(), abs=1e-4)


def test_the_processor_time_of_a_grandchild_counts(program: ModuleType, tmp_path: Path) -> None:
    busy = "import time\nwhile time.process_time() < 0.3: pass"
    words = [sys.executable, "-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {busy!r}])"]
    cost = program.run(words, tmp_path, {}, patience=60)
    assert cost.status == 0
    assert cost.cpu > 0.3


def test_a_command_that_does_not_end_is_ended(program: ModuleType, tmp_path: Path) -> None:
    cost = program.run([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path, {}, patience=0.5)
    assert cost.status != 0
    assert (cost.ended - cost.began) / 1e9 < 30
