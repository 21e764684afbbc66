"""Datasets of one prompt per line or item."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from perfkit.datasets.base import DatasetPluginBase, Item
from perfkit.errors import UsageError
from perfkit.records import Json

SAMPLE = Path(__file__).with_name("sample.jsonl")


class LineByLine(DatasetPluginBase):
    """A text file with one prompt per line; a line may also be JSON: a list of messages, or a whole body."""

    where_to_get = "a text file with one prompt per line"

    def build_messages(self) -> Iterator[Item]:
        """Yield a prompt per line; empty lines are passed over."""
        for line in self.dataset_line_by_line(self.path):
            item = held_in(line.strip())
            if not isinstance(item, str):
                yield item
            elif item and self.check_prompt_length(item)[0]:
                yield self.ask(item)


def held_in(line: str) -> list[dict[str, Json]] | dict[str, Json] | str:
    """Return what a line holds: messages, a body, or itself when it is no such JSON.

    Examples
    --------
    >>> held_in('{"messages": [{"role": "user", "content": "hi"}]}')
    {'messages': [{'role': 'user', 'content': 'hi'}]}
    >>> held_in("[1] is a citation")
    '[1] is a citation'
    """
    if not line.startswith(("{", "[")):
        return line
    try:
        item = json.loads(line)
    except ValueError:
        return line
    if isinstance(item, list):
        return item if item and all(isinstance(part, dict) and "role" in part for part in item) else line
    return item  # type: ignore[no-any-return]


class OpenQA(DatasetPluginBase):
    """Questions: a JSONL file with a ``question`` per line. Without a file, the sample inside perfkit."""

    @property
    def path(self) -> Path:
        """The given file, else the sample."""
        return super().path if self.query_parameters.dataset_path else SAMPLE

    @property
    def file(self) -> Path:
        """The file read."""
        return self.path

    def build_messages(self) -> Iterator[Item]:
        """Yield a question per line."""
        return self.asks(str(record["question"]).strip() for record in records(self, self.path, "question"))


class LongAlpaca(DatasetPluginBase):
    """Long documents with an instruction: one JSON array of records with ``instruction``."""

    where_to_get = "LongAlpaca-12k.json is on Hugging Face as Yukang/LongAlpaca-12k"

    def build_messages(self) -> Iterator[Item]:
        """Yield an instruction per record."""
        return self.asks(record["instruction"].strip() for record in self.dataset_json_list(self.path))


def records(dataset: DatasetPluginBase, path: Path, column: str) -> Iterator[dict[str, Any]]:
    """Yield the objects of a JSONL file.

    Raises
    ------
    UsageError
        A line is no JSON object with that key; the message names the line.
    """
    for number, line in enumerate(dataset.dataset_line_by_line(path), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            raise UsageError(f"{path}:{number} is not JSON: {error}") from None
        if not isinstance(record, dict) or column not in record:
            raise UsageError(f"{path}:{number} has no {column!r}: {line.strip()[:60]}")
        yield record
