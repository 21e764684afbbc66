"""Datasets of records with named columns: JSONL, CSV, folders of a hub; embeddings and rerank."""

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from perfkit.apis.bodies import BODY_FIELDS, messages_text
from perfkit.apis.pieces import text_of
from perfkit.errors import UsageError
from perfkit.loadgen.datasets.base import Content, DatasetPluginBase, Item
from perfkit.loadgen.datasets.files import kind_of, objects_of, records_of, rows_of
from perfkit.loadgen.datasets.media import audio_part
from perfkit.loadgen.datasets.shapes import (
    DELAYS,
    INPUT_LENGTH,
    LENGTHS,
    TALKS,
    TURNS,
    content_of,
    delay_in,
    headers_in,
    ignore_parts,
    images_in,
    is_absent,
    length_in,
    messages_with_files,
    parsed,
    talk_of,
    turns_in,
    unit_of,
    with_parts,
)
from perfkit.loadgen.datasets.text import SAMPLE
from perfkit.options.arguments import Arguments
from perfkit.records import Json, Message, Prompt
from perfkit.registry import register_dataset

TEXT_COLUMNS = ("prompt", "question", "instruction", "input", "text", "query", "content")
"""Looked for in this order when ``dataset_args`` names no ``column``."""

REQUEST_FIELDS = frozenset(
    {*BODY_FIELDS, "messages", "n", "stream", "stream_options", "max_completion_tokens", "top_logprobs", "logit_bias"}
    | {"tools", "tool_choice", "parallel_tool_calls", "response_format", "reasoning_effort", "user", "ignore_eos"}
)
"""What is sent of a record beside its messages; anything else is a note of whoever made the file."""

_IDENTITY = ("request_id", "session_id", "turn", "custom_id", *DELAYS)
_NOT_SENT = (*_IDENTITY, "timestamp")
OF_OTHER_LENGTH = "shorter or longer than asked for"


@register_dataset("jsonl")
class Jsonl(DatasetPluginBase):
    """Records of JSON (line by line, or an array), of a table, of Parquet or Arrow files; gzip'd ones, too.

    A record with a ``model`` is a whole body, and so is the ``body`` of an OpenAI batch file. ``messages`` are sent
    with the request fields beside them, of ``conversations`` the first question, ``turns`` in order; else the text of
    the first of the usual columns is sent, or of the one that ``dataset_args`` names as ``column``. Images and audio
    (URLs, or files beside this one) become content parts; ``output_tokens`` and its like become ``max_tokens``;
    ``request_id``, ``session_id`` and ``turn`` go with the request. A line may also be a list of messages, or a text.
    """

    where_to_get = "a JSONL file with a prompt, a question or messages in each line"
    options: tuple[str, ...] = ("column", "time_unit")
    reads: tuple[str, ...] = ("think_time",)
    times: tuple[str, ...] = ()
    """Fields that say when a request is due."""

    def build_messages(self) -> Iterator[Item]:
        """Yield an item per record, or per turn of it."""
        return self.items(records_of(self.path))

    def items(self, records: Iterable[tuple[str, Any]]) -> Iterator[Item]:
        """Yield the items of records that each come with their place in the file."""
        for number, (place, record) in enumerate(records):
            if isinstance(record, list):
                yield talk_of(record, place) or []
                continue
            if isinstance(record, str):
                yield from self._texts(record, place)
                continue
            if not isinstance(record, dict):
                raise UsageError(f"{place} is neither a JSON object nor a list of messages: {str(record)[:60]}")
            if self._asks_by_turns(record):
                yield from self._turns(record, place, number)
                continue
            item = self.item(record, place)
            if item is not None:
                yield Prompt(item, **self.identity(record, place), delay=self.delay(record, place))

    def _texts(self, text: str, place: str) -> Iterator[Item]:
        if not text.strip():
            self.remarks.drop("empty", place)
        elif not self.fits(text):
            self.remarks.drop(OF_OTHER_LENGTH, place)
        else:
            yield self.ask(text)

    def _asks_by_turns(self, record: dict[str, Any]) -> bool:
        return TURNS in record and self.option("column") is None and not record.keys() & {*TALKS, "prompt"}

    def _turns(self, record: dict[str, Any], place: str, number: int) -> Iterator[Prompt]:
        identity = {"session_id": f"session-{number}", **self.identity(record, place)}
        identity.pop("turn", None)
        length, name = length_in(record, place)
        turns = turns_in(record, place, self.beside, self.remarks, self.delay_unit)
        for turn, (asked, delay) in enumerate(turns, 1):
            body = asked if isinstance(asked, dict) else {"messages": asked}
            limited = body if length is None or len(body) > 1 else {**body, name: length}
            yield Prompt(
                limited if len(limited) > 1 else limited["messages"], **{**identity, "turn": turn, "delay": delay}
            )
        self._ignore(record, {TURNS, *(LENGTHS if length is not None else ())}, place)

    @property
    def delay_unit(self) -> float:
        """Seconds in a unit of ``delay``: milliseconds, as aiperf writes them, or ``dataset_args`` ``time_unit``."""
        return unit_of(self.option("time_unit", "ms"))

    def delay(self, record: dict[str, Any], place: str) -> float | None:
        """Return the think time before a record that is a turn by itself (s)."""
        return delay_in(record, place, self.delay_unit, self.remarks)

    @property
    def beside(self) -> Path:
        """Folder that the files named in records are relative to."""
        return self.path if self.path.is_dir() else self.path.parent

    def item(self, record: dict[str, Any], place: str) -> Content | None:
        """Return what a record asks, None if it is of a length that is not wanted."""
        if "body" in record and record.keys() & {"custom_id", "method", "url"}:
            return self._of_batch(record, place)
        column = self.option("column")
        if column is None and record.get("model") is not None and not record.keys() & {"conversations", "conversation"}:
            own = {*_NOT_SENT, *self.times, *_headers_of(record, place)}
            body = {name: value for name, value in record.items() if name not in own}
            self._ignore(record, body, place)
            return self._whole(body, place)
        parts, used = images_in(record, place, self.beside, self.remarks)
        if record.get("audio"):
            ignore_parts(record["audio"], "audio", ("bytes", "path"), place, self.remarks)
            parts, used = [*parts, audio_part(record["audio"], self.beside)], [*used, "audio"]
        if column is None and record.keys() & {*TALKS}:
            return self._of_talk(record, place, parts, used)
        return self._of_text(record, place, parts, used)

    def _of_batch(self, record: dict[str, Any], place: str) -> dict[str, Json]:
        body = parsed(record["body"], "body", place)
        if not isinstance(body, dict):
            raise UsageError(f"{place}: body must be a JSON object, got {str(body)[:60]!r}")
        self._ignore(record, {"body", "custom_id"}, place)
        return self._whole(body, place)

    def _whole(self, body: dict[str, Any], place: str) -> dict[str, Json]:
        """Return a whole body; what a table holds as text is read."""
        if "messages" not in body:
            return body
        talk = talk_of({"messages": body["messages"]}, place, self.remarks) or []
        return {**body, "messages": messages_with_files(talk, place, self.beside)}

    def _of_talk(
        self, record: dict[str, Any], place: str, parts: list[dict[str, Json]], used: list[str]
    ) -> Content | None:
        talk = messages_with_files(talk_of(record, place, self.remarks) or [], place, self.beside)
        name = next(name for name in TALKS if name in record)
        if name != "messages":
            talk = self.first_question(talk, place) or []
        elif not talk:
            self.remarks.drop("without a message", place)
        if not talk:
            return None
        talk = with_parts(talk, parts, place)
        if not self.fits(messages_text(talk)):
            self.remarks.drop(OF_OTHER_LENGTH, place)
            return None
        length, field = length_in(record, place)
        fields = {
            key: parsed(value, key, place)
            for key, value in record.items()
            if key in REQUEST_FIELDS and key not in TALKS and not is_absent(value)
        }
        if length is not None and field is not None and field not in fields:
            fields[field] = length
        taken = {name, *used, *fields, *REQUEST_FIELDS, *(LENGTHS if length is not None else ())}
        self._ignore(record, taken, place)
        return {"messages": talk, **fields} if fields else talk

    def first_question(self, talk: list[Message], place: str) -> list[Message] | None:
        """Return what leads to the first question of a conversation, and the question; None if nothing is asked."""
        at = next((at for at, message in enumerate(talk) if message["role"] == "user"), None)
        if at is None:
            self.remarks.drop("without a question" if talk else "empty", place)
            return None
        if any(message["role"] == "user" for message in talk[at + 1 :]):
            self.remarks.say("the first question of each conversation is asked; multi_turn asks the others, too")
        return [message for message in talk[: at + 1] if message["role"] != "assistant"]

    def _of_text(
        self, record: dict[str, Any], place: str, parts: list[dict[str, Json]], used: list[str]
    ) -> Content | None:
        column = self.option("column")
        names = TEXT_COLUMNS if column is None else (column,)
        name = next((name for name in names if record.get(name)), None)
        value = record[name] if name is not None else None
        if isinstance(value, list) and all(isinstance(each, dict) for each in value):
            value = content_of(value, place, self.beside)
        elif not isinstance(value, str):
            raise UsageError(f"{place} has no {' or '.join(names)} with a text; {_what_is_there(record, names)}")
        if not self.fits(text_of(value)):
            self.remarks.drop(OF_OTHER_LENGTH, place)
            return None
        length, field = length_in(record, place)
        self._ignore(record, {str(name), *used, *((*LENGTHS, field) if length is not None else ())}, place)
        asked: Content
        if parts or isinstance(value, list):
            asked = with_parts([{"role": "user", "content": value}], parts, place)
        else:
            asked = self.ask(value)
        if length is None or field is None:
            return asked
        return {"messages" if isinstance(asked, list) else "prompt": asked, field: length}

    def _ignore(self, record: dict[str, Any], used: Iterable[str | None], place: str) -> None:
        left = {str(name) for name, value in record.items() if not is_absent(value)} - {*used, *_IDENTITY, *self.times}
        left -= _headers_of(record, place)
        self.remarks.ignore(left, place)

    def identity(self, record: dict[str, Any], place: str) -> dict[str, Any]:
        """Return what a record says of the request itself: its id, its session, its turn and its headers."""
        found: dict[str, Any] = {
            name: str(record[name]) for name in ("request_id", "session_id") if not is_absent(record.get(name))
        }
        if "request_id" not in found and not is_absent(record.get("custom_id")):
            found["request_id"] = str(record["custom_id"])
        if (headers := headers_in(record, place)) is not None:
            found["headers"] = headers
        return {**found, "turn": int(record["turn"])} if record.get("turn") else found


def _headers_of(record: dict[str, Any], place: str) -> set[str]:
    """Return the name of the field that holds headers, where one does."""
    return {"headers"} if "headers" in record and headers_in(record, place) is not None else set()


def _what_is_there(record: dict[str, Any], names: Iterable[str]) -> str:
    """Say what a record has in place of a text."""
    if not record.keys().isdisjoint(INPUT_LENGTH):
        return "it gives only the prompt's length; for recorded traffic use --dataset trace --dataset-path FILE"
    if name := next((name for name in names if name in record), None):
        return f"its {name} is {repr(record[name])[:40]}"
    return f"it has {', '.join(map(str, record))}"


class Rows(Jsonl):
    """The rows of a DataFrame."""

    def __init__(self, query_parameters: Arguments, frame: Any) -> None:
        super().__init__(query_parameters)
        self._frame = frame

    @property
    def beside(self) -> Path:
        """The working folder."""
        return Path()

    def build_messages(self) -> Iterator[Item]:
        """Yield an item per row; a NaN is a field that the row has not."""
        names = [str(name) for name in self._frame.columns]
        rows = self._frame.itertuples(index=False, name=None)
        return self.items((f"row {number}", _plain(names, row)) for number, row in enumerate(rows))


def _plain(names: list[str], row: Iterable[Any]) -> dict[str, Any]:
    values = (
        (name, value.tolist() if hasattr(value, "tolist") else value) for name, value in zip(names, row, strict=True)
    )
    return {name: value for name, value in values if not is_absent(value)}


@register_dataset("csv")
class Csv(Jsonl):
    """A CSV or TSV table whose first line names the columns; otherwise as JSONL."""

    where_to_get = "a CSV file with a column called prompt"

    def build_messages(self) -> Iterator[Item]:
        """Yield an item per row."""
        path = self.path
        return self.items((f"{path}, row {number}", row) for number, row in enumerate(rows_of(path), 1))


@register_dataset("hf")
class Folder(Jsonl):
    """A dataset of Hugging Face or ModelScope, downloaded into a folder: JSONL, JSON, CSV, Parquet or Arrow files."""

    where_to_get = "the folder that `huggingface-cli download` or `modelscope download` wrote"
    options = ("column", "split", "time_unit")

    def build_messages(self) -> Iterator[Item]:
        """Yield an item per record of the files of the split (``dataset_args``: ``split``, default ``train``)."""
        folder = self.path
        files = [folder] if folder.is_file() else _data_files(folder, str(self.option("split", "train")))
        if not files:
            raise UsageError(f"{folder} holds no {', '.join(_KINDS)} file")
        return self.items(record for file in files for record in records_of(file))


def _data_files(folder: Path, split: str) -> list[Path]:
    """Return the data files of a folder, those of a split when some name it."""
    files = [file for file in sorted(folder.rglob("*")) if kind_of(file) in _KINDS and not _is_card(file)]
    return [file for file in files if split in str(file.relative_to(folder))] or files


def _is_card(file: Path) -> bool:
    return file.name in ("dataset_info.json", "state.json", "dataset_dict.json", "dataset_infos.json")


_KINDS = (".jsonl", ".json", ".csv", ".parquet", ".arrow")


@register_dataset("embedding")
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
            return (self._text(record, f"{self.file}:{number}") for number, record in objects_of(self.file))
        return (line.strip() for line in self.dataset_line_by_line(self.file))

    def _text(self, record: dict[str, Any], place: str) -> str:
        name = next((name for name in TEXT_COLUMNS if record.get(name)), "")
        if not isinstance(record.get(name), str):
            raise UsageError(f"{place} has no {' or '.join(TEXT_COLUMNS)}; it has {', '.join(record)}")
        self.remarks.ignore(set(record) - {name}, place)
        return str(record[name])


@register_dataset("rerank")
class Rerank(DatasetPluginBase):
    """Queries with the documents to put in order: a JSONL file of ``query`` and ``documents``.

    Without a file, each question of the sample asks for ten others to be ordered.
    """

    @property
    def file(self) -> Path:
        """The file read: the given one, else the sample."""
        return self.path if self.query_parameters.dataset_path else SAMPLE

    fits_whole = True

    def build_messages(self) -> Iterator[Item]:
        """Yield a dict with query and documents per line."""
        if self.query_parameters.dataset_path is None:
            yield from self._from_sample()
            return
        for number, record in objects_of(self.file):
            if not {"query", "documents"} <= record.keys():
                raise UsageError(f"{self.file}:{number} has no query and documents; it has {', '.join(record)}")
            self.remarks.ignore(record.keys() - {"query", "documents"}, f"{self.file}:{number}")
            yield {"query": record["query"], "documents": list(record["documents"])}

    def _from_sample(self) -> Iterator[dict[str, Json]]:
        questions = [str(record["question"]) for _, record in objects_of(SAMPLE)]
        for at, question in enumerate(questions):
            others = (questions + questions)[at + 1 : at + 11]
            yield {"query": question, "documents": others}
