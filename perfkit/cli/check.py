"""``perfkit check``: one request, and what the endpoint has to say for itself."""

import argparse
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, SupportsFloat

from perfkit.arguments import Arguments
from perfkit.cli.interruption import interruptible
from perfkit.cli.parser import add_options, given
from perfkit.cli.run import advise, require_success
from perfkit.records import Json

if TYPE_CHECKING:
    from perfkit.runs import Runs


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register ``check``."""
    check = subparsers.add_parser(
        "check",
        help="send one request and say what came back",
        usage="%(prog)s URL [--model NAME] [--prompt TEXT] [options]",
        description="Send one request: is anyone there, which model, does it count tokens, how does its stream begin?",
    )
    check.add_argument("url", help="the endpoint; a base URL gains the API's path")
    check.add_argument("--config", metavar="FILE", help="TOML, YAML or JSON file of these options")
    check.add_argument("--json", action="store_true", help="print JSON")
    add_options(check, ("target", "prompts", "body", "transport"), leave_out="url")
    check.set_defaults(function=check_endpoint)


def check_endpoint(options: argparse.Namespace) -> int:
    """Send one request and print what is known then."""
    words = given(options)
    advise(words)
    Arguments.from_mapping(words)
    with interruptible(), TemporaryDirectory(prefix="perfkit-check-") as folder:
        from perfkit.measure import check

        runs = check(db=f"{folder}/check.db", **words)
        require_success(runs)
        found = findings(runs)
    if options.json:
        from perfkit.cli.show import as_json

        print(as_json(found))
    else:
        print("\n".join(sentences(found)))
    return 0


def findings(runs: "Runs") -> dict[str, Json]:
    """Return what one request told about its endpoint; None where it told nothing."""
    request = runs.decoded().iloc[0]
    run = runs.table.iloc[0]
    kinds = set(runs.chunks["kind"]) if request["is_stream"] else set()
    return {
        "url": str(run["target"]),
        "model": str(run["model"]),
        "stream": bool(request["is_stream"]),
        "ttft": _number(request["ttft"]),
        "e2e": _number(request["e2e"]),
        "prompt_tokens": _number(request["prompt_tokens"]),
        "completion_tokens": _number(request["completion_tokens"]),
        "usage": request["token_source"] == "server",
        "role_chunk": "role" in kinds,
        "finish_reason": request["finish_reason"] or None,
        "output_text": request["output_text"],
    }


def sentences(found: dict[str, Json]) -> list[str]:
    """Say the findings, one a line.

    Examples
    --------
    >>> found = {"url": "http://h/v1", "model": "m", "stream": False, "e2e": 0.25, "output_text": "Hi"}
    >>> for line in sentences(found | {"usage": True, "prompt_tokens": 9, "completion_tokens": 1}):
    ...     print(line)
    endpoint    http://h/v1
    model       m
    answer      'Hi' in 250.0 ms
    stream      no: TTFT and ITL cannot be measured
    usage       from the server: 9 tokens in, 1 out
    """
    streamed, counted = found["stream"], found["usage"]
    lines = {
        "endpoint": found["url"],
        "model": found["model"],
        "answer": f"{_short(found['output_text'])!r} in {found['e2e'] * 1e3:.1f} ms",
        "stream": f"yes, TTFT {found['ttft'] * 1e3:.1f} ms" if streamed else "no: TTFT and ITL cannot be measured",
        "role chunk": streamed and ("yes, and it is not taken for a token" if found["role_chunk"] else "no"),
        "usage": f"from the server: {found['prompt_tokens']} tokens in, {found['completion_tokens']} out"
        if counted
        else "not from the server: give --tokenizer-path, or tokens are estimated",
    }
    return [f"{name:<11} {line}" for name, line in lines.items() if line]


def _number(value: SupportsFloat) -> float | int | None:
    number = float(value)
    if number != number:
        return None
    return int(number) if number.is_integer() else number


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:60]}..."
