"""``perfkit check``: one request, and what the endpoint has to say for itself."""

import argparse
import json
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, SupportsFloat
from urllib.parse import urlsplit

from perfkit.analysis.text_table import plain
from perfkit.apis import dialect_of
from perfkit.apis.answers import read_message
from perfkit.cli.interruption import interruptible
from perfkit.cli.jobs import advise, require_success
from perfkit.cli.json_output import add_json, to_json
from perfkit.cli.parser import add_config, add_options, given
from perfkit.options.arguments import Arguments
from perfkit.records import Answer, Json, Kind
from perfkit.registry import APIS

if TYPE_CHECKING:
    from perfkit.analysis.results.runs import Runs


DESCRIPTION = (
    "Send one request: is anyone there, which model, does it count tokens, how does its stream begin? "
    "Exit status: 0 the answer can be measured, 2 the options are wrong or the model is not known, 3 no answer or "
    "one that cannot be measured; what came is printed in any case."
)
USAGE = "%(prog)s URL [--model NAME] [--prompt TEXT] [options]"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``check`` takes."""
    parser.add_argument("url", help="the endpoint; a base URL gains the API's path")
    add_config(parser)
    add_json(parser)
    add_options(parser, ("target", "prompts", "body", "transport"), leave_out="url")


def run(options: argparse.Namespace) -> int:
    """Send one request and print what is known then."""
    words = given(options)
    advise(words)
    arguments = Arguments.from_mapping(words)
    with interruptible(), TemporaryDirectory(prefix="perfkit-check-") as folder:
        from perfkit.runner.start import check

        runs = check(db=f"{folder}/check.db", **words)
        found = findings(runs)
        found["published"] = published(arguments) if found["success"] else None
        if options.json:
            print(to_json(found))
        else:
            print("\n".join(map(plain, sentences(found))))
        return require_success(runs)


def findings(runs: "Runs") -> dict[str, Json]:
    """Return what one request told about its endpoint; None where it told nothing."""
    from perfkit.analysis.results.aggregates import doubts  # pandas, which the help does not need

    request = runs.decoded(raw=True).iloc[0]
    run = runs.table.iloc[0]
    kinds = set(runs.chunks["kind"])
    messages = [_decoded(text) for text in request["response_messages"] or () if isinstance(text, str)]
    dialect = next(filter(None, map(dialect_of, messages)), None)
    return {
        "url": str(run["target"]),
        "model": _text(run["model"]),
        "status": _number(request["status_code"]),
        "success": bool(request["success"]),
        "answer": _answer(_text(request["output_text"]), messages, kinds, dialect),
        "dialect": APIS.name_of(dialect) if dialect else None,
        "stream": bool(request["is_stream"]),
        "stream_asked": "not_streamed" in (_text(request["flags"]) or "") or bool(request["is_stream"]),
        "ttft": _number(request["ttft"]),
        "e2e": _number(request["e2e"]),
        "prompt_tokens": _number(request["prompt_tokens"]),
        "completion_tokens": _number(request["completion_tokens"]),
        "usage": request["token_source"] == "server",
        "timings": [words for name, words in _TIMINGS.items() if _number(request[name]) is not None],
        "role_chunk": bool(request["is_stream"]) and "role" in kinds,
        "finish_reason": _text(request["finish_reason"]),
        "output_text": _text(request["output_text"]),
        "error_kind": _text(request["error_kind"]),
        "error": _text(request["error"]),
        "notes": [said for each in runs.members for flag, said in doubts(each).items() if flag != "not_streamed"],
        "advice": _advice(str(run["api"]), str(run["target"]), dialect, bool(request["success"])),
    }


def published(arguments: Arguments) -> dict[str, Json]:
    """Look at the page that a server may publish beside an endpoint: what it tells, or why there is none."""
    from perfkit.analysis.query.server import columns_told
    from perfkit.loadgen.scraping.page import NothingPublished, PublishedAt, beside

    page = PublishedAt.of(arguments, beside(arguments.address))
    try:
        series = page.read().values
    except NothingPublished as error:
        return {"url": page.shown, "series": 0, "told": [], "problem": str(error)}
    told = columns_told((each.name, dict(each.labels)) for each in series)
    return {"url": page.shown, "series": len(series), "told": told, "problem": None}


def sentences(found: dict[str, Json]) -> list[str]:
    """Say the findings, one a line.

    Examples
    --------
    >>> found = {"url": "http://h/v1", "model": "m", "success": True, "stream": False, "stream_asked": True}
    >>> found |= {"e2e": 0.25, "answer": "'Hi'", "usage": True, "prompt_tokens": 9, "completion_tokens": 1}
    >>> for line in sentences(found):
    ...     print(line)
    endpoint    http://h/v1
    model       m
    answer      'Hi' in 250.0 ms
    stream      no, although it was asked for: TTFT and ITL cannot be measured
    usage       from the server: 9 tokens in, 1 out
    """
    if not found["success"]:
        lines = {
            "endpoint": found["url"],
            "model": found["model"],
            "answer": f"not usable ({found['error_kind']}): {plain(found['error'])}",
            "advice": found["advice"],
        }
        return [f"{name:<11} {line}" for name, line in lines.items() if line]
    streamed, asked = found["stream"], found["stream_asked"]
    whole = f"no{', although it was asked for' if asked else ''}: TTFT and ITL cannot be measured"
    counts = [str(found[name]) if found[name] is not None else "unknown" for name in _COUNTS]
    lines = {
        "endpoint": found["url"],
        "model": found["model"],
        "answer": f"{found['answer']} in {_ms(found['e2e'])}",
        "stream": f"yes, TTFT {_ms(found['ttft'])}" if streamed else whole,
        "role chunk": streamed and ("yes, and it is not taken for a token" if found["role_chunk"] else "no"),
        "usage": f"from the server: {counts[0]} tokens in, {counts[1]} out"
        if found["usage"]
        else "not from the server: give --tokenizer-path, or tokens are estimated",
        "metrics": _metrics(found["published"]) if found.get("published") else None,
        "timings": f"from the server: {', '.join(found['timings'])}" if found.get("timings") else None,
        "advice": found.get("advice"),
    }
    notes = [("note", note) for note in found.get("notes", ())]
    return [f"{name:<11} {line}" for name, line in (*lines.items(), *notes) if line]


def _metrics(page: dict[str, Json]) -> str:
    """Say whether there is something to scrape."""
    if page["problem"]:
        return f"none to scrape at {page['url']}: {page['problem']}"
    told = ", ".join(name.replace("_", " ") for name in page["told"])
    known = (
        f"it tells {told}; --scrape reads it during a run" if told else "none of a name known here; --scrape keeps them"
    )
    return f"{page['series']:,} series at {page['url']}: {known}"


_COUNTS = ("prompt_tokens", "completion_tokens")
_TIMINGS = {"server_queue": "queue", "server_prefill": "prefill", "server_ttft": "TTFT", "server_decode": "decoding"}
"""Metrics that are a server's own word, as they are called here."""


def _answer(text: str | None, messages: list[Json], kinds: set[str], dialect: Any) -> str:
    """Say what came: text, a tool call, reasoning, embeddings, a ranking, or no text."""
    read = Answer()
    for read.message, message in enumerate(messages):
        read_message(message, read)
    parts = [_short(text)] if text else []
    for kind, name in ((Kind.TOOL, "a tool call"), (Kind.REASONING, "reasoning")):
        told = "".join(piece[2] for piece in read.pieces if piece[0] is kind)
        if kind.name.lower() in kinds and (kind is Kind.TOOL or not parts):
            parts.append(f"{name}: {_short(told)}" if told else name)
    if not parts and dialect is not None and dialect.answers_with != "text":
        parts = [_listed(messages[0], dialect.answers_with)]
    return " and ".join(parts) or "no text (the content is null or empty)"


def _listed(message: Json, name: str) -> str:
    """Say how many things a list holds, and how long each is where they are embeddings."""
    held = message if isinstance(message, list) else next(filter(None, map(message.get, _LISTS)), [])
    first = held[0] if isinstance(held, list) and held else None
    first = first.get("embedding") if isinstance(first, dict) else first
    size = f" of {len(first):,} numbers" if isinstance(first, list) else ""
    return f"{name}: {len(held):,}{size}"


_LISTS = ("data", "embeddings", "results")


def _advice(api: str, url: str, dialect: Any, success: bool) -> str | None:
    """Say which ``--api`` to give, where the answer or the path is another's than the one that was asked with."""
    used = APIS.get(api)
    reads = getattr(used, "read_answer", None)
    if dialect is not None and reads is not None and reads is not dialect.read_answer:
        return f"the answer is in the dialect of --api {APIS.name_of(dialect)}: give that"
    path = urlsplit(url).path
    theirs: list[Any] = [
        cls for cls in dict.fromkeys(APIS.built_in.values()) if _ends_alike(path, getattr(cls, "path", ""))
    ]
    if not success and theirs and used not in theirs:
        return f"the path is that of --api {APIS.name_of(theirs[0])}: give that if it is what runs there"
    return None


def _ends_alike(path: str, theirs: str) -> bool:
    last = theirs.partition("?")[0].rpartition(":")[2] if ":" in theirs else theirs
    return bool(last) and path.rstrip("/").endswith(last)


def _decoded(text: str) -> Json:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _ms(seconds: float | None) -> str:
    return "an unknown time" if seconds is None else f"{seconds * 1e3:.1f} ms"


def _number(value: SupportsFloat | None) -> float | int | None:
    number = float("nan") if value is None else float(value)
    if number != number:
        return None
    return int(number) if number.is_integer() else number


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:60]}...")
