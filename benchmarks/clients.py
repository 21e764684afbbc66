"""The load generators that are compared: how each is told a closed load, and what its own report says."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import perfkit as pk

TOKENIZER = Path(__file__).parents[1] / "sample_data" / "tokenizer"
MODEL = "paced"
PROMPT = "Say something about the sea."

Metric = Literal["ttft", "itl", "tpot", "e2e"]
METRICS: tuple[Metric, ...] = ("ttft", "itl", "tpot", "e2e")


@dataclass(frozen=True)
class Load:
    """A closed load: so many streams, each sending its next request when the last was answered."""

    url: str
    """Base URL of the server."""
    streams: int
    number: int
    tokens: int


@dataclass(frozen=True)
class Figures:
    """One metric as a tool reports it, in seconds; NaN where it reports none."""

    mean: float = math.nan
    p50: float = math.nan
    p99: float = math.nan

    def times(self, factor: float) -> "Figures":
        """Return the figures in another unit."""
        return Figures(self.mean * factor, self.p50 * factor, self.p99 * factor)


@dataclass(frozen=True)
class Report:
    """What a tool says of its run."""

    requests: int
    figures: Mapping[Metric, Figures]
    verdict: str = "-"
    """What the tool says of its own run's trustworthiness; no other than perfkit says anything."""


@dataclass(frozen=True)
class Client:
    """A load generator: its packages, its command (from bin folder, load, output folder), its report's reader."""

    name: str
    packages: tuple[str, ...]
    command: Callable[[Path, Load, Path], Sequence[str]]
    report: Callable[[Path], Report]
    environment: Mapping[str, str] = field(default_factory=dict)


OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}


def _number(text: Any) -> float:
    return float(text) if text is not None else math.nan


# perfkit -----------------------------------------------------------------------------------------------------------


def _perfkit_command(folder: Path, load: Load, output: Path) -> list[str]:
    words = [str(folder / Path(sys.executable).name), "-m", "perfkit", "run", "--url", load.url, "--model", MODEL]
    words += ["--parallel", str(load.streams), "--number", str(load.number), "--prompt", PROMPT]
    return [*words, "--max-tokens", str(load.tokens), "--db", str(output / "run.db")]


def _perfkit_report(output: Path) -> Report:
    runs = pk.open(output / "run.db")
    told = runs.percentiles(list(METRICS), [50, 99]).droplevel("run")
    figures: dict[Metric, Figures] = {metric: Figures(*told.loc[metric, ["mean", "p50", "p99"]]) for metric in METRICS}
    return Report(int(told.loc["ttft", "n"]), figures, str(runs.table["verdict"].iloc[0]))


# evalscope ---------------------------------------------------------------------------------------------------------


def _evalscope_command(folder: Path, load: Load, output: Path) -> list[str]:
    words = [str(folder / "evalscope"), "perf", "--url", f"{load.url}/v1/chat/completions", "--model", MODEL]
    words += ["--api", "openai", "--parallel", str(load.streams), "--number", str(load.number), "--prompt", PROMPT]
    return [*words, "--stream", "--max-tokens", str(load.tokens), "--outputs-dir", str(output), "--no-timestamp"]


def _evalscope_report(output: Path) -> Report:
    summary = json.loads(next(output.rglob("benchmark_summary.json")).read_text())
    rows = json.loads(next(output.rglob("benchmark_percentile.json")).read_text())
    percents = {row["Percentiles"]: row for row in rows}
    columns: dict[Metric, str] = {
        "ttft": "TTFT (ms)",
        "itl": "ITL (ms)",
        "tpot": "TPOT (ms)",
        "e2e": "Latency (s)",
    }
    figures = {
        metric: Figures(summary[f"Avg {name}"], percents["50%"][name], percents["99%"][name]).times(
            1e-3 if name.endswith("(ms)") else 1
        )
        for metric, name in columns.items()
    }
    return Report(summary["Success Requests"], figures)


# guidellm ----------------------------------------------------------------------------------------------------------


def _guidellm_command(folder: Path, load: Load, output: Path) -> list[str]:
    words = [str(folder / "guidellm"), "run", "--disable-console-interactive"]
    words += ["--backend", f"kind=openai_http,target={load.url},model={MODEL},request_format=/v1/chat/completions"]
    words += ["--profile", f"kind=concurrent,streams={load.streams}"]
    words += ["--constraint", f"kind=max_requests,count={load.number}"]
    words += ["--data", f"kind=synthetic_text,prompt_tokens=16,output_tokens={load.tokens}"]
    return [
        *words,
        "--tokenizer",
        f"kind=hf_auto,model={TOKENIZER}",
        "--output",
        f"kind=json,path={output}/report.json",
    ]


def _guidellm_report(output: Path) -> Report:
    benchmark = json.loads(next(output.glob("*.json")).read_text())["benchmarks"][0]
    columns: dict[Metric, tuple[str, float]] = {
        "ttft": ("time_to_first_token_ms", 1e-3),
        "itl": ("inter_token_latency_ms", 1e-3),
        "tpot": ("time_per_output_token_ms", 1e-3),
        "e2e": ("request_latency", 1),
    }
    figures = {}
    for metric, (name, scale) in columns.items():
        found = benchmark["metrics"][name]["successful"]
        figures[metric] = Figures(found["mean"], found["percentiles"]["p50"], found["percentiles"]["p99"]).times(scale)
    return Report(len(benchmark["requests"]["successful"]), figures)


# aiperf ------------------------------------------------------------------------------------------------------------


def _aiperf_command(folder: Path, load: Load, output: Path) -> list[str]:
    words = [str(folder / "aiperf"), "profile", "--model", MODEL, "--url", load.url, "--endpoint-type", "chat"]
    words += ["--streaming", "--concurrency", str(load.streams), "--request-count", str(load.number)]
    words += ["--isl", "16", "--osl", str(load.tokens), "--tokenizer", str(TOKENIZER), "--use-server-token-count"]
    return [*words, "--artifact-dir", str(output), "--ui", "none"]


def _aiperf_report(output: Path) -> Report:
    told = json.loads(next(output.rglob("profile_export_aiperf.json")).read_text())
    columns: dict[Metric, str] = {
        "ttft": "time_to_first_token",
        "itl": "inter_token_latency",
        "e2e": "request_latency",
    }
    figures: dict[Metric, Figures] = {"tpot": Figures()}
    for metric, name in columns.items():
        figures[metric] = Figures(told[name]["avg"], told[name]["p50"], told[name]["p99"]).times(1e-3)
    return Report(round(told["request_count"]["avg"]), figures)


# llmeter -----------------------------------------------------------------------------------------------------------

LLMETER = """
import asyncio, sys
from llmeter.endpoints.openai import OpenAICompletionStreamEndpoint
from llmeter.runner import Runner

url, model, prompt, streams, number, tokens, output = sys.argv[1:]
endpoint = OpenAICompletionStreamEndpoint(model, api_key="none", base_url=url + "/v1")
payload = OpenAICompletionStreamEndpoint.create_payload(prompt, max_tokens=int(tokens))
runner = Runner(endpoint, output_path=output)
asyncio.run(runner.run(payload=payload, clients=int(streams), n_requests=int(number) // int(streams)))
"""
"""llmeter is a library: the shortest program that uses it as its documentation does."""


def _llmeter_command(folder: Path, load: Load, output: Path) -> list[str]:
    numbers = [str(load.streams), str(load.number), str(load.tokens)]
    return [str(folder / "python"), "-c", LLMETER, load.url, MODEL, PROMPT, *numbers, str(output)]


def _llmeter_report(output: Path) -> Report:
    told = json.loads(next(output.rglob("stats.json")).read_text())
    columns: dict[Metric, str] = {
        "ttft": "time_to_first_token",
        "tpot": "time_per_output_token",
        "e2e": "time_to_last_token",
    }
    figures: dict[Metric, Figures] = {"itl": Figures()}
    for metric, name in columns.items():
        figures[metric] = Figures(*(_number(told.get(f"{name}-{which}")) for which in ("average", "p50", "p99")))
    return Report(told["total_requests"] - told["failed_requests"], figures)


# vLLM and sglang ---------------------------------------------------------------------------------------------------

RANDOM = ("--tokenizer", str(TOKENIZER), "--random-input-len", "16", "--random-output-len")


def _vllm_command(folder: Path, load: Load, output: Path) -> list[str]:
    words = [str(folder / "vllm"), "bench", "serve", "--backend", "openai-chat", "--base-url", load.url]
    words += ["--endpoint", "/v1/chat/completions", "--model", MODEL, "--dataset-name", "random", *RANDOM]
    words += [str(load.tokens), "--max-concurrency", str(load.streams), "--num-prompts", str(load.number)]
    words += ["--percentile-metrics", "ttft,tpot,itl,e2el", "--metric-percentiles", "50,99"]
    return [*words, "--save-result", "--save-detailed", "--result-dir", str(output), "--result-filename", "result.json"]


def _vllm_report(output: Path) -> Report:
    return _flat_report(json.loads((output / "result.json").read_text()), "e2el", "p50")


def _sglang_command(folder: Path, load: Load, output: Path) -> list[str]:
    words = [str(folder / "python"), "-m", "sglang.bench_serving", "--backend", "sglang-oai-chat"]
    words += ["--base-url", load.url, "--model", MODEL, "--dataset-name", "random-ids", *RANDOM, str(load.tokens)]
    words += ["--random-range-ratio", "1", "--max-concurrency", str(load.streams), "--num-prompts", str(load.number)]
    return [*words, "--output-details", "--output-file", str(output / "result.jsonl")]


def _sglang_report(output: Path) -> Report:
    return _flat_report(json.loads((output / "result.jsonl").read_text()), "e2e_latency", "median")


def _flat_report(told: Mapping[str, Any], e2e: str, median: str) -> Report:
    names = dict(zip(METRICS, ("ttft", "itl", "tpot", e2e), strict=True))
    figures = {
        metric: Figures(*(told[f"{which}_{name}_ms"] for which in ("mean", median, "p99"))).times(1e-3)
        for metric, name in names.items()
    }
    return Report(told["completed"], figures)


CLIENTS: Mapping[str, Client] = {
    client.name: client
    for client in (
        Client("perfkit", (), _perfkit_command, _perfkit_report),
        Client("evalscope", ("evalscope[perf]==1.14.1",), _evalscope_command, _evalscope_report, OFFLINE),
        Client("guidellm", ("guidellm==0.8.1",), _guidellm_command, _guidellm_report, OFFLINE),
        # Offline, this one refuses a tokenizer in a folder.
        Client("aiperf", ("aiperf==0.13.0",), _aiperf_command, _aiperf_report),
        # aiobotocore names the boto3 that it fits; without it pip tries hundreds of pairs.
        Client(
            "llmeter", ("llmeter[openai]==0.2.0", "aiobotocore[boto3]>=3", "httpx"), _llmeter_command, _llmeter_report
        ),
        Client("vllm", (), _vllm_command, _vllm_report, OFFLINE | {"VLLM_NO_USAGE_STATS": "1"}),
        Client("sglang", (), _sglang_command, _sglang_report, OFFLINE),
    )
}
"""Every client by name; without packages those that come only with a whole server, see ``benchmarks/README.md``."""


def install(name: str, folder: Path, patience: float = 600) -> Path:
    """Install a client in a virtual environment of its own, once; return its bin folder.

    Raises
    ------
    subprocess.SubprocessError
        It cannot be installed, or not in time.
    """
    place, whole = folder / name, folder / name / "installed"
    if not whole.exists():
        venv = [sys.executable, "-m", "venv", "--without-pip", str(place)]
        pip = [sys.executable, "-m", "pip", "--python", str(place / "bin" / "python"), "install", "--quiet"]
        for words in (venv, [*pip, *CLIENTS[name].packages]):
            subprocess.run(words, check=True, timeout=patience, capture_output=True)
        whole.touch()
    return place / "bin"


def named(given: Sequence[str] = ()) -> dict[str, Path]:
    """Return the bin folders that words ``NAME=BIN`` name, those of ``PERFKIT_PEERS`` first.

    Raises
    ------
    ValueError
        A name is unknown.
    """
    found = {}
    for word in [*os.environ.get("PERFKIT_PEERS", "").split(), *given]:
        name, _, place = word.partition("=")
        if name not in CLIENTS or not place:
            raise ValueError(f"a peer is NAME=BIN with a name of {', '.join(CLIENTS)}; got {word!r}")
        found[name] = Path(place).absolute()
    return found


def located(
    given: Sequence[str], folder: Path | None, wanted: Collection[str] = CLIENTS
) -> tuple[dict[str, Path], list[str]]:
    """Return the bin folder of each client, and a sentence for each that is skipped.

    Parameters
    ----------
    given : sequence of str
        ``NAME=BIN``, beside those of ``PERFKIT_PEERS``.
    folder : Path, optional
        Where to install those that were not given; without it they are skipped.
    wanted : collection of str
        Names of clients; the others are passed over without a word.

    Raises
    ------
    ValueError
        A name is unknown.
    """
    found = {"perfkit": Path(sys.executable).parent, **named(given)}
    skipped = []
    for name, client in CLIENTS.items():
        if name not in wanted:
            continue
        if name not in found and not client.packages:
            skipped.append(f"{name} skipped: it comes only with a whole server; --peer {name}=BIN names one installed.")
        elif name not in found and folder is None:
            skipped.append(f"{name} skipped: neither --peer {name}=BIN (or PERFKIT_PEERS) nor --install was given.")
        elif name not in found and folder is not None:
            try:
                found[name] = install(name, folder.absolute())
            except subprocess.SubprocessError as error:
                skipped.append(f"{name} skipped: it could not be installed ({error}).")
    return found, skipped
