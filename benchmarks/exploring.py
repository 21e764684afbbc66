"""How fast large files open: a million requests summarised, a thousand bodies of 100,000 decoded, a report of these.

    python benchmarks/exploring.py                                   # 1,000,000 and 100,000 requests; 3 GB of disk
    python benchmarks/exploring.py --requests 10000 --bodies 1000    # a quick look

Each figure is measured in a process of its own, imports included. The plain reader is what a person would write
with sqlite3, base64 and pickle: the same file, the same question.
"""

import argparse
import base64
import json
import pickle
import random
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from perfkit.runfile.safe_pickle import encode_cell
from perfkit.runfile.schema import RESULT_NAMES
from perfkit.runfile.writer import Row, Writer

CHUNKS = 64
RUN = "01J00000000000000000000000"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=1_000_000, help="requests without bodies")
    parser.add_argument("--bodies", type=int, default=100_000, help="requests with answers of 64 chunks")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        STEPS[options.step](options.file)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        narrow, wide = Path(folder, "narrow.db"), Path(folder, "wide.db")
        write(narrow, options.requests, bodies=False)
        print(f"{options.requests:,} requests, no bodies: {child('summary', narrow)}")
        narrow.unlink()
        write(wide, options.bodies, bodies=True)
        print(f"{options.bodies:,} requests, {CHUNKS} chunks each, {wide.stat().st_size / 1e9:.2f} GB:")
        print(f"  where(...).decoded() of 1,000: {child('decoded', wide)}")
        print(f"  ids and TTFT of the same rows:  {child('asked', wide)}")
        print(f"  a plain reader for these:       {child('plainly', wide)}")
        print(f"  a report:                       {child('report', wide)}")
    return 0


def child(step: str, file: Path) -> str:
    words = [sys.executable, __file__, "--step", step, "--file", str(file)]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


def write(path: Path, count: int, *, bodies: bool) -> None:
    writer = Writer(path)
    writer.begin_run({"run_id": RUN, "name": "large", "load": "open", "rate": 1000.0, "source": "perfkit"})
    batch: list[Row] = []
    for row in rows(count, bodies):
        batch.append(row)
        if len(batch) == 5_000:
            writer.add_results(batch)
            batch = []
    writer.add_results(batch)
    writer.close()


def rows(count: int, bodies: bool) -> Iterator[Row]:
    rng = random.Random(0)
    empty: Row = dict.fromkeys(RESULT_NAMES)
    for seq in range(count):
        start, ttft, gap = 1.75e9 + seq / 1000, rng.lognormvariate(-2, 0.5), rng.lognormvariate(-4.5, 0.2)
        latency = ttft + (CHUNKS - 1) * gap
        row = empty | {
            "run_id": RUN, "seq": seq, "phase": "steady", "success": 1, "is_stream": 1, "worker": 0,
            "start_time": start, "scheduled_time": start - 1e-4, "completed_time": start + latency,
            "latency": latency, "first_chunk_latency": ttft, "last_token_time": start + latency,
            "time_per_output_token": gap, "prompt_tokens": 100 + seq % 50, "completion_tokens": CHUNKS,
            "status_code": 200, "finish_reason": "stop", "prompt_hash": f"{rng.getrandbits(64):016x}",
        }  # fmt: skip
        yield row | wide(seq, gap) if bodies else row


def wide(seq: int, gap: float) -> Row:
    messages = [
        json.dumps({"id": f"chatcmpl-{seq}", "model": "m", "choices": [{"index": 0, "delta": {"content": f" w{at}"}}]})
        for at in range(CHUNKS)
    ]
    return {
        "request": encode_cell({"model": "m", "messages": [{"role": "user", "content": f"prompt {seq} " * 20}]}),
        "response_messages": encode_cell(messages),
        "inter_token_latencies": json.dumps([gap] * (CHUNKS - 1)),
        "prompt_text": f"prompt {seq} " * 20,
        "server_request_id": f"chatcmpl-{seq}",
        "output_text": "".join(f" w{at}" for at in range(CHUNKS)),
    }


def summary(file: Path) -> None:
    began = time.perf_counter()
    import perfkit as pk

    str(pk.open(file))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"opened and summarised in {time.perf_counter() - began:.1f} s, {peak:.2f} GB")


def decoded(file: Path) -> None:
    import perfkit as pk

    runs = pk.open(file)
    bound = threshold(file)
    began = time.perf_counter()
    found = runs.where(f"success = 1 and first_chunk_latency > {bound!r}").decoded()
    print(f"{time.perf_counter() - began:.2f} s for {len(found):,} rows")


def asked(file: Path) -> None:
    import perfkit as pk

    runs = pk.open(file)
    bound = threshold(file)
    began = time.perf_counter()
    found = runs.where(f"success = 1 and first_chunk_latency > {bound!r}").column("server_request_id", "ttft")
    print(f"{time.perf_counter() - began:.2f} s for {len(found):,} rows")


def plainly(file: Path) -> None:
    bound = threshold(file)
    began = time.perf_counter()
    connection = sqlite3.connect(file)
    names = [column[1] for column in connection.execute("PRAGMA table_info(result)")]
    found = connection.execute(
        "SELECT * FROM result WHERE success = 1 AND first_chunk_latency > ?", (bound,)
    ).fetchall()
    ids = []
    for values in found:
        row = dict(zip(names, values, strict=True))
        pickle.loads(base64.b64decode(row["request"]))
        ids.append(json.loads(pickle.loads(base64.b64decode(row["response_messages"]))[0])["id"])
    print(f"{time.perf_counter() - began:.2f} s for {len(ids):,} rows")


def threshold(file: Path) -> float:
    """Return the TTFT that the thousand slowest requests exceed."""
    connection = sqlite3.connect(file)
    query = "SELECT first_chunk_latency FROM result ORDER BY 1 DESC LIMIT 1 OFFSET 1000"
    found = connection.execute(query).fetchone()
    return float(found[0]) if found else 0.0


def report(file: Path) -> None:
    began = time.perf_counter()
    import perfkit as pk

    written = Path(pk.open(file).report(file.with_suffix(".html")))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{time.perf_counter() - began:.1f} s, {written.stat().st_size / 1e6:.2f} MB, {peak:.2f} GB of memory")


STEPS = {"summary": summary, "decoded": decoded, "asked": asked, "plainly": plainly, "report": report}

if __name__ == "__main__":
    sys.exit(main())
