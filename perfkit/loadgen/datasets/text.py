"""Datasets of one prompt per line or item."""

import json
from collections.abc import Iterator
from pathlib import Path

from perfkit.errors import UsageError
from perfkit.loadgen.datasets.base import DatasetPluginBase, Item
from perfkit.loadgen.datasets.files import objects_of
from perfkit.records import Json
from perfkit.registry import register_dataset

SAMPLE = Path(__file__).with_name("sample.jsonl")


@register_dataset(["line_by_line", "custom"])
class LineByLine(DatasetPluginBase):
    """A text file with one prompt per line; a line may also be JSON: a list of messages, or a whole body."""

    fits_whole = True
    where_to_get = "any text file with one prompt per line will do"

    def build_messages(self) -> Iterator[Item]:
        """Yield an item per line; empty lines are passed over."""
        for line in self.dataset_line_by_line(self.path):
            item = held_in(line.strip())
            if not isinstance(item, str):
                yield item
            elif item and self.fits(item):
                yield self.ask(item)


def held_in(line: str) -> list[dict[str, Json]] | dict[str, Json] | str:
    """Return what a line holds: messages, a body, or itself when it is no such JSON.

    Examples
    --------
    >>> held_in('{"messages": [{"role": "user", "content": "hi"}], "max_tokens": 5}')
    {'messages': [{'role': 'user', 'content': 'hi'}], 'max_tokens': 5}
    >>> held_in("[1] is a citation")
    '[1] is a citation'
    """
    if not line.startswith(("{", "[")):
        return line
    try:
        item = json.loads(line)
    except ValueError:
        return line
    if isinstance(item, dict):
        return item if item.keys() & {"messages", "prompt", "input", "query"} else line
    return item if item and all(isinstance(part, dict) and "role" in part for part in item) else line


@register_dataset(["sample", "openqa"])
class OpenQA(DatasetPluginBase):
    """Questions: a JSONL file with a ``question`` per line. Without a file, the sample inside perfkit."""

    where_to_get = "open_qa.jsonl of AI-ModelScope/HC3-Chinese on ModelScope is the usual one"

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
        for number, record in objects_of(self.path):
            if "question" not in record:
                raise UsageError(f"{self.path}:{number} has no question; it has {', '.join(record)}")
            if self.path != SAMPLE:  # nobody is to be told about a field of our own file
                self.remarks.ignore(set(record) - {"question"}, f"{self.path}:{number}")
            yield from self.asks([str(record["question"]).strip()])


@register_dataset("longalpaca")
class LongAlpaca(DatasetPluginBase):
    """Long documents, each with its instruction: one JSON array of records with ``instruction``."""

    where_to_get = "LongAlpaca-12k.json is on Hugging Face as Yukang/LongAlpaca-12k"

    def build_messages(self) -> Iterator[Item]:
        """Yield an instruction per record."""
        for number, record in enumerate(self.dataset_json_list(self.path), 1):
            if not isinstance(record, dict) or "instruction" not in record:
                raise UsageError(f"{self.path}: item {number} has no instruction")
            self.remarks.ignore(set(record) - {"instruction"}, f"{self.path}, item {number}")
            yield from self.asks([str(record["instruction"]).strip()])
