"""A server that nobody here wrote: ``transformers serve`` with a tiny random model, from connection to counts."""

import os
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from perfkit.apis.tokenizer import load_tokenizer
from perfkit.runner.start import start

pytestmark = [pytest.mark.realserver, pytest.mark.processes]

TOKENIZER = Path(__file__).parent.parent / "sample_data/tokenizer"
STARTING = 120.0  # s that a loaded machine may take to import torch
TOKENS = 12


@dataclass(frozen=True)
class RealServer:
    """A running server and the model's folder, which is also the model's name."""

    url: str
    model: str


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    torch = pytest.importorskip("torch")
    pytest.importorskip("fastapi")
    folder = tmp_path_factory.mktemp("tiny")
    make_model(torch, folder)
    home = folder / "home"
    (home / "hub").mkdir(parents=True)  # without it /v1/models answers 500
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", "from transformers.cli.transformers import main; main()", "serve", str(folder)),
            *("--device", "cpu", "--host", "127.0.0.1", "--port", str(port)),
        ],
        env=os.environ | {"HF_HOME": str(home), "HF_HUB_OFFLINE": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_healthy(f"http://127.0.0.1:{port}", process)
        yield RealServer(f"http://127.0.0.1:{port}", str(folder))
    finally:
        process.terminate()
        process.wait()


def make_model(torch: Any, folder: Path) -> None:
    """Write a Llama of random weights with the sample's tokenizer."""
    from transformers import LlamaConfig, LlamaForCausalLM

    shutil.copytree(TOKENIZER, folder, dirs_exist_ok=True)
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = LlamaConfig(vocab_size=1500, max_position_embeddings=2048, eos_token_id=None, **sizes)
    LlamaForCausalLM(config).save_pretrained(folder)


def wait_healthy(url: str, process: "subprocess.Popen[bytes]") -> None:
    until = monotonic() + STARTING
    while monotonic() < until:
        assert process.poll() is None, "the server ended"
        try:
            with urlopen(f"{url}/health", timeout=5) as answer:
                if answer.status == 200:
                    return
        except (URLError, ConnectionError, TimeoutError):
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.2)
    raise AssertionError("the server is not up")


def rows(server: RealServer, tmp_path: Path, **options: Any) -> list[dict[str, Any]]:
    given = {"number": 4, "parallel": 2, "max_tokens": TOKENS, "temperature": 0.0, "preflight": False, **options}
    start(server.url, model=server.model, db=str(tmp_path / "runs.db"), **given).wait()
    with closing(sqlite3.connect(tmp_path / "runs.db")) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute("SELECT * FROM result ORDER BY seq")]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("api", ["openai", "completions", "responses"])
def test_it_is_measured_from_connection_to_counts(server: RealServer, tmp_path: Path, api: str, stream: bool) -> None:
    stored = rows(server, tmp_path, api=api, stream=stream, prompt="Why is the sky dark at night?")
    assert [row["error"] for row in stored] == [None] * 4
    assert {row["is_stream"] for row in stored} == {int(stream)}
    assert all(0 < row["completion_tokens"] <= TOKENS for row in stored)
    assert {row["token_source"] for row in stored} == {"server"}
    assert all((row["first_chunk_latency"] is not None) == stream for row in stored)
    assert all(row["latency"] > 0 for row in stored)


def test_prompts_of_exact_length_are_counted_as_such_by_the_server(server: RealServer, tmp_path: Path) -> None:
    stored = rows(
        server,
        tmp_path,
        api="completions",
        dataset="random",
        tokenizer_path=str(TOKENIZER),
        dataset_args={"length": [20, 200]},
    )
    counted = [load_tokenizer(TOKENIZER).count(row["prompt_text"]) for row in stored]
    assert [row["prompt_tokens"] for row in stored] == counted


def test_a_field_that_it_does_not_know_is_its_rows_error(server: RealServer, tmp_path: Path) -> None:
    stored = rows(server, tmp_path, prompt="Why?", number=1, preflight=False, extra_args={"no_such_field": 1})
    assert (stored[0]["success"], stored[0]["error_kind"]) == (0, "http_status")
    assert "no_such_field" in stored[0]["error"]
