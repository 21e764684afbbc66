"""Datasets of conversations, asked as single questions or turn by turn."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from perfkit.apis.pieces import text_of
from perfkit.datasets.base import DatasetPluginBase, Item
from perfkit.datasets.files import objects_of
from perfkit.datasets.text import SAMPLE
from perfkit.errors import UsageError
from perfkit.records import Message, Prompt

_USER = frozenset({"human", "user"})
_ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}


class ShareGpt(DatasetPluginBase):
    """The first question of each conversation of a ShareGPT file."""

    where_to_get = (
        "ShareGPT_V3_unfiltered_cleaned_split.json is on Hugging Face as anon8231489123/ShareGPT_Vicuna_unfiltered"
    )

    def build_messages(self) -> Iterator[Item]:
        """Yield a first question per conversation; those without one are passed over."""
        for messages in self.conversations():
            asked = next((text_of(message["content"]) for message in messages if message["role"] == "user"), "")
            yield from self.asks([asked.strip()])

    def conversations(self) -> Iterator[list[Message]]:
        """Yield each conversation as chat messages, from a JSON array or a JSONL file.

        Raises
        ------
        UsageError
            A record holds no conversation.
        """
        for number, record in enumerate(self.dataset_json_list(self.path), 1):
            messages = messages_of(record)
            if messages is None:
                raise UsageError(f"{self.path}: record {number} has no conversations, conversation or messages")
            yield messages


def messages_of(record: Any) -> list[Message] | None:
    """Return the chat messages of a record in any of the usual shapes, None if it has none of them.

    Examples
    --------
    >>> messages_of({"conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "hello"}]})
    [{'role': 'user', 'content': 'hi'}, {'role': 'assistant', 'content': 'hello'}]
    >>> messages_of({"conversation": [{"human": "hi", "assistant": "hello"}]})
    [{'role': 'user', 'content': 'hi'}, {'role': 'assistant', 'content': 'hello'}]
    """
    if isinstance(record, list):
        record = {"messages": record}
    for name in ("messages", "conversations", "conversation"):
        turns = record.get(name) if isinstance(record, dict) else None
        if isinstance(turns, list) and all(isinstance(turn, dict) for turn in turns):
            return [message for turn in turns for message in _messages_of_turn(turn)]
    return None


def _messages_of_turn(turn: dict[str, Any]) -> list[Message]:
    if "role" in turn:
        return [{"content": "", **turn}]
    if "from" in turn:
        speaker = str(turn["from"])
        return [{"role": _ROLES.get(speaker, speaker), "content": turn.get("value") or ""}]
    return [{"role": _ROLES[name], "content": text} for name, text in turn.items() if name in _ROLES]


class MultiTurn(ShareGpt):
    """Conversations turn by turn.

    Each item is one turn: what is new in it, that is the user's message, and the system message in the first. The
    answers between are the server's own. ``dataset_args``: ``max_turns`` and ``min_turns`` of a conversation.
    Without a file, every three questions of the sample make a conversation.
    """

    options = ("min_turns", "max_turns")
    reads = ("think_time",)

    @property
    def file(self) -> Path:
        """The file read: the given one, else the sample."""
        return self.path if self.query_parameters.dataset_path else SAMPLE

    def conversations(self) -> Iterator[list[Message]]:
        """Yield each conversation as chat messages."""
        if self.query_parameters.dataset_path is not None:
            yield from super().conversations()
            return
        questions = (self.create_message(record["question"]) for _, record in objects_of(SAMPLE))
        while conversation := list(islice(questions, 3)):
            yield conversation

    def build_messages(self) -> Iterator[Item]:
        """Yield the turns of each conversation in order."""
        least, most = int(self.option("min_turns", 1)), self.option("max_turns")
        for number, messages in enumerate(self.conversations()):
            turns = turns_of(messages)[: int(most) if most is not None else None]
            if len(turns) < least:
                continue
            for turn, content in enumerate(turns, 1):
                yield Prompt(content, session_id=f"session-{number}", turn=turn)


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
