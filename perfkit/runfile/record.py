"""One run's row of the ``run`` table: decoded, merged from what several workers say, its requests counted."""

import json
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from perfkit.errors import UnsafePickle
from perfkit.records import CUT_OFF, Json
from perfkit.runfile.safe_pickle import decode_cell
from perfkit.runfile.schema import FAILED
from perfkit.validity.verdict import Verdict

Row = dict[str, str | bytes | int | float | None]


@dataclass(frozen=True, eq=False)
class RunRecord(Mapping[str, Json]):
    """A run's record: a mapping of its columns as they are stored, with what those of JSON hold as attributes.

    A column that the file lacks, or that holds something else than it should, counts as empty.

    Examples
    --------
    >>> record = RunRecord.of({"status": "finished", "tags": '{"gpu": "H100"}', "reasons": '["late"]', "basis": "[1"})
    >>> record["status"], record.tags, record.reasons, record.basis
    ('finished', {'gpu': 'H100'}, ('late',), {})
    """

    row: Mapping[str, Json]
    arguments: Mapping[str, Json] = field(default_factory=dict)
    plan: Mapping[str, Json] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    host: Mapping[str, Json] = field(default_factory=dict)
    basis: Mapping[str, Json] = field(default_factory=dict)
    figures: Mapping[str, float] | None = None
    """Of a run that is known by a summary alone, its numbers by name, in seconds and tokens; None of any other."""
    reasons: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @classmethod
    def of(cls, row: Mapping[str, Json]) -> "RunRecord":
        """Decode a row."""
        return cls(
            row,
            arguments=as_object(row.get("arguments")),
            plan=as_object(row.get("plan")),
            tags={str(key): str(value) for key, value in as_object(row.get("tags")).items()},
            host=as_object(row.get("host")),
            basis=as_object(row.get("basis")),
            figures=_numbers(as_object(row["figures"])) if row.get("figures") is not None else None,
            reasons=tuple(map(str, as_list(row.get("reasons")))),
            remarks=tuple(map(str, as_list(row.get("remarks")))),
        )

    def __getitem__(self, name: str) -> Json:
        return self.row[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.row)

    def __len__(self) -> int:
        return len(self.row)


def as_object(cell: Json) -> dict[str, Json]:
    """Decode a cell of JSON as an object; empty where it is missing, damaged or something else.

    Examples
    --------
    >>> as_object('{"ttft": "stamps"}'), as_object(None), as_object("[1"), as_object("[1]")
    ({'ttft': 'stamps'}, {}, {}, {})
    """
    found = _decode(cell)
    return found if isinstance(found, dict) else {}


def _numbers(found: Mapping[str, Json]) -> dict[str, float]:
    """Return those of some values that are finite numbers."""
    return {
        name: float(value)
        for name, value in found.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < float("inf")
    }


def as_list(cell: Json) -> list[Json]:
    """Decode a cell of JSON as a list; empty where it is missing, damaged or something else."""
    found = _decode(cell)
    return found if isinstance(found, list) else []


def _decode(cell: Json) -> Json:
    try:
        found = decode_cell(cell, "run") if isinstance(cell, str) else None
    except UnsafePickle:
        return None
    if isinstance(cell, str) and _HALF.search(cell):  # what is made of these becomes columns, which hold no half pair
        found = json.loads(json.dumps(found, ensure_ascii=False).encode("utf-8", "replace"))
    return found


_HALF = re.compile(r"\\u[dD][89a-fA-F]")


# Several workers ---------------------------------------------------------------------------------------------------


def merge(known: Row, said: Row) -> Row:
    """Return a run's record with what a further worker says; the first one's word stands alone."""
    said = _check_dataset(known, said)
    record = dict(said)
    if known.get("end_time") is None:
        return record
    for name in {"sent", "succeeded", "failed", "cancelled"} & said.keys():
        record[name] = sum(value for value in (known[name], said[name]) if isinstance(value, int))
    for name, choose in (("start_time", min), ("end_time", max)):
        values = [value for value in (known[name], said.get(name)) if isinstance(value, float)]
        record[name] = choose(values) if values else None
    if "interrupted" in (known["status"], said.get("status")):
        record["status"] = "interrupted"
    if "problem" in said:
        record["problem"] = known["problem"] or said["problem"]
    if "verdict" in said:
        record |= _merge_verdicts(known, said)
    return record


def _check_dataset(known: Row, said: Row) -> Row:
    """Return what a worker says, SUSPECT if its dataset file is not the first worker's, whose hash stands."""
    said = dict(said)
    own, first = said.pop("dataset_hash", None), known.get("dataset_hash")
    if None in (own, first) or own == first:
        return said
    sentence = "the workers read different dataset files: put the same one on every host, and measure again"
    return {**said, **_merge_verdicts(said, {"verdict": "SUSPECT", "reasons": json.dumps([sentence])})}


def _merge_verdicts(known: Row, said: Row) -> Row:
    """Return the worse of two verdicts, and the reasons of both."""
    first, second = (
        Verdict.stored(row.get("verdict"), list(map(str, as_list(row.get("reasons"))))) for row in (known, said)
    )
    found = first.with_those_of(second) if first else second
    if found is None:
        return {"verdict": None, "reasons": "[]"}
    return {"verdict": found.level, "reasons": json.dumps(found.reasons, ensure_ascii=False)}


# Counts ------------------------------------------------------------------------------------------------------------

_COUNT = f"""
    SELECT count(*), total(error_kind IS NOT '{CUT_OFF}'), total({FAILED})
    FROM result WHERE run_id = ? AND phase IS NOT 'preflight'"""


class Counts(NamedTuple):
    """Requests of a run, the preflight request left out."""

    sent: int
    done: int
    """Ended by themselves; the others were cut off."""
    failed: int
    """Of these."""


def count_requests(path: str | Path, run_id: str) -> Counts:
    """Count the rows of a run in place and all at once, as a reader that lingers would hold up the writer."""
    with closing(sqlite3.connect(f"{Path(path).resolve().as_uri()}?mode=ro", uri=True, timeout=5.0)) as file:
        return Counts(*map(int, file.execute(_COUNT, (run_id,)).fetchone()))
