"""What it costs to make a row of an answer: processor time of three streams, as a server in vLLM's manner sends them.

python benchmarks/decoding.py [ROUNDS]
"""

import json
import sys
from collections.abc import Sequence
from statistics import median
from time import process_time_ns

from perfkit.decoding.clock import RunClock
from perfkit.decoding.exchange import Exchange
from perfkit.decoding.rows import Decoder, Request
from perfkit.options.arguments import Arguments
from perfkit.plugins import api_class, bind_api
from perfkit.records import Prompt
from perfkit.secrets import Scrubber

ROWS = 50
"""Rows made in one round."""
HEADERS = [(b"server", b"uvicorn"), (b"content-type", b"text/event-stream"), (b"transfer-encoding", b"chunked")]
STREAMS = {"2 tokens": (2, "content"), "64 tokens": (64, "content"), "64 of reasoning": (64, "reasoning_content")}


def stream(tokens: int, field: str) -> list[bytes]:
    """Return the events of an answer: role, tokens, finish, usage and ``[DONE]``."""
    deltas = [{"role": "assistant", "content": ""}, *({field: f" word{number}"} for number in range(tokens)), {}]
    reasons = [None] * (tokens + 1) + ["stop"]
    choices: list[list[object]] = [
        [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}]
        for delta, reason in zip(deltas, reasons, strict=True)
    ]
    usage = {"prompt_tokens": 12, "total_tokens": 12 + tokens, "completion_tokens": tokens}
    common = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_790_000_000, "model": "qwen"}
    messages = [*({**common, "choices": each} for each in choices), {**common, "choices": [], "usage": usage}]
    return [b"data: %b\n\n" % json.dumps(each, separators=(",", ":")).encode() for each in messages] + [
        b"data: [DONE]\n\n"
    ]


def exchange(events: Sequence[bytes]) -> Exchange:
    """Return an answer whose events came 10 ms apart, each an HTTP chunk of its own."""
    made = Exchange(start=0, written=50_000, status=200, response_headers=HEADERS)
    made.wire += b"HTTP/1.1 200 OK\r\n" + b"".join(b"%b: %b\r\n" % header for header in HEADERS) + b"\r\n"
    for number, event in enumerate(events, 1):
        made.wire += b"%x\r\n%b\r\n" % (len(event), event) + (b"0\r\n\r\n" if number == len(events) else b"")
        made.stamps.append(number * 10_000_000)
        made.ends.append(len(made.wire))
    made.headers, made.end = made.stamps[0], made.stamps[-1]
    return made


def main(rounds: int) -> None:
    """Print the median of the rounds for each stream, which take turns."""
    arguments = Arguments(url="http://127.0.0.1:8000/v1/chat/completions", model="qwen", max_tokens=64)
    api, prompt = bind_api(api_class("openai"), arguments), Prompt("Say something about the weather in a few words.")
    decoder, body = Decoder("run", 0, api, RunClock(0), Scrubber([])), api.build(prompt)
    spent: dict[str, list[float]] = {name: [] for name in STREAMS}
    for _ in range(rounds):
        for name, shape in STREAMS.items():
            events = stream(*shape)
            asked = [(Request(number, body), exchange(events)) for number in range(ROWS)]
            began = process_time_ns()
            for request, answer in asked:
                decoder.row(request, answer)
            spent[name].append((process_time_ns() - began) / ROWS / 1000)
    for name, times in spent.items():
        print(f"{name:20}{median(times):8.1f} µs of processor time per row")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
