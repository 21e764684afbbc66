"""Datasets of records with named columns: JSONL, CSV, folders of a hub; embeddings and rerank."""

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from perfkit.apis.bodies import BODY_FIELDS
from perfkit.datasets.base import Content, DatasetPluginBase, Item
from perfkit.datasets.files import arrow_rows, items_of, objects_of, rows_of, values_of
from perfkit.datasets.media import audio_part, image_part
from perfkit.datasets.text import SAMPLE
from perfkit.errors import UsageError
from perfkit.records import Json, Prompt

TEXT_COLUMNS = ("prompt", "question", "instruction", "input", "text", "query", "content")
"""Looked for in this order when ``dataset_args`` names no ``column``."""

REQUEST_FIELDS = frozenset(
    {*BODY_FIELDS, "messages", "n", "stream", "stream_options", "max_completion_tokens", "top_logprobs", "logit_bias"}
    | {"tools", "tool_choice", "parallel_tool_calls", "response_format", "reasoning_effort", "user", "ignore_eos"}
)
"""What is sent of a record beside its messages; anything else is a note of whoever made the file."""

_NOT_SENT = ("request_id", "session_id", "turn", "timestamp")


class Jsonl(DatasetPluginBase):
    """A JSON object per line.

    A record with a ``model`` is a whole body. ``messages`` are sent with the request fields beside them; else the text
    of the first of the usual columns is sent, or of the one that ``dataset_args`` names as ``column``. ``image``,
    ``images`` and ``audio`` (URLs, or files beside this one) become content parts; ``request_id``, ``session_id`` and
    ``turn`` go with the request. A line may also be a list of messages.
    """

    where_to_get = "a JSONL file with a prompt, a question or messages in each line"
    options: tuple[str, ...] = ("column",)
    reads: tuple[str, ...] = ("think_time",)

    def build_messages(self) -> Iterator[Item]:
        """Yield an item per line."""
        path = self.path
        return self.items(((f"{path}:{number}", record) for number, record in values_of(path)))

    def items(self, records: Iterable[tuple[str, Any]]) -> Iterator[Item]:
        """Yield the items of records that each come with their place in the file."""
        for place, record in records:
            if isinstance(record, list):
                yield record
                continue
            if not isinstance(record, dict):
                raise UsageError(f"{place} is neither a JSON object nor a list of messages: {str(record)[:60]}")
            item = self.item(record, place)
            if item is not None:
                yield Prompt(item, **self.identity(record))

    def item(self, record: dict[str, Any], place: str) -> Content | None:
        """Return what a record asks, None if it is of a length that is not wanted.

        Raises
        ------
        UsageError
            It has none of the usual columns.
        """
        if "model" in record:
            return {name: value for name, value in record.items() if name not in _NOT_SENT}
        column = self.option("column")
        if column is None and "messages" in record:
            body = {name: value for name, value in record.items() if name in REQUEST_FIELDS}
            return body if len(body) > 1 else list(body["messages"])
        names = TEXT_COLUMNS if column is None else (column,)
        text = next((record[name] for name in names if record.get(name)), None)
        if not isinstance(text, str):
            raise UsageError(f"{place} has no {' or '.join(names)} with a text; it has {', '.join(map(str, record))}")
        if not self.fits(text):
            return None
        parts = self._media(record)
        return [{"role": "user", "content": [{"type": "text", "text": text}, *parts]}] if parts else self.ask(text)

    def _media(self, record: dict[str, Any]) -> list[dict[str, Json]]:
        beside = self.path if self.path.is_dir() else self.path.parent
        images, audio = record.get("images") or record.get("image") or [], record.get("audio")
        parts = [image_part(image, beside) for image in (images if isinstance(images, list) else [images])]
        return [*parts, audio_part(audio, beside)] if audio else parts

    def identity(self, record: dict[str, Any]) -> dict[str, Any]:
        """Return what a record says of the request itself: its id, its session and its turn."""
        found: dict[str, Any] = {
            name: str(record[name]) for name in ("request_id", "session_id") if record.get(name) is not None
        }
        return {**found, "turn": int(record["turn"])} if record.get("turn") else found


class Csv(Jsonl):
    """A CSV or TSV table whose first line names the columns; otherwise as JSONL."""

    where_to_get = "a CSV file with a column called prompt"

    def build_messages(self) -> Iterator[Item]:
        """Yield an item per row."""
        path = self.path
        return self.items((f"{path}, row {number}", row) for number, row in enumerate(rows_of(path), 1))


class Folder(Jsonl):
    """A dataset of Hugging Face or ModelScope, downloaded into a folder: JSONL, JSON, CSV, Parquet or Arrow files."""

    where_to_get = "the folder that `huggingface-cli download` or `modelscope download` wrote"
    options = ("column", "split")

    def build_messages(self) -> Iterator[Item]:
        """Yield an item per record of the files of the split (``dataset_args``: ``split``, default ``train``)."""
        folder = self.path
        files = _data_files(folder, str(self.option("split", "train")))
        if not files:
            raise UsageError(f"{folder} holds no {', '.join(_READERS)} file")
        places = ((f"{file}, record {n}", row) for file in files for n, row in enumerate(_records_of(file), 1))
        return self.items(places)


def _data_files(folder: Path, split: str) -> list[Path]:
    """Return the data files of a folder, those of a split when some name it."""
    files = [file for file in sorted(folder.rglob("*")) if file.suffix in _READERS and not _is_card(file)]
    return [file for file in files if split in str(file.relative_to(folder))] or files


def _is_card(file: Path) -> bool:
    return file.name in ("dataset_info.json", "state.json", "dataset_dict.json", "dataset_infos.json")


def _records_of(file: Path) -> Iterator[Any]:
    return iter(_READERS[file.suffix](file))


_READERS = {
    ".jsonl": items_of,
    ".json": items_of,
    ".csv": rows_of,
    ".parquet": arrow_rows,
    ".arrow": arrow_rows,
}


class Embedding(DatasetPluginBase):
    """Texts to embed: one per line; ``dataset_args`` ``batch`` puts several into one request."""

    options = ("batch",)

    def build_messages(self) -> Iterator[Item]:
        """Yield texts, or lists of texts."""
        texts = (text for text in self._texts() if text and self.fits(text))
        batch = int(self.option("batch", 1))
        if batch == 1:
            yield from texts
            return
        while group := list(itertools.islice(texts, batch)):
            yield {"input": group}

    @property
    def file(self) -> Path:
        """The file read: the given one, else the sample."""
        return self.path if self.query_parameters.dataset_path else SAMPLE

    def _texts(self) -> Iterator[str]:
        if self.file.suffix == ".jsonl":
            return (_text(record, f"{self.file}:{number}") for number, record in objects_of(self.file))
        return (line.strip() for line in self.dataset_line_by_line(self.file))


def _text(record: dict[str, Any], place: str) -> str:
    text = next((record[name] for name in TEXT_COLUMNS if record.get(name)), None)
    if not isinstance(text, str):
        raise UsageError(f"{place} has no {' or '.join(TEXT_COLUMNS)}; it has {', '.join(record)}")
    return text


class Rerank(DatasetPluginBase):
    """Queries with the documents to put in order: a JSONL file of ``query`` and ``documents``.

    Without a file, each question of the sample asks for ten others to be ordered.
    """

    @property
    def file(self) -> Path:
        """The file read: the given one, else the sample."""
        return self.path if self.query_parameters.dataset_path else SAMPLE

    def build_messages(self) -> Iterator[Item]:
        """Yield a dict with query and documents per line."""
        if self.query_parameters.dataset_path is None:
            yield from self._from_sample()
            return
        for number, record in objects_of(self.file):
            if not {"query", "documents"} <= record.keys():
                raise UsageError(f"{self.file}:{number} has no query and documents; it has {', '.join(record)}")
            yield {"query": record["query"], "documents": list(record["documents"])}

    def _from_sample(self) -> Iterator[dict[str, Json]]:
        questions = [str(record["question"]) for _, record in objects_of(SAMPLE)]
        for at, question in enumerate(questions):
            others = (questions + questions)[at + 1 : at + 11]
            yield {"query": question, "documents": others}
