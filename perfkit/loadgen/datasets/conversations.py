"""Datasets of conversations, asked as single questions or turn by turn."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from perfkit.apis.bodies import messages_text
from perfkit.errors import UsageError
from perfkit.loadgen.datasets.base import Item
from perfkit.loadgen.datasets.files import objects_of, records_of
from perfkit.loadgen.datasets.records import OF_OTHER_LENGTH, Jsonl
from perfkit.loadgen.datasets.shapes import (
    TALKS,
    TURNS,
    Turn,
    headers_in,
    images_in,
    messages_with_files,
    talk_of,
    with_parts,
)
from perfkit.loadgen.datasets.text import SAMPLE
from perfkit.records import Json, Message, Prompt
from perfkit.registry import register_dataset

_USER = frozenset({"human", "user"})


@register_dataset(["share_gpt", "share_gpt_zh", "share_gpt_en"])
class ShareGpt(Jsonl):
    """The first question of each conversation of a ShareGPT file."""

    where_to_get = (
        "ShareGPT_V3_unfiltered_cleaned_split.json is on Hugging Face as anon8231489123/ShareGPT_Vicuna_unfiltered"
    )
    options: tuple[str, ...] = ()

    def build_messages(self) -> Iterator[Item]:
        """Yield a first question per conversation, what the system says before it; those without one are left out."""
        for place, talk in self.conversations():
            asked = self.first_question(talk, place)
            if asked is not None and not self.fits(messages_text(asked[-1:])):
                self.remarks.drop(OF_OTHER_LENGTH, place)
            elif asked is not None:
                yield asked if self.query_parameters.apply_chat_template else messages_text(asked)

    def conversations(self) -> Iterator[tuple[str, list[Message]]]:
        """Yield each conversation as chat messages, with its place."""
        return ((place, self._talk(place, record)) for place, record in records_of(self.path))

    def _talk(self, place: str, record: Any) -> list[Message]:
        talk = talk_of(record, place, self.remarks)
        if talk is None:
            raise UsageError(f"{place} has no conversations, conversation or messages")
        named = record if isinstance(record, dict) else {}
        parts, used = images_in(named, place, self.beside, self.remarks)
        self._ignore(named, {*TALKS, *used}, place)
        return _with_images(messages_with_files(talk, place, self.beside), parts, place)


def _with_images(talk: list[Message], parts: list[dict[str, Json]], place: str) -> list[Message]:
    """Return a conversation with images in its first question, as vision datasets mean it."""
    at = next((at for at, message in enumerate(talk) if message["role"] == "user"), None)
    if not parts or at is None:
        return talk
    return [*with_parts(talk[: at + 1], parts, place), *talk[at + 1 :]]


@register_dataset(["multi_turn", "custom_multi_turn", "share_gpt_zh_multi_turn", "share_gpt_en_multi_turn"])
class MultiTurn(ShareGpt):
    """Conversations turn by turn.

    Each item is one turn: what is new in it, that is the user's message, and the system message in the first. The
    answers between are the server's own. ``dataset_args``: ``max_turns`` and ``min_turns`` of a conversation.
    Without a file, every three questions of the sample make a conversation.
    """

    options = ("min_turns", "max_turns", "time_unit")
    reads = ("think_time",)

    @property
    def file(self) -> Path:
        """The file read: the given one, else the sample."""
        return self.path if self.query_parameters.dataset_path else SAMPLE

    def build_messages(self) -> Iterator[Item]:
        """Yield the turns of each conversation in order."""
        least, most = int(self.option("min_turns", 1)), self.option("max_turns")
        for number, (place, identity, turns) in enumerate(self._talks()):
            kept = turns[: int(most) if most is not None else None]
            if len(kept) < least:
                self.remarks.drop("of too few turns" if kept else "without a question", place)
                continue
            if not self.fits(messages_text(first["messages"] if isinstance(first := kept[0][0], dict) else first)):
                self.remarks.drop(OF_OTHER_LENGTH, place)
                continue
            session = {"session_id": f"session-{number}", **identity}
            for turn, (content, delay) in enumerate(kept, 1):
                yield Prompt(content, **{**session, "turn": turn}, delay=delay)

    def _talks(self) -> Iterator[tuple[str, dict[str, Any], list[Turn]]]:
        """Yield place, identity and turns of each conversation."""
        if self.query_parameters.dataset_path is None:
            questions = (self.create_message(record["question"]) for _, record in objects_of(SAMPLE))
            while conversation := list(islice(questions, 3)):
                yield "the sample", {}, _undelayed(conversation)
            return
        for place, record in records_of(self.path):
            own = self._headers(record, place)
            if isinstance(record, dict) and TURNS in record and not record.keys() & {*TALKS}:
                prompts = list(self._turns(record, place, 0))
                session = {"session_id": str(record["session_id"])} if record.get("session_id") is not None else {}
                yield place, {**session, **own}, [(prompt.content, prompt.delay) for prompt in prompts]
            elif isinstance(record, dict) and not record.keys() & {*TALKS} and record.get("session_id") is not None:
                yield from self._gathered(place, record)
            else:
                talk = self._talk(place, record)
                if talk and talk[-1]["role"] not in ("assistant", *_USER):
                    self.remarks.say(f"what follows the last question of a conversation is not sent (first in {place})")
                yield place, own, _undelayed(talk)

    def _headers(self, record: Any, place: str) -> dict[str, Any]:
        found = headers_in(record, place) if isinstance(record, dict) else None
        return {} if found is None else {"headers": found}

    def _gathered(self, place: str, record: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], list[Turn]]]:
        """Yield a record that is one turn of a session by itself; the plan puts those in a row together."""
        item = self.item(record, place)
        if item is not None:
            session = {"session_id": str(record["session_id"]), **self._headers(record, place)}
            yield place, session, [(item, self.delay(record, place))]


def _undelayed(messages: list[Message]) -> list[Turn]:
    return [(turn, None) for turn in turns_of(messages)]


def turns_of(messages: list[Message]) -> list[list[Message]]:
    """Split a conversation into what is new in each turn, recorded answers left out.

    Examples
    --------
    >>> talk = [{"role": role, "content": text} for role, text in
    ...         [("system", "Be brief."), ("user", "a"), ("assistant", "b"), ("user", "c")]]
    >>> [[message["content"] for message in turn] for turn in turns_of(talk)]
    [['Be brief.', 'a'], ['c']]
    """
    turns: list[list[Message]] = []
    new: list[Message] = []
    for message in messages:
        if message["role"] == "assistant":
            continue
        new.append(message)
        if message["role"] in _USER:
            turns.append(new)
            new = []
    return turns
