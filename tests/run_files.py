"""Run files with hand-made rows, for tests that look at results: every number in them can be worked out by hand."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from perfkit.records import Kind
from perfkit.runfile.chunks import NO_LAG, Chunks, pack
from perfkit.runfile.safe_pickle import encode_cell
from perfkit.runfile.schema import RESULT_NAMES
from perfkit.runfile.writer import Row, Value, Writer

START = 1_750_000_000.0


def request(
    seq: int | None,
    at: float = 0.0,
    *,
    ttft: float | None = 0.5,
    gaps: Sequence[float] = (0.25, 0.25),
    tail: float = 0.0,
    prompt_tokens: int = 10,
    origin: float = START,
    **columns: Value,
) -> Row:
    """One streamed answer: first token after ``ttft``, a token per gap, its last byte ``tail`` after the last."""
    start = origin + at
    last = (ttft or 0.0) + sum(gaps)
    row: Row = {
        "start_time": start,
        "scheduled_time": start,
        "completed_time": start + last + tail,
        "latency": last + tail,
        "first_chunk_latency": ttft,
        "last_token_time": start + last,
        "inter_token_latencies": json.dumps(list(gaps)),
        "time_per_output_token": sum(gaps) / len(gaps) if gaps else None,
        "success": 1,
        "is_stream": 1,
        "prompt_tokens": prompt_tokens,
        "completion_tokens": len(gaps) + 1,
        "status_code": 200,
        "finish_reason": "stop",
        "phase": "steady",
        "seq": seq,
        "worker": 0,
        "request": encode_cell({"model": "m", "messages": [{"role": "user", "content": f"prompt {seq}"}]}),
        "response_messages": encode_cell(['{"choices": [{"delta": {"content": "a"}}]}'] * (len(gaps) + 1)),
        "prompt_text": f"prompt {seq}",
        "output_text": "a" * (len(gaps) + 1),
        "chunks": answer(ttft or 0.0, gaps),
    }
    return {**row, **columns}


def failure(seq: int, at: float = 0.0, *, lasted: float = 1.0, kind: str = "http_status", **columns: Value) -> Row:
    """One request that failed after ``lasted`` seconds."""
    return request(
        seq,
        at,
        ttft=None,
        gaps=(),
        **{
            "completed_time": START + at + lasted,
            "latency": None,
            "last_token_time": None,
            "inter_token_latencies": None,
            "success": 0,
            "completion_tokens": None,
            "status_code": 500,
            "error_kind": kind,
            "error": "boom",
            "finish_reason": None,
            "response_messages": None,
            "output_text": None,
            "chunks": None,
            **columns,
        },
    )


def answer(ttft: float, gaps: Sequence[float]) -> bytes:
    """Return the chunks of an answer whose tokens each came in a read of their own."""
    arrivals = [ttft]
    for gap in gaps:
        arrivals.append(arrivals[-1] + gap)
    count = len(arrivals)
    stamps = [round(arrival * 1e9) for arrival in arrivals]
    kinds = [int(Kind.CONTENT)] * count
    return pack(Chunks(stamps, [NO_LAG] * count, list(range(count)), kinds, [0] * count, list(range(count))))


def write_run(
    path: Path,
    rows: Iterable[Mapping[str, Value]],
    *,
    name: str | None = "run",
    samples: Mapping[str, Sequence[float]] | None = None,
    tags: Mapping[str, str] | None = None,
    arguments: Mapping[str, object] | None = None,
    **record: Value,
) -> Path:
    """Add a run to a file, making the file if there is none."""
    run_id = str(record.pop("run_id", None) or f"01{abs(hash((str(path), name))) % 10**14:024d}")
    filled = {"load": "closed", "parallel": 1, "model": "m", "source": "perfkit", "status": "finished", **record}
    texts = {"tags": json.dumps(tags or {}), "arguments": json.dumps(arguments or {})}
    writer = Writer(path)
    writer.begin_run({"run_id": run_id, "name": name, "start_time": START, **texts, **filled})
    writer.add_results([{**dict.fromkeys(RESULT_NAMES), "run_id": run_id, **row} for row in rows])
    for sample, values in (samples or {}).items():
        writer.add_samples((run_id, 0, START + at, sample, value) for at, value in enumerate(values))
    writer.close()
    return path
