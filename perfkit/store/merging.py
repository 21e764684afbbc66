"""What several workers say of one run, as its one record."""

import json

from perfkit.verdict import LEVELS

Row = dict[str, str | bytes | int | float | None]


def merged(known: Row, said: Row) -> Row:
    """Return a run's record with what a further worker says; the first one's word stands alone."""
    said = _told_apart(known, said)
    record = dict(said)
    if known.get("end_time") is None:
        return record
    for name in {"sent", "succeeded", "failed"} & said.keys():
        record[name] = sum(value for value in (known[name], said[name]) if isinstance(value, int))
    for name, choose in (("start_time", min), ("end_time", max)):
        values = [value for value in (known[name], said.get(name)) if isinstance(value, float)]
        record[name] = choose(values) if values else None
    if "interrupted" in (known["status"], said.get("status")):
        record["status"] = "interrupted"
    if "problem" in said:
        record["problem"] = known["problem"] or said["problem"]
    if "verdict" in said:
        record |= _verdict(known, said)
    return record


def _told_apart(known: Row, said: Row) -> Row:
    """Return what a worker says, SUSPECT if its dataset file is not the first worker's, whose hash stands."""
    said = dict(said)
    own, first = said.pop("dataset_hash", None), known.get("dataset_hash")
    if None in (own, first) or own == first:
        return said
    sentence = "the workers read different dataset files: put the same one on every host, and measure again"
    return {**said, **_verdict(said, {"verdict": "SUSPECT", "reasons": json.dumps([sentence])})}


def _verdict(known: Row, said: Row) -> Row:
    """Return the worse of two verdicts, and the reasons of both."""
    levels = [level for level in LEVELS if level in (known.get("verdict"), said["verdict"])]
    reasons = [reason for side in (known, said) for reason in json.loads(str(side.get("reasons") or "[]"))]
    return {
        "verdict": levels[-1] if levels else None,
        "reasons": json.dumps(list(dict.fromkeys(reasons)), ensure_ascii=False),
    }
