"""Are the stamps of a user's own plugin as true as those of a built-in API?

    python benchmarks/plugins.py [--streams 64]
    PERFKIT_PEERS=evalscope=venv/bin python benchmarks/plugins.py     # beside evalscope's own transport

The plugins are of the generations the first users wrote: one that gives bodies and counts (A), one that inherits
the default transport (C), one that sends by itself and yields what it reads (B).
"""

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from clients import named

import perfkit as pk
from perfkit.apis.base import ApiPluginBase, DefaultApiPlugin
from perfkit.runner.calibration import lateness
from perfkit.simulator.truth import read_requests

TTFT, ITL, TOKENS = 0.100, 0.010, 32


class Counting(ApiPluginBase):
    """Generation A: bodies and counts of its own."""

    def build_request(self, messages: Any, param: Any = None) -> dict[str, Any]:
        return {"model": "m", "messages": messages, "stream": True, "max_tokens": TOKENS}

    def parse_responses(self, responses: list[Any], request: Any = None, **kwargs: Any) -> tuple[int, int]:
        return 1, len([text for text in responses if json.loads(text)["choices"]]) - 2


class Inheriting(DefaultApiPlugin):
    """Generation C: the default transport, bodies of its own."""

    def build_request(self, messages: Any, param: Any = None) -> dict[str, Any]:
        options = {"stream": True, "stream_options": {"include_usage": True}}
        return {"model": "m", "messages": messages, "max_tokens": TOKENS, **options}


class Sending(Counting):
    """Generation B: sends by itself, and yields line by line."""

    async def process_request(self, client_session: Any, url: str, headers: dict[str, str], body: Any) -> Any:
        async with client_session.request("POST", url=url, data=json.dumps(body), headers=headers) as response:
            async for line in response.content:
                text = line.decode().strip()
                if text.startswith("data: ") and text != "data: [DONE]":
                    yield False, response.status, text[6:]


@dataclass(frozen=True)
class Row:
    """Figures of one way to send, in milliseconds."""

    way: str
    requests: int
    late_p50: float
    late_p99: float
    ttft_error: float


def measure(way: str, api: type | None, streams: int, rounds: int) -> Row:
    """Measure with one plugin, against the simulator's log."""
    if api is not None:
        pk.register_api("plugin")(api)
    with tempfile.TemporaryDirectory() as name:
        db, log, chunk_log = (str(Path(name) / file) for file in ("run.db", "log.csv", "chunks.bin"))
        with pk.simulate(ttft=TTFT, itl=ITL, jitter=0.5, output_tokens=TOKENS, log=log, chunk_log=chunk_log) as server:
            pk.start(
                f"{server.url}/v1/chat/completions",
                model="m",
                api="plugin" if api else "openai",
                parallel=streams,
                number=streams * rounds,
                max_tokens=TOKENS,
                prompt="hello",
                db=db,
            ).wait()
        found = lateness(db, log, chunk_log)
    return Row(way, found.requests, found.every_p50 * 1e3, found.every_p99 * 1e3, found.ttft_error * 1e3)


def evalscope(command: str, streams: int, rounds: int) -> Row:
    """Measure with evalscope's own transport, judged by the same kind of log."""
    with tempfile.TemporaryDirectory() as name:
        log = Path(name) / "log.csv"
        with pk.simulate(ttft=TTFT, itl=ITL, jitter=0.5, output_tokens=TOKENS, log=str(log)) as server:
            words = [command, "perf", "--url", f"{server.url}/v1/chat/completions", "--model", "m", "--api", "openai"]
            words += ["--parallel", str(streams), "--number", str(streams * rounds), "--prompt", "hello", "--stream"]
            words += ["--max-tokens", str(TOKENS), "--outputs-dir", name, "--no-timestamp"]
            subprocess.run(words, check=True, capture_output=True, cwd=name)
        true = [(r.first_ns - r.recv_done_ns) / 1e6 for r in read_requests(log) if r.first_ns]
        summary = json.loads(next(Path(name).rglob("benchmark_summary.json")).read_text())
    told = next(value for key, value in summary.items() if "TTFT" in key)
    return Row("evalscope's transport", len(true), np.nan, np.nan, float(told) - float(np.mean(true)))


def main(words: list[str] | None = None) -> list[Row]:
    """Run the program; returns the figures too."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--streams", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=4)
    options = parser.parse_args(words)
    ways: dict[str, type | None] = {
        "built in": None,
        "generation A": Counting,
        "generation C": Inheriting,
        "generation B": Sending,
    }
    rows = [measure(way, api, options.streams, options.rounds) for way, api in ways.items()]
    if place := named().get("evalscope"):
        rows.append(evalscope(str(place / "evalscope"), options.streams, options.rounds))
    lines = ["| sender | n | chunks late p50 [ms] | p99 [ms] | TTFT error, mean [ms] |", "|---|---|---|---|---|"]
    lines += [f"| {r.way} | {r.requests} | {r.late_p50:.3f} | {r.late_p99:.3f} | {r.ttft_error:.3f} |" for r in rows]
    sys.stdout.write("\n".join(lines) + "\n")
    return rows


if __name__ == "__main__":
    main()
