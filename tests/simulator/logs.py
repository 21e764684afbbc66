"""Reading the logs of a simulated server."""

import json
from pathlib import Path

from perfkit.simulator.truth import CHUNK_RECORD, ChunkTruth


def read_chunks(path):
    """Return the records of a chunk log in the order in which they were sent."""
    return [ChunkTruth(*record) for record in CHUNK_RECORD.iter_unpack(Path(path).read_bytes())]


def read_received(path):
    """Return what a server received: dicts of req, path, headers (secrets masked), body and recv_done_ns."""
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]
