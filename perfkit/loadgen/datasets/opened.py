"""One pass or many over whatever the arguments name as dataset."""

import hashlib
import itertools
import random
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sized
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from perfkit.apis.error_places import STEPS
from perfkit.errors import BrokenOff, PerfkitError, PluginFailure, UnknownPlugin, UsageError, nearest
from perfkit.loadgen.choices import Choice
from perfkit.loadgen.datasets.base import Content, DatasetPluginBase
from perfkit.loadgen.datasets.files import kind_of
from perfkit.loadgen.datasets.records import OF_OTHER_LENGTH, TEXT_COLUMNS, Rows
from perfkit.loadgen.datasets.remarks import Remarks
from perfkit.loadgen.datasets.shapes import TALKS, TURNS
from perfkit.options.arguments import Arguments
from perfkit.options.coercion import undecodable
from perfkit.options.units import weighted
from perfkit.records import Prompt
from perfkit.registry import APIS, DATASETS, api_class, dataset_class

Thing = TypeVar("Thing")

SHUFFLE_WINDOW = 10_000
_EDGE = 2**20


@dataclass(frozen=True)
class OpenedDataset:
    """A dataset ready to be read.

    Parameters
    ----------
    name : str
        As it is kept with the run.
    items : callable
        Starts a pass: returns an iterator of items.
    path : Path, optional
        The file behind it.
    system : str, optional
        System message put before each prompt.
    known_length : int, optional
        Number of items where that is known without reading, else None.
    remarks : Remarks
        What is to be said about it, gathered while it is read.
    """

    name: str
    items: Callable[[], Iterable[Any]]
    path: Path | None = None
    system: str | None = None
    known_length: int | None = None
    remarks: Remarks = field(default_factory=Remarks)
    fits: Callable[[Any], bool] | None = None
    """Whether an item is of the length asked for; None where the dataset itself leaves out what is not."""

    def prompts(self) -> Iterator[Prompt]:
        """Yield the prompts of one pass; ``row`` counts the items from 0."""
        for row, item in enumerate(_naming_lines(self.items)):
            prompt = item if isinstance(item, Prompt) else Prompt(self._content(item, row), row)
            prompt = replace(prompt, row=row) if prompt.row is None else prompt
            if (bad := undecodable(prompt.content)) is not None:
                raise UsageError(f"dataset {self.name!r}, item {row}: UTF-8 cannot spell the text {bad[-60:]!r}")
            if self.fits is not None and not self.fits(prompt.content):
                self.remarks.drop(OF_OTHER_LENGTH, f"item {row}")
                continue
            yield replace(prompt, content=with_system(prompt.content, self.system)) if self.system else prompt

    def _content(self, item: Any, row: int) -> Content:
        if isinstance(item, (str, list, dict)):
            return item
        if isinstance(item, tuple) or (hasattr(item, "tolist") and hasattr(item, "__len__")):
            return list(item)  # a column of lists read from Parquet holds arrays
        raise UsageError(
            f"dataset {self.name!r}, item {row}: a text, a list of messages or a whole body is wanted, got {item!r}"
        )

    @property
    def hash(self) -> str | None:
        """Fingerprint of the file: of its size and its first and last MiB, so that large files cost nothing."""
        if self.path is None or not self.path.is_file():
            return None
        size = self.path.stat().st_size
        digest = hashlib.sha256(str(size).encode())
        with self.path.open("rb") as file:
            digest.update(file.read(_EDGE))
            file.seek(max(0, size - _EDGE))
            digest.update(file.read(_EDGE))
        return digest.hexdigest()[:16]


def _naming_lines(items: Callable[[], Iterable[Any]]) -> Iterator[Any]:
    """Yield items; where the code behind them raises, name its line."""
    try:
        for item in items():
            STEPS.begun += 1
            yield item
    except PerfkitError:
        raise
    except (Exception, SystemExit) as error:
        raise _failure(error) from error


def _made(cls: type[DatasetPluginBase], arguments: Arguments) -> DatasetPluginBase:
    try:
        return cls(arguments)
    except PerfkitError:
        raise
    except (Exception, SystemExit) as error:
        raise _failure(error) from error


def _failure(error: BaseException) -> PerfkitError:
    if isinstance(error, BrokenOff):
        return error.reason
    *_, last = traceback.extract_tb(error.__traceback__)
    return PluginFailure(f"the dataset raised at {last.filename}:{last.lineno}: {type(error).__name__}: {error}")


def open_dataset(arguments: Arguments) -> OpenedDataset:
    """Open what the arguments name: a prompt, a registered name, a path, or an iterable.

    Examples
    --------
    >>> open_dataset(Arguments()).name
    'sample'
    """
    arguments = arguments.replace(apply_chat_template=_chats(arguments))
    if arguments.mix:
        return _mixed(arguments)
    prompt = arguments.prompt_text()
    if prompt is not None:
        beside = next((name for name in ("dataset", "dataset_path") if getattr(arguments, name) is not None), None)
        if beside is not None:
            raise UsageError(f"prompt is one prompt for every request, {beside} asks others; leave one of them out")
        _refuse_unread(arguments, "prompt", DatasetPluginBase)
        item = [{"role": "user", "content": prompt}] if arguments.apply_chat_template else prompt
        fits = DatasetPluginBase(arguments).fits_item
        return OpenedDataset("prompt", lambda: [item], system=arguments.system, known_length=1, fits=fits)
    if arguments.dataset is not None and not isinstance(arguments.dataset, str):
        return _of_iterable(arguments.dataset, arguments)
    name, cls, arguments = _named(arguments)
    if cls.__module__.startswith("perfkit.loadgen.datasets."):
        _refuse_unread(arguments, name, cls)
    plugin = _made(cls, arguments)
    path = plugin.file if isinstance(plugin, DatasetPluginBase) else None
    remarks = plugin.remarks if isinstance(plugin, DatasetPluginBase) else Remarks()
    measure = plugin.fits_item if isinstance(plugin, DatasetPluginBase) and plugin.fits_whole else None
    return OpenedDataset(name, plugin.build_messages, path, arguments.system, remarks=remarks, fits=measure)


_OF_SOME = {
    "prefix_length": "prefix_length is of dataset='random'",
    "speed": "speed is of recorded times, dataset='trace'",
    "think_time": "with rate, think_time is between the turns of a conversation; for users who think give parallel",
}
"""Arguments that would do nothing with most datasets, and what to give them with."""


def _refuse_unread(arguments: Arguments, name: str, cls: type[DatasetPluginBase]) -> None:
    """Refuse what a built-in dataset makes no use of."""
    plain = Arguments()
    for argument, sentence in _OF_SOME.items():
        value = getattr(arguments, argument)
        used = argument in cls.reads or (argument == "think_time" and arguments.load == "closed")
        if value != getattr(plain, argument) and not used:
            raise UsageError(f"{sentence}; got {argument}={value} with dataset={name!r}")
    for option in arguments.dataset_args:
        if option not in cls.options:
            raise UsageError(f"dataset {name!r} has no option {option!r} in dataset_args{nearest(option, cls.options)}")


def prompts(arguments: Arguments, dataset: OpenedDataset | None = None) -> Iterator[Prompt]:
    """Yield the prompts of a run: the dataset once, or over and over when ``number`` or ``duration`` is given."""
    dataset = dataset or open_dataset(arguments)
    endless = arguments.number is not None or arguments.duration is not None
    for cycle in itertools.count():
        count = 0
        for prompt in _one_pass(dataset, arguments, cycle):
            count += 1
            yield _again(prompt, cycle) if cycle else prompt
        if not count and not cycle:
            raise UsageError(
                f"dataset {dataset.name!r} holds no prompt that may be sent{_skipped(arguments)}{_why(dataset)}"
            )
        if not count or not endless:
            return


def reading(arguments: Arguments) -> tuple[Iterator[Prompt], Remarks]:
    """Return the prompts of a run, and what is to be said of them as far as they are read."""
    dataset = open_dataset(arguments)
    return prompts(arguments, dataset), dataset.remarks


def name_models(arguments: Arguments) -> bool:
    """Say whether the dataset's first item is a body that says its model."""
    first = next(prompts(arguments)).content
    return isinstance(first, dict) and bool(first.get("model"))


def _again(prompt: Prompt, cycle: int) -> Prompt:
    # A conversation that is held again is another conversation.
    session = f"{prompt.session_id}/{cycle}" if prompt.session_id is not None else None
    return replace(prompt, cycle=cycle, session_id=session)


def _one_pass(dataset: OpenedDataset, arguments: Arguments, cycle: int) -> Iterator[Prompt]:
    prompts = dataset.prompts()
    if arguments.shuffle and not arguments.mix:  # whose datasets are shuffled each
        # Whole conversations change places, not their turns.
        talks = (tuple(turns) for _, turns in itertools.groupby(prompts, key=_conversation))
        order = random.Random(f"{arguments.prompt_seed}/{cycle}")
        prompts = itertools.chain.from_iterable(shuffled(talks, order))
    return itertools.islice(prompts, 0 if cycle else arguments.dataset_offset, None)


def _conversation(prompt: Prompt) -> str | int | None:
    if prompt.due is not None:
        raise UsageError("a trace is played in its order; leave shuffle out")
    return prompt.session_id if prompt.session_id is not None else prompt.row


def _skipped(arguments: Arguments) -> str:
    if arguments.dataset_offset:
        return f" after dataset_offset={arguments.dataset_offset}"
    least, most = arguments.min_prompt_length, arguments.max_prompt_length
    if most < sys.maxsize:
        return f": none is between {least} and {most} long"
    if least:
        return f": none is at least {least} long"
    return ""


def _why(dataset: OpenedDataset) -> str:
    left_out = [sentence for sentence in dataset.remarks.sentences() if sentence.startswith("records left out")]
    return f"; {left_out[0]}" if left_out else ""


def shuffled(things: Iterator[Thing], rng: random.Random) -> Iterator[Thing]:
    """Yield in an order drawn within a moving window, so that a file of any size streams."""
    window = list(itertools.islice(things, SHUFFLE_WINDOW))
    for newcomer in things:
        place = rng.randrange(len(window))
        yield window[place]
        window[place] = newcomer
    rng.shuffle(window)
    yield from window


def with_system(content: Any, system: str) -> Any:
    """Return what is asked with a system message before it; a body without messages stays as it is.

    Examples
    --------
    >>> with_system([{"role": "user", "content": "hi"}], "Be brief.")[0]
    {'role': 'system', 'content': 'Be brief.'}
    """
    if isinstance(content, str):
        return f"{system}\n\n{content}"
    if isinstance(content, list):
        return [{"role": "system", "content": system}, *content]
    if isinstance(content, dict) and "messages" in content:
        return {**content, "messages": with_system(content["messages"], system)}
    return content


def _named(arguments: Arguments) -> tuple[str, type[DatasetPluginBase], Arguments]:
    """Return name, class and arguments of a dataset that is given by name or path."""
    given = arguments.dataset
    if given is None:
        given = arguments.dataset_path or "sample"
    if given in DATASETS:
        return given, dataset_class(given), arguments
    path = Path(given).expanduser()
    if path.exists() and arguments.dataset_path not in (None, given):
        raise UsageError(
            f"dataset={given} and dataset_path={arguments.dataset_path} are two files; give one, or for dataset a name"
        )
    if not path.exists():
        raise UnknownPlugin(f"no dataset is called {given!r}, and no file is there{nearest(given, DATASETS)}")
    kind = "hf" if path.is_dir() else _BY_KIND.get(kind_of(path), "line_by_line")
    return path.name, dataset_class(kind), arguments.replace(dataset_path=str(path))


_BY_KIND = {
    **dict.fromkeys((".jsonl", ".ndjson", ".json", ".parquet", ".arrow"), "jsonl"),
    **dict.fromkeys((".csv", ".tsv"), "csv"),
}


def _of_iterable(items: Any, arguments: Arguments) -> OpenedDataset:
    """Open an iterable, or a DataFrame whose rows are records."""
    name = type(items).__name__
    if hasattr(items, "columns"):
        return _of_frame(items, name, arguments)
    if not isinstance(items, Iterable):
        raise UsageError(f"dataset must be a name, a path, an iterable or a DataFrame, got {name}")
    if arguments.dataset_args:
        raise UsageError(f"dataset_args are of files, DataFrames and datasets with a name; a {name} has none")
    length = len(items) if isinstance(items, Sized) else None
    fits = DatasetPluginBase(arguments).fits_item
    return OpenedDataset(name, lambda: items, None, arguments.system, length, fits=fits)


def _of_frame(frame: Any, name: str, arguments: Arguments) -> OpenedDataset:
    wanted = {*TALKS, *TEXT_COLUMNS, TURNS, "body", "model"} if not arguments.dataset_args else frame.columns
    if not any(column in wanted for column in frame.columns):
        raise UsageError(f"a DataFrame of prompts needs a column messages or prompt, got {list(frame.columns)}")
    _refuse_unread(arguments, name, Rows)
    rows = Rows(arguments, frame)
    length = None if TURNS in frame.columns else len(frame)
    return OpenedDataset(name, rows.build_messages, None, arguments.system, length, rows.remarks)


def _mixed(arguments: Arguments) -> OpenedDataset:
    """Open several datasets as one: each conversation, and each prompt alone, is of one that is drawn by weight."""
    shares = weighted("mix", arguments.mix)
    classes = _classes([name for name, _ in shares])
    unknown = next((name for name in arguments.dataset_args if name not in classes.values()), None)
    if unknown is not None:
        raise UsageError(
            f"the dataset_args of a mix are by class, such as {min(classes.values())}; "
            f"no class is called {unknown!r}{nearest(unknown, classes.values())}"
        )
    # What holds of all of them is done to the mix.
    plain = arguments.replace(mix=(), system=None, dataset_offset=0)
    given = {
        name: plain.replace(dataset=name, dataset_args=arguments.dataset_args.get(kind, {}))
        for name, kind in classes.items()
    }
    opened = {name: open_dataset(own) for name, own in given.items()}
    choice = Choice(shares, arguments.prompt_seed, "mix")

    def items() -> Iterator[Prompt]:
        talks = {name: itertools.groupby(prompts(own, opened[name]), _numbered()) for name, own in given.items()}
        for number in itertools.count():
            name = choice.of(number)
            for prompt in next(talks[name])[1]:
                if prompt.due is not None:
                    raise UsageError(f"{name} has times of its own, and cannot be mixed with others; play it alone")
                session = None if prompt.session_id is None else f"{classes[name]}/{prompt.session_id}"
                yield replace(prompt, kind=classes[name], session_id=session)

    remarks = Remarks(parts=[each.remarks for each in opened.values()])
    return OpenedDataset("mix", items, system=arguments.system, remarks=remarks)


def _classes(names: list[str]) -> dict[str, str]:
    """Return what the requests of each dataset are called: its name, or of a file its name without the ending."""
    short = {name: name if name in DATASETS else Path(name).stem for name in names}
    return short if len({*short.values()}) == len(names) else {name: name for name in names}


def _numbered() -> Callable[[Prompt], object]:
    """Return what tells conversations, and prompts alone, apart."""
    numbers = itertools.count()
    return lambda prompt: next(numbers) if prompt.session_id is None else prompt.session_id


def _chats(arguments: Arguments) -> bool:
    """Say whether prompts become chat messages: as given, else by the URL."""
    if arguments.apply_chat_template is not None:
        return arguments.apply_chat_template
    api_path = getattr(api_class(str(arguments.api)), "path", "") if arguments.api in APIS else "/v1/chat/completions"
    return urlsplit(arguments.endpoint(api_path)).path.endswith("chat/completions")
