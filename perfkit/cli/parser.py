"""A parser whose complaints are one sentence each, and the options that ``Arguments`` or ``Simulation`` declares."""

import argparse
import dataclasses
from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from types import NoneType
from typing import Any, NoReturn, get_args, get_origin, get_type_hints

from perfkit.errors import UsageError
from perfkit.options.arguments import OPTIONS, Arguments
from perfkit.options.coercion import read_settings
from perfkit.options.names import as_fields, said_here

TITLES = {
    "target": "the endpoint",
    "load": "the load",
    "prompts": "the prompts",
    "body": "the request body",
    "transport": "transport and limits",
    "record": "the record",
}


class Parser(argparse.ArgumentParser):
    """Raises UsageError where argparse prints its usage and exits; takes no abbreviated options."""

    def __init__(self, **keywords: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **keywords})

    def error(self, message: str) -> NoReturn:
        """Raise UsageError."""
        raise UsageError(f"{message}; see {self.prog} --help")


def read(parser: Parser, words: Sequence[str]) -> argparse.Namespace:
    """Return what the words of a command line mean."""
    options, unknown = parser.parse_known_args(words)
    if not unknown:
        return options
    word = unknown[0].partition("=")[0]
    if not word.startswith("-"):
        raise UsageError(f"{word!r} belongs to no option; see {parser.prog} {options.command} --help")
    known = parser._subparsers._group_actions[0].choices[options.command]._option_string_actions  # type: ignore[union-attr,index]
    # Compared without their dashes, which would make any two of them alike.
    bare = {option.lstrip("-"): option for option in known}
    close = get_close_matches(word.lstrip("-"), bare, n=1, cutoff=0.7)
    hint = said_here(word) if "--url" in known else None
    hint = hint or (f"did you mean {bare[close[0]]!r}?" if close else f"see {parser.prog} {options.command} --help")
    raise UsageError(f"{options.command} has no option {word}; {hint}")


def add_options(
    parser: argparse.ArgumentParser,
    groups: Collection[str] | None = None,
    leave_out: str = "",
    *,
    declared: type = Arguments,
    titles: Mapping[str, str] = TITLES,
) -> None:
    """Add one option per field of ``Arguments``, or of another dataclass whose fields ``option`` declares.

    Examples
    --------
    >>> parser = Parser()
    >>> add_options(parser)
    >>> given(parser.parse_args(["--parallel", "1", "8", "--headers", "A=b=c", "--no-stream"]))
    {'headers': ['A=b=c'], 'parallel': [1, 8], 'stream': False}
    >>> [given(parser.parse_args(words)) for words in (["--scrape"], ["--scrape", "gpu:9400/metrics"])]
    [{'scrape': True}, {'scrape': ['gpu:9400/metrics']}]
    """
    hints = get_type_hints(declared)
    chosen = titles if groups is None else groups
    titled = {name: parser.add_argument_group(title) for name, title in titles.items() if name in chosen}
    words = any(not each.option_strings and not isinstance(each, _Url) for each in parser._actions)
    for field in dataclasses.fields(declared):
        if field.metadata["group"] in titled and field.name != leave_out:
            _add(titled[field.metadata["group"]], field, hints[field.name], words=words)


def add_config(parser: argparse.ArgumentParser) -> None:
    """Add ``--config``."""
    parser.add_argument(
        "--config", metavar="FILE", help="TOML, YAML or JSON file of these options; the command line wins"
    )


def add_url(parser: argparse.ArgumentParser) -> None:
    """Add the endpoint as a word of its own, or several that share the requests, beside ``--url``.

    Examples
    --------
    >>> parser = Parser()
    >>> add_url(parser)
    >>> add_options(parser)
    >>> for words in (["a:80"], ["--url", "a:80"], ["a:80", "b:80"], ["--parallel", "1", "8", "http://a:80"]):
    ...     print(given(parser.parse_args(words))["url"])
    a:80
    a:80
    ['a:80', 'b:80']
    http://a:80
    """
    meaning = "the endpoint, as --url; a base URL gains the API's path"
    parser.add_argument("bare_url", nargs="*", metavar="URL", action=_Url, default=argparse.SUPPRESS, help=meaning)


def given(options: argparse.Namespace, declared: type = Arguments) -> dict[str, Any]:
    """Return the fields of a dataclass that a command line gave, those of its ``--config`` file beneath."""
    names = [field.name for field in dataclasses.fields(declared)]
    words = {name: getattr(options, name) for name in names if hasattr(options, name)}
    found = getattr(options, "bare_url", [])
    for bare in found:
        if not any(mark in bare for mark in ":./") and bare != "localhost":
            raise UsageError(f"{bare!r} belongs to no option, and is not a URL such as http://localhost:8000")
    if found:
        bare = found[0] if len(found) == 1 else found
        if words.setdefault("url", bare) not in (bare, [bare]):
            raise UsageError(f"the URL is given twice, as {words['url']!r} and as {bare!r}")
    config = as_fields(read_settings(options.config), OPTIONS) if getattr(options, "config", None) else {}
    return {**config, **words}


def _add(group: "argparse._ArgumentGroup", field: "dataclasses.Field[Any]", hint: Any, *, words: bool) -> None:
    """Add the option of one field. Values are checked by the dataclass, so that the sentence is the same everywhere.

    Of a command that takes ``words`` of its own, such as a file, ``--model`` takes one, as it always has, and repeats.
    """
    flags = [*field.metadata["flags"], f"--{field.name.replace('_', '-')}"]
    keywords: dict[str, Any] = {"dest": field.name, "default": argparse.SUPPRESS, "help": _help(field)}
    kinds = set(get_args(hint)) or {hint}
    if kinds <= {bool, NoneType}:
        keywords["action"] = argparse.BooleanOptionalAction
    elif get_origin(hint) is Mapping or field.metadata.get("repeat"):
        keywords |= {"nargs": "+", "action": _Extend, "metavar": "KEY=VALUE" if get_origin(hint) is Mapping else "PATH"}
    else:
        numeric = {*kinds, type(field.default)} & {int, float}
        keywords |= {"type": _read_number if numeric else str, "metavar": _metavar(field, numeric)}
        keywords |= {"nargs": "?", "const": True} if bool in kinds else {}
        keywords |= {"nargs": "+"} if field.metadata.get("many") else {}
        listed = numeric or Any in kinds or field.name == "mix"
        keywords |= {"action": Several} if field.metadata.get("many") and listed else {}
        keywords |= {"nargs": "*", "action": _TrueOrSome} if bool in kinds and field.metadata.get("many") else {}
        if field.metadata.get("many") and field.name == "model":
            keywords |= {"nargs": 1 if words else "+", "action": Several}
        if field.metadata.get("many") and field.name == "url":
            keywords |= {"nargs": 1 if words else "+", "action": _Urls}
    group.add_argument(*flags, **keywords)


class _Url(argparse.Action):
    """Keep bare words that may be the endpoint; they are checked when no option is unknown, whose value one may be."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: Any = None) -> None:
        setattr(namespace, self.dest, [*getattr(namespace, self.dest, []), *values])


class _Urls(argparse.Action):
    """Collect endpoints that share the requests; one is a text."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: Any = None) -> None:
        setattr(namespace, self.dest, values[0] if len(values) == 1 else values)


class Several(argparse.Action):
    """Collect the values of an option that takes many; a URL after them is the command's own."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: Any = None) -> None:
        """Keep them."""
        before = getattr(namespace, self.dest, []) if self.nargs == 1 else []
        setattr(namespace, self.dest, [*before, *_without_url(parser, namespace, values)])


def _without_url(parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: list[Any]) -> list[Any]:
    """Return the values of an option without a URL that was written behind them.

    ``--parallel 1 8 http://host`` gives the endpoint to a command that takes it as a bare word.
    """
    positional = next((each for each in parser._actions if isinstance(each, _Url)), None)
    last = values[-1]
    if positional is None or len(values) == 1 or not str(last).startswith(("http://", "https://", "unix:")):
        return values
    positional(parser, namespace, [last])
    return values[:-1]


class _Extend(argparse.Action):
    """Collect the values of an option that may be repeated; JSON stays one text."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: Any = None) -> None:
        values = _without_url(parser, namespace, values) if self.metavar == "KEY=VALUE" else values
        if len(values) == 1 and values[0].lstrip().startswith("{"):
            setattr(namespace, self.dest, values[0])
        else:
            setattr(namespace, self.dest, [*getattr(namespace, self.dest, []), *values])


class _TrueOrSome(argparse.Action):
    """Keep the values of an option that may be given without any: then it is true."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: Any = None) -> None:
        setattr(namespace, self.dest, list(values) or True)


def _read_number(text: str) -> int | float | str:
    """Return the number that a text spells; any other text as it is, for ``Arguments`` to refuse or take."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _metavar(field: "dataclasses.Field[Any]", kinds: Collection[Any]) -> str:
    choices = field.metadata.get("choices")
    if choices:
        return f"{{{','.join(choices)}}}"
    if field.metadata["unit"] == "s":
        return "SECONDS"
    number = "X" if float in kinds else "N" if int in kinds else None
    return number or _PLACEHOLDERS.get(field.name) or str(field.name.rpartition("_")[2].upper())


_PLACEHOLDERS = {"scrape": "URL"}


def _help(field: "dataclasses.Field[Any]") -> str:
    """Return the field's meaning and default."""
    default = field.default
    default = {True: "yes", False: "no"}[default] if isinstance(default, bool) else default
    plain = isinstance(default, (int, float, str)) and default != ""
    shown = f"; default: {default:g}" if isinstance(default, float) else f"; default: {default}"
    unlimited = isinstance(default, int) and default > 1e15
    text = field.metadata["meaning"] + (shown if plain and not unlimited else "")
    return str(text.replace("%%", "%").replace("%", "%%"))
