"""perfkit against servers and gateways that nobody here wrote, beside what the official client reads of them.

    python benchmarks/real_servers.py                        # runs what is installed, says what it skips and why
    python benchmarks/real_servers.py --install llama.cpp    # makes its environment first, and shows the command

Each server lives in a virtual environment of its own under ``~/.cache/perfkit/servers`` (``--cache`` names another
folder), since their requirements conflict. Gateways are nginx and HAProxy of the system, before llama.cpp. Every prompt
is sent once to fill the server's cache, then by the official client, then by perfkit; text, finish reason, counts and
cached tokens must be equal.
"""

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from time import monotonic, sleep
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import pandas as pd

import perfkit as pk

HERE = Path(__file__).parent
TOKENIZER = HERE.parent / "sample_data/tokenizer"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "perfkit/servers"
STARTING = 180.0  # s that a loaded machine may take to import torch
TOKENS = 12
PROMPTS = ("Why is the sky dark at night?", "Name three rivers.", "What is the sea made of?", "How do magnets work?")
COMPARED = ("text", "finish_reason", "prompt_tokens", "completion_tokens", "cached_tokens")

Command = Sequence[str | Path]


@dataclass(frozen=True)
class Server:
    """A server: what its environment needs, how to start it, and what is special about it."""

    name: str
    packages: tuple[str, ...]
    command: Callable[[Path, Path, int], Command]
    """From the environment's folder of programs, a folder for files, and a port."""
    prepare: Callable[[Path, Path], Command] | None = None
    model: Callable[[Path], str] = lambda folder: "tiny"
    ready: str = "/v1/models"
    variables: Mapping[str, str] = field(default_factory=dict)
    differs: frozenset[str] = frozenset()
    """What such a server makes up anew for each request, so that no two answers can be compared in it."""
    ways: tuple[str, ...] = ("stream", "whole")
    """In which ways it is asked, see ``WAYS``."""


@dataclass(frozen=True)
class Way:
    """A way to ask a server: what the official client sends, and what perfkit does for the same answer."""

    api: str
    path: str
    theirs: Callable[[str, str], dict[str, Any]]
    """From model and prompt."""
    ours: Callable[[str, str], dict[str, Any]]
    compared: tuple[str, ...] = COMPARED


def _chat(model: str, prompt: str) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": prompt}], "max_tokens": TOKENS, "temperature": 0}


STREAM = {"stream": True, "stream_options": {"include_usage": True}}


def _streamed(model: str, prompt: str) -> dict[str, Any]:
    return {**_chat(model, prompt), **STREAM}


def _whole(model: str, prompt: str) -> dict[str, Any]:
    return {**_chat(model, prompt), "stream": False}


def _input(model: str, prompt: str) -> dict[str, Any]:
    return {"model": model, "input": [prompt]}


def _completed(model: str, prompt: str) -> dict[str, Any]:
    return {"model": model, "prompt": prompt, "max_tokens": TOKENS, "temperature": 0, **STREAM}


def _native(model: str, prompt: str) -> dict[str, Any]:
    return {"prompt": prompt, "n_predict": TOKENS, "temperature": 0, "stream": True}


WAYS = {
    "stream": Way("openai", "/v1/chat/completions", _streamed, _streamed),
    "whole": Way("openai", "/v1/chat/completions", _whole, _whole),
    "embeddings": Way("embeddings", "/v1/embeddings", _input, _input, ("prompt_tokens",)),
    # The native API calls its finish reasons otherwise.
    "llama_cpp": Way(
        "llama_cpp", "/completion", _completed, _native, tuple(n for n in COMPARED if n != "finish_reason")
    ),
}


def _litellm(programs: Path, folder: Path, port: int) -> Command:
    path = folder / "litellm.yaml"
    answer = {"model": "openai/tiny", "api_key": "none", "mock_response": "Salt water covers most of it, and it moves."}
    models = [{"model_name": "tiny", "litellm_params": answer}]
    # Without a key it starts only when told to; it listens on the loopback interface and has nothing to protect.
    general = {"dangerously_permit_weak_or_unset_master_key": True}
    path.write_text(json.dumps({"model_list": models, "general_settings": general}))  # JSON is YAML
    return [programs / "litellm", "--config", path, "--host", "127.0.0.1", "--port", str(port)]


SERVERS = {
    server.name: server
    for server in (
        Server(
            "llama.cpp",
            ("xllamacpp", "gguf", "numpy"),
            lambda programs, folder, port: [
                *(programs / "python", HERE / "servers/llamacpp.py", TOKENIZER, folder / "tiny.gguf", str(port)),
            ],
            ready="/health",
            ways=("stream", "whole", "llama_cpp"),
        ),
        Server(
            "transformers",
            ("transformers[serving]", "torch==2.13.0", "accelerate"),
            lambda programs, folder, port: [
                *(programs / "transformers", "serve", folder / "tiny", "--device", "cpu"),
                *("--host", "127.0.0.1", "--port", str(port)),
            ],
            prepare=lambda programs, folder: [
                *(programs / "python", HERE / "servers/transformers_model.py", TOKENIZER, folder / "tiny"),
            ],
            model=lambda folder: str(folder / "tiny"),
            ready="/health",
        ),
        Server(
            "LiteLLM",
            ("litellm[proxy]",),
            _litellm,
            ready="/health/liveliness",
            variables={"LITELLM_LOCAL_MODEL_COST_MAP": "True"},  # else it asks the internet for prices
        ),
        Server(
            "guidellm-mock",
            ("guidellm", "torch==2.13.0"),
            lambda programs, folder, port: [
                *(programs / "guidellm", "mock-server", "--host", "127.0.0.1", "--port", str(port)),
                *("--model", "tiny", "--output-tokens", str(TOKENS)),
                *("--ttft-ms", "50", "--itl-ms", "5"),
            ],
            ready="/health",
            differs=frozenset({"text"}),
        ),
        Server(
            "infinity",
            ("infinity-emb[server,torch]", "torch==2.13.0"),
            lambda programs, folder, port: [
                *(programs / "infinity_emb", "v2", "--model-id", folder / "tiny"),
                *("--served-model-name", "tiny", "--engine", "torch", "--device", "cpu", "--no-bettertransformer"),
                *("--host", "127.0.0.1", "--port", str(port), "--url-prefix", "/v1"),
            ],
            prepare=lambda programs, folder: [
                *(
                    programs / "python",
                    HERE / "servers/transformers_model.py",
                    TOKENIZER,
                    folder / "tiny",
                    "--embedding",
                ),
            ],
            ways=("embeddings",),
        ),
    )
}
CLIENT = "openai-client"
CLIENT_PACKAGES = ("openai",)


NGINX = """
daemon off; worker_processes 1; pid $folder/nginx.pid; error_log $folder/error.log;
events { worker_connections 64; }
http {
  access_log off; client_body_temp_path $folder; proxy_temp_path $folder; fastcgi_temp_path $folder;
  uwsgi_temp_path $folder; scgi_temp_path $folder;
  server {
    listen 127.0.0.1:$port;
    location / { proxy_pass http://127.0.0.1:$upstream; proxy_http_version 1.1; $choice }
  }
}
"""
HAPROXY = """
global
  maxconn 64
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  $choice
frontend all
  bind 127.0.0.1:$port
  default_backend model
backend model
  server one 127.0.0.1:$upstream
"""


@dataclass(frozen=True)
class Gateway:
    """A proxy of the system before a server, with its defaults or with one setting changed."""

    program: str
    settings: str
    choice: str = ""

    @property
    def name(self) -> str:
        """What the table calls it."""
        return f"{self.program}, {self.choice}" if self.choice else self.program

    def command(self, folder: Path, port: int, upstream: int) -> Command:
        """Write the settings and return the command that serves by them."""
        path = folder / f"{self.program}.conf"
        filled = Template(self.settings).substitute(folder=folder, port=port, upstream=upstream, choice=self.choice)
        path.write_text(filled)
        return [self.program, "-c" if self.program == "nginx" else "-f", path]


GATEWAYS = (
    Gateway("nginx", NGINX),
    Gateway("nginx", NGINX, "proxy_buffering off;"),
    Gateway("haproxy", HAPROXY),
    Gateway("haproxy", HAPROXY, "option http-no-delay"),
)


def main() -> None:
    """Measure what is there and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--install", nargs="*", metavar="SERVER", help="make these environments first; none: all")
    parser.add_argument("--only", nargs="+", metavar="SERVER", help="leave the others out")
    parser.add_argument("--cache", type=Path, default=CACHE, help=f"folder of the environments, default {CACHE}")
    given = parser.parse_args()
    for name in (given.install or [*SERVERS]) if given.install is not None else []:
        install(given.cache / name, SERVERS[name].packages)
    if given.install is not None:
        install(given.cache / CLIENT, CLIENT_PACKAGES)
    client = given.cache / CLIENT / "bin/python"
    if not client.exists():
        sys.exit(f"the official client is not installed; first:\n  {_how(given.cache / CLIENT, CLIENT_PACKAGES)}")
    lines, skipped, failed = [], [], []
    for name, server in SERVERS.items():
        if given.only and name not in given.only:
            continue
        programs = given.cache / name / "bin"
        if not programs.exists():
            skipped.append(f"{name}: not installed; {_how(given.cache / name, server.packages)}")
            continue
        try:
            lines += list(measure(server, programs, client, given.cache / name / "files", skipped))
        except RuntimeError as error:
            failed.append(f"{name}: {error}")
    print_table(lines)
    for each in skipped:
        print(f"skipped: {each}")
    for each in failed:
        print(f"failed: {each}")
    sys.exit(bool(failed) or not all(line[-1].startswith("equal") for line in lines))


def _how(folder: Path, packages: Sequence[str]) -> str:
    return f"python -m venv {folder} && {folder}/bin/pip install {' '.join(map(repr, packages))}"


def install(folder: Path, packages: Sequence[str]) -> None:
    """Make a virtual environment, showing the command."""
    print(_how(folder, packages), flush=True)
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    subprocess.run([folder / "bin/pip", "install", "--quiet", *packages], check=True)


def measure(server: Server, programs: Path, client: Path, folder: Path, skipped: list[str]) -> Iterator[list[str]]:
    """Yield a line of the table for each way to a server."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "home/hub").mkdir(parents=True, exist_ok=True)  # transformers answers 500 without it
    if server.prepare:
        done = subprocess.run(server.prepare(programs, folder), capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"could not make its model: {done.stderr.strip().splitlines()[-1]}")
    port = free_port()
    offline = {"HF_HOME": str(folder / "home"), "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    with running(server.command(programs, folder, port), port, server.ready, offline | dict(server.variables)):
        model = server.model(folder)
        for way in server.ways:
            yield [server.name, "", *line(f"http://127.0.0.1:{port}", model, client, server, way)]
        for gateway in GATEWAYS if server.name == "llama.cpp" else ():
            if not shutil.which(gateway.program):
                skipped.append(f"{gateway.name}: not installed; apt-get install {gateway.program}")
                continue
            through = free_port()
            with running(gateway.command(folder, through, port), through, server.ready):
                yield [server.name, gateway.name, *line(f"http://127.0.0.1:{through}", model, client, server)]


def line(url: str, model: str, client: Path, server: Server, named: str = "stream") -> list[str]:
    """Send the prompts three times and return what a line of the table says."""
    way = WAYS[named]
    theirs, ours = answers(url, model, client, way)
    good = [row for row in ours if row["success"]]
    names = tuple(name for name in way.compared if name not in server.differs)
    wrong = [
        f"{name} {mine[name]!r} for {their[name]!r}"
        for mine, their in zip(ours, theirs, strict=True)
        for name in names
        if mine[name] != their[name]
    ]
    failed = next((str(row["error"]) for row in ours if not row["success"]), "")
    times = [row["ttft"] for row in good if row["ttft"] is not None]
    ttft = f"{1e3 * sum(times) / len(times):.1f}" if times else "–"
    said = f"differs: {wrong[0]}" if wrong else f"equal in {', '.join(names)}"
    return [named, str(len(good)), ttft, failed or said]


def answers(url: str, model: str, client: Path, way: Way) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return what the official client and perfkit read of the answers to the same questions, prompt by prompt."""
    bodies = [way.theirs(model, prompt) for prompt in PROMPTS]
    # Each reads all of them after the same ones went before, so that the server's cache is in one state for both.
    asked = json.dumps({"url": f"{url}/v1", "bodies": bodies + bodies})
    script = [client, HERE / "servers/openai_client.py"]
    done = subprocess.run(script, input=asked, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the official client failed: {done.stderr.strip().splitlines()[-1]}")
    ours = [way.ours(model, prompt) for prompt in PROMPTS]
    return json.loads(done.stdout)[len(bodies) :], _measured(url + way.path, way.api, ours)


def _measured(url: str, api: str, bodies: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what perfkit stores of the answers to some bodies, sent one after the other."""
    streamed = {"stream": bodies[0]["stream"]} if "stream" in bodies[0] else {}
    with tempfile.TemporaryDirectory() as folder:
        given = {
            "number": len(bodies),
            "parallel": 1,
            "preflight": False,
            "db": str(Path(folder, "run.db")),
            **streamed,
        }
        pk.start(url, api=api, dataset=bodies, **given).wait()
        rows = pk.open(given["db"]).decoded().sort_values("seq").to_dict("records")
    names = (*COMPARED[1:], "ttft", "error")
    return [
        {"text": row.get("output_text") or "", "success": row["success"]}
        | {name: None if pd.isna(row.get(name)) else row[name] for name in names}
        for row in rows
    ]


def free_port() -> int:
    """Return a port of the loopback interface that is free now."""
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port: int = free.getsockname()[1]
    return port


@contextmanager
def running(command: Command, port: int, ready: str, variables: Mapping[str, str] | None = None) -> Iterator[None]:
    """Run a server until the block ends; entered when it answers."""
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **(variables or {})})
        try:
            _await(f"http://127.0.0.1:{port}{ready}", process, log)
            yield
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _await(url: str, process: "subprocess.Popen[Any]", log: Any) -> None:
    until = monotonic() + STARTING
    while monotonic() < until and process.poll() is None:
        try:
            with urlopen(url, timeout=5) as answer:
                if answer.status == 200:
                    return
        except (HTTPError, URLError, ConnectionError, TimeoutError):
            sleep(0.2)
    log.seek(0)
    said = log.read().strip().splitlines()[-1:] or ["nothing"]
    raise RuntimeError(f"did not start ({'ended' if process.poll() is not None else 'no answer'}): {said[0]}")


def print_table(lines: Sequence[Sequence[str]]) -> None:
    """Print the table as Markdown."""
    print("| server | through | answer | succeeded | TTFT ms | beside the official client |")
    print("|---|---|---|---|---|---|")
    for each in lines:
        print("| " + " | ".join(each).replace("\n", " ") + " |")


if __name__ == "__main__":
    main()
