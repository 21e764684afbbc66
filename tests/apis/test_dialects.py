"""Every built-in API against the simulated server that speaks its dialect, streaming and not."""

import itertools
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas
import pytest

from perfkit.runner.start import start
from perfkit.simulator import Simulated, simulate

pytestmark = pytest.mark.processes

CHATTING = ("openai", "completions", "responses", "anthropic", "dashscope")
TOKENS = 6


@pytest.fixture(scope="module")
def server() -> Iterator[Simulated]:
    with simulate(ttft=0.01, itl=0.001, output_tokens=TOKENS, cached_tokens=4) as running:
        yield running


def measure(url: str, folder: Path, **options: Any) -> pandas.DataFrame:
    path = folder / f"{next(_numbers)}.db"
    given = {
        "prompt": "Why is the sky dark at night, and when is it not?",
        "number": 2,
        "model": "simulated",
        "preflight": False,
        "workers": 0,
        **options,
    }
    start(url, **given, db=str(path)).wait()
    with closing(sqlite3.connect(path)) as connection:
        return pandas.read_sql_query("SELECT * FROM result ORDER BY seq", connection)


_numbers = itertools.count()


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("api", CHATTING)
def test_a_dialect_is_spoken_from_request_to_counts(server: Simulated, tmp_path: Path, api: str, stream: bool) -> None:
    rows = measure(server.url, tmp_path, api=api, stream=stream)
    assert list(rows["success"]) == [1, 1], rows["error"].iloc[0]
    assert set(rows["is_stream"]) == {int(stream)}
    assert set(rows["completion_tokens"]) == {TOKENS}
    assert (rows["prompt_tokens"] > 0).all()
    assert set(rows["token_source"]) == {"server"}
    assert rows["finish_reason"].notna().all()
    assert (rows["output_text"].str.split().str.len() == TOKENS).all()
    assert rows["first_chunk_latency"].notna().all() == stream
    assert rows["server_request_id"].notna().all()


@pytest.mark.parametrize("api", ["openai", "responses", "anthropic"])
def test_reasoning_is_told_apart_in_every_dialect(tmp_path: Path, api: str) -> None:
    with simulate(ttft=0.005, itl=0.001, output_tokens=6, reasoning_tokens=2) as server:
        rows = measure(server.url, tmp_path, api=api)
    assert set(rows["success"]) == {1}
    assert (rows["output_text"].str.split().str.len() == 4).all()


@pytest.mark.parametrize("api", ["openai", "anthropic", "responses"])
def test_cached_tokens_are_stored(server: Simulated, tmp_path: Path, api: str) -> None:
    assert set(measure(server.url, tmp_path, api=api)["cached_tokens"]) == {4}


@pytest.mark.parametrize(("api", "dataset"), [("embeddings", "embedding"), ("rerank", "rerank")])
def test_what_answers_without_text_succeeds_with_no_output_tokens(
    server: Simulated, tmp_path: Path, api: str, dataset: str
) -> None:
    rows = measure(server.url, tmp_path, api=api, dataset=dataset, prompt=None)
    assert list(rows["success"]) == [1, 1], rows["error"].iloc[0]
    assert set(rows["completion_tokens"]) == {0}
    assert (rows["prompt_tokens"] > 0).all()


@pytest.mark.parametrize("style", ["vllm", "transformers", "llama.cpp"])
def test_streams_of_each_server_are_read_to_their_end(tmp_path: Path, style: Any) -> None:
    with simulate(ttft=0.005, itl=0.001, output_tokens=TOKENS, style=style) as server:
        rows = measure(server.url, tmp_path)
    assert list(rows["success"]) == [1, 1], rows["error"].iloc[0]
    assert (rows["output_text"].str.split().str.len() == TOKENS).all()


def test_dashscope_texts_that_grow_give_the_same_answer(server: Simulated, tmp_path: Path) -> None:
    rows = measure(server.url, tmp_path, api="dashscope", parameters={"incremental_output": False})
    assert set(rows["success"]) == {1}
    assert (rows["output_text"].str.split().str.len() == TOKENS).all()


@pytest.mark.parametrize("stream", [True, False])
def test_n_answers_are_read_apart_and_the_first_is_the_output(server: Simulated, tmp_path: Path, stream: bool) -> None:
    rows = measure(server.url, tmp_path, n_choices=2, stream=stream)
    assert list(rows["success"]) == [1, 1], rows["error"].iloc[0]
    assert (rows["output_text"].str.split().str.len() == TOKENS).all()


def test_without_usage_the_tokenizer_counts(tmp_path: Path) -> None:
    with simulate(ttft=0.005, itl=0.001, output_tokens=TOKENS, usage="never") as server:
        rows = measure(server.url, tmp_path, tokenizer_path="sample_data/tokenizer")
    assert set(rows["token_source"]) == {"tokenizer"}
    assert (rows["completion_tokens"] >= TOKENS).all()


def test_without_usage_and_tokenizer_counts_are_unknown_not_zero(tmp_path: Path) -> None:
    with simulate(ttft=0.005, itl=0.001, output_tokens=TOKENS, usage="never") as server:
        rows = measure(server.url, tmp_path)
    assert rows["completion_tokens"].isna().all()
    assert rows["token_source"].isna().all()
