"""llama.cpp's server, and nginx before it, read as the official client reads them."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import perfkit as pk

pytestmark = [pytest.mark.realserver, pytest.mark.processes]

PYTHON = Path(sys.executable)


@pytest.fixture(scope="module")
def port(program: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    for needed in ("xllamacpp", "gguf", "openai"):
        pytest.importorskip(needed)
    server, free = program.SERVERS["llama.cpp"], program.free_port()
    command = server.command(PYTHON.parent, tmp_path_factory.mktemp("llama"), free)
    with program.running(command, free, server.ready):
        yield free


def assert_read_alike(program: ModuleType, url: str, way: str) -> None:
    asked = program.WAYS[way]
    theirs, ours = program.answers(url, "tiny", PYTHON, asked)
    assert [row["error"] for row in ours] == [None] * len(theirs)
    for mine, their in zip(ours, theirs, strict=True):
        assert {name: mine[name] for name in asked.compared} == {name: their[name] for name in asked.compared}
    assert all(row["cached_tokens"] is not None for row in ours)
    assert all((row["ttft"] is not None) == (way != "whole") for row in ours)


@pytest.mark.parametrize("way", ["stream", "whole", "llama_cpp"])
def test_llama_cpp_is_read_as_the_official_client_reads_it(program: ModuleType, port: int, way: str) -> None:
    assert_read_alike(program, f"http://127.0.0.1:{port}", way)


def test_llama_cpp_publishes_the_queue_that_its_one_slot_has(port: int, tmp_path: Path) -> None:
    given = {"parallel": 4, "duration": 3.0, "max_tokens": 64, "scrape": True, "db": str(tmp_path / "a.db")}
    runs = pk.start(f"http://127.0.0.1:{port}", **given).wait()
    looks = runs.server[runs.server["t"].between(0.5, 2.9)]
    assert looks["running"].max() == 1
    assert looks["waiting"].max() == 3
    assert looks["prefix_cache_hits"].dropna().between(0, 1).all()


@pytest.mark.parametrize("index", range(4))
def test_a_gateway_before_it_changes_no_answer(program: ModuleType, port: int, index: int, tmp_path: Path) -> None:
    gateway = program.GATEWAYS[index]
    if not shutil.which(gateway.program):
        pytest.skip(f"{gateway.program} is not installed")
    through = program.free_port()
    with program.running(gateway.command(tmp_path, through, port), through, "/health"):
        assert_read_alike(program, f"http://127.0.0.1:{through}", "stream")


def test_a_server_that_does_not_start_is_said_with_its_last_words(program: ModuleType) -> None:
    with (
        pytest.raises(RuntimeError, match=r"did not start \(ended\): no such model"),
        program.running([PYTHON, "-c", "raise SystemExit('no such model')"], 1, "/"),
    ):
        pass
