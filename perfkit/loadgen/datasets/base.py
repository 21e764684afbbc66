"""The base class of datasets, built-in ones included."""

import sys
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from perfkit.apis.bodies import messages_text, prompt_of
from perfkit.apis.tokenizer import Tokenizer, load_tokenizer
from perfkit.errors import UsageError
from perfkit.loadgen.datasets.files import items_of, lines_of
from perfkit.loadgen.datasets.remarks import Remarks
from perfkit.options.arguments import Arguments
from perfkit.records import Json, Message, Prompt

Content = list[Message] | str | dict[str, Json]
"""Chat messages, a prompt, or a whole request body."""

Item = Content | Prompt
"""What a dataset yields: content, or a Prompt with more to say."""


class DatasetPluginBase:
    """A source of prompts. Subclass it and give ``build_messages``.

    Parameters
    ----------
    query_parameters : Arguments
        The run's settings; ``dataset_path``, ``min_prompt_length`` and ``dataset_args`` are the useful ones.
    """

    where_to_get = ""
    """One sentence on where the data comes from, told when ``dataset_path`` is missing."""
    options: tuple[str, ...] = ()
    """Names of ``dataset_args`` that a built-in dataset takes; a person's own takes any."""
    reads: tuple[str, ...] = ()
    """Arguments that a built-in dataset makes use of, and most do not."""

    fits_whole = False
    """True for a built-in dataset whose whole bodies, messages and times are looked at for their length, too."""

    def __init__(self, query_parameters: Arguments) -> None:
        self.query_parameters = query_parameters

    def build_messages(self) -> Iterator[Any]:
        """Yield items: lists of chat messages, prompts, whole bodies, or ``Prompt``."""
        raise TypeError(f"{type(self).__name__} must define build_messages()")

    def __iter__(self) -> Iterator[Any]:
        return iter(self.build_messages())

    @cached_property
    def tokenizer(self) -> Tokenizer | None:
        """The run's tokenizer, None without ``tokenizer_path``."""
        folder = self.query_parameters.tokenizer_path
        return load_tokenizer(folder) if folder else None

    @cached_property
    def remarks(self) -> Remarks:
        """What is to be said about the dataset: it is printed, and kept with the run."""
        return Remarks()

    @property
    def path(self) -> Path:
        """The file or folder to read.

        Raises
        ------
        UsageError
            None was given, or there is nothing at it.
        """
        given = self.query_parameters.dataset_path
        if given is None:
            raise UsageError(f"this dataset needs dataset_path; {self.where_to_get}".rstrip("; "))
        path = Path(given).expanduser()
        if not path.exists():
            raise UsageError(f"no dataset file at {path}")
        return path

    @property
    def file(self) -> Path | None:
        """The file behind the dataset, None where there is none; its fingerprint is kept with the run."""
        return Path(self.query_parameters.dataset_path).expanduser() if self.query_parameters.dataset_path else None

    def dataset_line_by_line(self, dataset: str | Path) -> Iterator[str]:
        """Yield the lines of a text file, line ends included; the file is never held in memory.

        Raises
        ------
        UsageError
            It cannot be read, or is not UTF-8.
        """
        return lines_of(Path(dataset))

    def dataset_json_list(self, dataset: str | Path) -> Iterator[Json]:
        """Yield the items of a file that holds one JSON array, without holding the file in memory.

        Raises
        ------
        UsageError
            It cannot be read, or is not such a file.
        """
        return items_of(Path(dataset))

    def option(self, name: str, default: Json = None) -> Json:
        """Return an entry of ``dataset_args``."""
        return self.query_parameters.dataset_args.get(name, default)

    def create_message(self, text: str, image_urls: Any = None, role: str = "user") -> Message:
        """Return a chat message, with content parts when there are images.

        Parameters
        ----------
        text : str
        image_urls : str or list of str, optional
            URLs, ``data:`` ones included.
        role : str

        Examples
        --------
        >>> dataset = DatasetPluginBase(Arguments())
        >>> dataset.create_message("hi")
        {'role': 'user', 'content': 'hi'}
        >>> dataset.create_message("what is this?", "https://host/cat.png")["content"][1]
        {'type': 'image_url', 'image_url': {'url': 'https://host/cat.png'}}
        """
        if not image_urls:
            return {"role": role, "content": text}
        urls = [image_urls] if isinstance(image_urls, str) else image_urls
        images = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
        return {"role": role, "content": [{"type": "text", "text": text}, *images]}

    def check_prompt_length(self, prompt: str) -> tuple[bool, int]:
        """Say whether a prompt is within ``min_prompt_length`` and ``max_prompt_length``, and how long it is.

        Returns
        -------
        (bool, int)
            Both ends are allowed; the length is in tokens with a tokenizer, else in characters.
        """
        length = self.tokenizer.count(prompt) if self.tokenizer is not None else len(prompt)
        return self.query_parameters.min_prompt_length <= length <= self.query_parameters.max_prompt_length, length

    def fits(self, text: str) -> bool:
        """Say whether a prompt is of an allowed length; nothing is counted where no length is asked for."""
        given = self.query_parameters
        bounded = given.min_prompt_length > 0 or given.max_prompt_length < sys.maxsize
        return not bounded or self.check_prompt_length(text)[0]

    def fits_item(self, content: Any) -> bool:
        """Say whether what is asked with a prompt, messages or a whole body is of an allowed length."""
        if isinstance(content, list) and content and not isinstance(content[0], dict):
            content = content if all(isinstance(part, int) for part in content) else " ".join(map(str, content))
        if isinstance(content, list) and content and isinstance(content[0], int):  # token ids
            return self.query_parameters.min_prompt_length <= len(content) <= self.query_parameters.max_prompt_length
        return self.fits(prompt_of(content) if isinstance(content, dict) else messages_text(content))

    def ask(self, text: str) -> list[Message] | str:
        """Return a prompt as the API takes it: as chat messages, or as plain text."""
        return [self.create_message(text)] if self.query_parameters.apply_chat_template else text

    def asks(self, texts: Iterable[str]) -> Iterator[list[Message] | str]:
        """Yield the prompts of allowed length, as the API takes them."""
        return (self.ask(text) for text in texts if text and self.fits(text))
