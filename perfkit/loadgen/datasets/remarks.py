"""What is to be said about a dataset: how it was read, what was left out of it, and where first."""

from dataclasses import dataclass, field

_NAMED = 12
"""Fields that a sentence names; the rest is counted."""


@dataclass
class _Seen:
    count: int
    first: str


@dataclass
class Remarks:
    """Gathers remarks while a dataset is read.

    Examples
    --------
    >>> remarks = Remarks()
    >>> remarks.ignore(["id"], "a.jsonl:1")
    >>> remarks.ignore(["id", "note"], "a.jsonl:2")
    >>> remarks.drop("no question", "a.jsonl:7")
    >>> remarks.sentences()
    ['fields not used: id, note (first in a.jsonl:1)', 'records left out: 1 no question (first a.jsonl:7)']
    """

    said: list[str] = field(default_factory=list)
    """Sentences about the whole of it, such as the unit of its times."""
    parts: "list[Remarks]" = field(default_factory=list)
    """Of a mix: what is to be said of each dataset in it."""
    _ignored: dict[str, _Seen] = field(default_factory=dict)
    _dropped: dict[str, _Seen] = field(default_factory=dict)

    def say(self, sentence: str) -> None:
        """Note a sentence, once."""
        if sentence not in self.said:
            self.said.append(sentence)

    def ignore(self, names: "list[str] | set[str]", place: str) -> None:
        """Note fields of a record that nothing is done with."""
        for name in names:
            _count(self._ignored, name, place)

    def drop(self, reason: str, place: str) -> None:
        """Note a record that is not sent."""
        _count(self._dropped, reason, place)

    def sentences(self) -> list[str]:
        """Return everything, a sentence each."""
        names = sorted(self._ignored)
        if names:
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            first = next(iter(self._ignored.values())).first
            ignored = [f"fields not used: {', '.join(names[:_NAMED])}{more} (first in {first})"]
        else:
            ignored = []
        dropped = "; ".join(f"{seen.count:,} {reason} (first {seen.first})" for reason, seen in self._dropped.items())
        own = [*self.said, *ignored, *([f"records left out: {dropped}"] if dropped else [])]
        return [*own, *(sentence for part in self.parts for sentence in part.sentences())]


def _count(seen: dict[str, _Seen], name: str, place: str) -> None:
    if name in seen:
        seen[name].count += 1
    else:
        seen[name] = _Seen(1, place)
