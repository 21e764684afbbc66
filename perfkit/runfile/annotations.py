"""What people write about runs: a name, tags, a note, and whether a run is left out. It may change after the run."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from perfkit.errors import StorageError, UnsafeFile, UsageError
from perfkit.records import Json
from perfkit.runfile.record import as_object
from perfkit.runfile.safe_file import stored_columns, writing
from perfkit.runfile.schema import APPLICATION_ID, RUN

LONGEST = {"name": 200, "tag": 200, "note": 4000}
"""Characters of each text."""
MOST_TAGS = 100
_COLUMNS = {column.name: column.type for column in RUN if column.name in ("name", "tags", "note", "removed")}


@dataclass(frozen=True, slots=True)
class Annotation:
    """What is written about a run; None, and a tag that is not named, leave what stands.

    Raises
    ------
    UsageError
        It is no text, or a longer one than a run can have.

    Examples
    --------
    >>> words = Annotation(name="A100", tags={"gpu": "A100", "old": None})
    >>> words.onto({"name": "baseline", "tags": '{"old": "yes"}'})
    {'name': 'A100', 'tags': '{"gpu": "A100"}'}
    """

    name: str | None = None
    tags: Mapping[str, str | None] = field(default_factory=dict)
    """A tag of None is taken away."""
    note: str | None = None
    """An empty one is taken away."""
    removed: bool | None = None

    def __post_init__(self) -> None:
        if self.name is not None:
            _check_line("name", self.name)
        if not isinstance(self.tags, Mapping) or len(self.tags) > MOST_TAGS:
            raise UsageError(f"tags are at most {MOST_TAGS} names with a text each, such as {{'gpu': 'A100'}}")
        for name, value in self.tags.items():
            _check_line("tag", name)
            if value is not None:
                _check_line("tag", value)
        if self.note not in (None, ""):
            _check_line("note", " ".join(self.note.split()) if isinstance(self.note, str) else self.note)
        if self.removed not in (None, True, False):
            raise UsageError(f"removed is True or False, got {self.removed!r:.40}")

    def onto(self, row: Mapping[str, Json]) -> dict[str, Json]:
        """Return the columns of ``run`` that it changes."""
        changed: dict[str, Json] = {}
        if self.name is not None:
            changed["name"] = self.name
        if self.tags:
            changed["tags"] = json.dumps(self.tagged(as_object(row.get("tags"))), ensure_ascii=False)
        if self.note is not None:
            changed["note"] = self.note or None
        if self.removed is not None:
            changed["removed"] = 1 if self.removed else None
        return changed

    def tagged(self, tags: Mapping[str, Json]) -> dict[str, str]:
        """Return tags with those written added, and without those taken away."""
        return {name: str(value) for name, value in {**tags, **self.tags}.items() if value is not None}


def _check_line(kind: str, text: object) -> None:
    """Refuse what is not one line of text that anyone can read."""
    longest = LONGEST[kind]
    if not isinstance(text, str) or not text.strip() or not text.isprintable() or len(text) > longest:
        of_line = "" if kind == "note" else " on one line"
        raise UsageError(f"a {kind} is text{of_line}, at most {longest:,} characters long, got {text!r:.60}")


def read_tags(words: Iterable[str]) -> dict[str, str | None]:
    """Read tags as they are typed: ``gpu=A100``; ``gpu=`` takes one away.

    Raises
    ------
    UsageError
        A word has no equals sign.

    Examples
    --------
    >>> read_tags(["gpu=A100", "driver="])
    {'gpu': 'A100', 'driver': None}
    """
    pairs = [word.partition("=") for word in words]
    for name, sign, value in pairs:
        if not sign:
            raise UsageError(f"a tag is written gpu=A100, and gpu= takes it away; got {name + value!r}")
    return {name: value or None for name, _, value in pairs}


def annotate_file(path: str | Path, run_ids: Iterable[str], words: Annotation) -> None:
    """Write about runs into their own file, in one short transaction: a run that is being measured goes on.

    Raises
    ------
    StorageError
        The file is read-only, busy for seconds, or no longer holds the runs. Nothing was written.
    """
    try:
        with writing(path) as file:
            stored = stored_columns(file, "run", {column.name for column in RUN})
            if file.execute("PRAGMA application_id").fetchone() != (APPLICATION_ID,) or "run_id" not in stored:
                raise UnsafeFile(f"{path} is not a run file any more")
            for name in words.onto({}).keys() - set(stored):  # a file of an earlier perfkit
                file.execute(f'ALTER TABLE run ADD COLUMN "{name}" {_COLUMNS[name]}')
            for run_id in run_ids:
                known = file.execute("SELECT tags FROM run WHERE run_id = ?", (run_id,)).fetchone()
                if known is None:
                    raise UnsafeFile(f"{path} no longer holds run {run_id}; open it again")
                changed = words.onto({"tags": known[0]})
                places = ", ".join(f"{name} = ?" for name in changed)
                file.execute(f"UPDATE run SET {places} WHERE run_id = ?", (*changed.values(), run_id))
    except UnsafeFile as error:
        raise StorageError(f"{error}; nothing was written about its runs") from None
