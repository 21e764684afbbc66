"""Which tools' command lines are understood, how one is recognised, and what came of it."""

import json
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath

from perfkit.errors import UsageError
from perfkit.options.coercion import as_mapping
from perfkit.options.units import duration
from perfkit.records import Json
from perfkit.registry import Registry
from perfkit.secrets import is_secret_name

AFTERWARDS = "asked of the run file afterwards: perfkit show FILE"
KEPT = "every request is kept anyway, in outputs/ or the file of --db"
SHOWN = "progress is shown unless --quiet is given"
SERVER = "a profiler of the server is not started"


@dataclass
class Given:
    """The options of another tool's command line. What nobody takes is told at the end."""

    options: dict[str, list[str]]
    """Values by name without dashes, all occurrences one after the other; none for a flag."""
    words: list[str]
    """Those that belong to no option."""

    def many(self, *names: str) -> list[str]:
        """Take the values of an option, given under any of its names; those between commas one by one."""
        found = [value for name in names for value in self.options.pop(name, [])]
        return [part for value in found for part in value.split(",") if part]

    def every(self, *names: str) -> list[str]:
        """Take the values of an option as they are."""
        return [value for name in names for value in self.options.pop(name, [])]

    def one(self, *names: str, default: str | None = None) -> str | None:
        """Take the last value of an option."""
        found = self.every(*names)
        return found[-1] if found else default

    def number(self, *names: str, default: float = 0.0) -> float:
        """Take the last value of an option as a number.

        Raises
        ------
        UsageError
            It is none.
        """
        text = self.one(*names)
        try:
            return default if text is None else float(text)
        except ValueError:
            raise UsageError(f"--{names[0]} is a number in the command line to translate, got {text!r}") from None

    def has(self, *names: str) -> bool:
        """Take a flag."""
        return any([self.options.pop(name, None) is not None for name in names])


@dataclass
class Ours:
    """A command line of ours in the making, and what is to be said of it."""

    url: str | None = None
    others: tuple[str, ...] = ()
    """URLs that share the requests with it."""
    options: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def set(self, name: str, *values: object) -> None:
        """Give an option, unless there is no value."""
        texts = [spelt(value) for value in values if value is not None]
        if texts:
            self.options[name] = [*self.options.get(name, ()), *texts] if name in _ADDED else texts

    def flag(self, name: str) -> None:
        """Give an option without a value."""
        self.options[name] = []

    def note(self, sentence: str) -> None:
        """Say what differs, or cannot be said."""
        self.notes.append(sentence)

    def headers(self, pairs: Iterable[str], separator: str) -> None:
        """Give headers; the value of one that holds a key is not repeated."""
        for pair in pairs:
            name, _, value = pair.partition(separator)
            name, value = name.strip(), value.strip()
            if is_secret_name(name):
                variable = name.upper().replace("-", "_")
                self.note(f"the key of the header {name} is read from the environment: export {variable}=...")
                value = f"env:{variable}"
            self.set("headers", f"{name}={value}")

    def key(self, given: str | None) -> None:
        """Give the key, by a variable: it is not repeated."""
        if given is not None:
            self.set("api-key", "env:API_KEY")
            self.note("the key is read from the environment: export API_KEY=...")

    def tokenizer(self, given: str | None) -> None:
        """Give the tokenizer if it lies on this disk."""
        if given is None:
            return
        if given.startswith((".", "/", "~")):
            self.set("tokenizer-path", given)
        else:
            self.note(
                f"nothing is downloaded during a benchmark: with the tokenizer of {given} in a folder, and "
                "--tokenizer-path FOLDER, lengths are exact; without, they are estimated"
            )

    def body(self, given: str | None, also: Mapping[str, Json]) -> None:
        """Give fields of the body: those of a JSON text, and others that are sent unless it has them.

        Raises
        ------
        UsageError
            The text is no JSON object.
        """
        if given is None:
            self.set("extra-args", *(f"{name}={json.dumps(value)}" for name, value in also.items()))
        else:
            self.set("extra-args", json.dumps({**also, **as_mapping("the extra body", given)}))

    def field(self, name: str, value: Json) -> None:
        """Give a field of the body that has no option here, unless the body has it."""
        given = self.options.get("extra-args", [])
        if given and given[0].startswith("{"):
            self.options["extra-args"] = [json.dumps({name: value, **json.loads(given[0])})]
        elif not any(each.startswith(f"{name}=") for each in given):
            self.set("extra-args", f"{name}={json.dumps(value)}")

    def limited_anew(self) -> None:
        """Send the longest answer as ``max_completion_tokens``, as newer clients do in chats."""
        if self.options.get("api") == ["openai"] and "max-tokens" in self.options:
            (longest,) = self.options.pop("max-tokens")
            self.field("max_completion_tokens", int(longest))

    def drawn(self, mean: float, stdev: float) -> None:
        """Give random prompts whose length is normally distributed."""
        self.set("dataset", "random")
        length = {
            "mean": int(mean) if mean.is_integer() else mean,
            "stdev": int(stdev) if stdev.is_integer() else stdev,
        }
        self.set("dataset-args", json.dumps({"length": length}))

    def lengths(self, prompt: tuple[float, float], answer: tuple[float, float] | None) -> None:
        """Give random prompts and answers of a length, or of lengths that lie evenly between two."""
        self.set("dataset", "random")
        low, high = prompt
        self.set("dataset-args", f"length={spelt(low)}" if low == high else f"length=[{spelt(low)}, {spelt(high)}]")
        if answer is not None:
            low, high = answer
            self.set("max-tokens", round((low + high) / 2))
            if low != high:
                self.note(f"answers are all as long as the mean: theirs are of {spelt(low)} to {spelt(high)} tokens")

    def goodput(self, pairs: Iterable[str]) -> None:
        """Say how the goodput is asked for: theirs are milliseconds of each metric."""
        metrics = {"ttft": "ttft", "time_to_first_token": "ttft", "tpot": "tpot", "inter_token_latency": "tpot"}
        metrics |= {"e2el": "e2e", "e2e": "e2e", "request_latency": "e2e"}
        found = [(metrics.get(name), value) for name, _, value in (pair.partition(":") for pair in pairs)]
        told = [f"{metric}:{value}ms" for metric, value in found if metric]
        if told:
            self.note(f"goodput is {AFTERWARDS} --slo {' '.join(told)}")

    def __str__(self) -> str:
        words = ["perfkit", "run", *([self.url] if self.url else []), *self.others]
        for name, values in self.options.items():
            words += [f"-{name}" if len(name) == 1 else f"--{name}", *values]
        return shlex.join(words)


_ADDED = ("headers", "tag", "extra-args")
"""Options whose values are collected."""


def spelt(value: object) -> str:
    """Return a value as it is typed: numbers without needless digits.

    Examples
    --------
    >>> [spelt(value) for value in (8.0, 0.5, 3, "a")]
    ['8', '0.5', '3', 'a']
    """
    return f"{value:.12g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True)
class Tool:
    """A tool whose command line is understood.

    Parameters
    ----------
    name : str
        What it is called.
    heads : tuple of tuple of str
        How its command line begins, whatever stands before.
    translate : callable
        Takes the options given, and fills in ours.
    flags : frozenset of str
        Its options without a value.
    short : mapping of str to str
        Its short options, and what they stand for.
    reasons : mapping of str to str
        Options that are left out, and why.
    """

    name: str
    heads: tuple[tuple[str, ...], ...]
    translate: Callable[[Given, Ours], None]
    flags: frozenset[str] = frozenset()
    short: Mapping[str, str] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)


TOOLS: Registry[Tool] = Registry("tool", "perfkit.cli.tools")
"""Tools by name."""


def tool(
    name: str,
    *heads: str,
    flags: str = "",
    short: Mapping[str, str] | None = None,
    reasons: Mapping[str, str] | None = None,
) -> Callable[[Callable[[Given, Ours], None]], Callable[[Given, Ours], None]]:
    """Register a function that translates a tool's options.

    Parameters
    ----------
    name : str
        What the tool is called.
    *heads : str
        How its command line begins: ``"vllm bench serve"``, or the name of a module or script.
    flags : str
        Its options without a value, divided by blanks.
    short : mapping of str to str, optional
        Its short options.
    reasons : mapping of str to str, optional
        Why options are left out: a sentence for each name, or for several divided by blanks.
    """

    def register(translate: Callable[[Given, Ours], None]) -> Callable[[Given, Ours], None]:
        why = {each: reason for names, reason in (reasons or {}).items() for each in names.split()}
        begins = tuple(tuple(head.split()) for head in heads)
        entry = Tool(name, begins, translate, frozenset(flags.split()), short or {}, why)
        TOOLS.register(name, entry, translate.__module__)
        return translate

    return register


def translated(words: Sequence[str]) -> tuple[Tool, Ours]:
    """Return a command line of another tool in our words.

    Raises
    ------
    UsageError
        It is of no tool that is known, or cannot be read.

    Examples
    --------
    >>> _, ours = translated("vllm bench serve --model m --max-concurrency 8 --num-prompts 100".split())
    >>> print(str(ours)[:62])
    perfkit run http://127.0.0.1:8000/v1/completions --api complet
    """
    found = _recognised(words)
    if found is None:
        known = ", ".join(sorted(each.name for each in TOOLS.values()))
        raise UsageError(f"{shlex.join(words[:3])} is no benchmark whose options are known here (known: {known})")
    which, rest = found
    given, ours = _read(which, rest), Ours()
    try:
        which.translate(given, ours)
    except UsageError:
        raise
    except (ValueError, ArithmeticError) as error:
        raise UsageError(f"an option of {which.name} cannot be read: {error}") from None
    for name in given.options:
        reason = which.reasons.get(name)
        ours.note(f"{_dashed(name)} is left out: {reason or 'perfkit has nothing like it'}")
    if given.words:
        ours.note(f"{shlex.join(given.words)} belongs to no option, and is left out")
    return which, ours


def _recognised(words: Sequence[str]) -> tuple[Tool, list[str]] | None:
    names = [PurePath(word).name for word in words[:8]]
    for at in range(len(names)):
        for each in TOOLS.values():
            for head in each.heads:
                if tuple(names[at : at + len(head)]) == head:
                    return each, list(words[at + len(head) :])
    return None


def _read(which: Tool, words: Iterable[str]) -> Given:
    """Read options: of each, the words up to the next one, but of a flag none."""
    given = Given({}, [])
    current: str | None = None
    for word in (each for each in words if each != "--"):
        if _is_option(word):
            name, equals, value = word.lstrip("-").partition("=")
            name = which.short.get(name, name).replace("_", "-")
            given.options.setdefault(name, []).extend([value] if equals else [])
            current = None if equals or name in which.flags else name
        elif current is None:
            given.words.append(word)
        else:
            given.options[current].append(word)
    return given


def _is_option(word: str) -> bool:
    return word.startswith("-") and not word.lstrip("-").replace(".", "", 1).isdigit() and len(word.lstrip("-")) > 0


def _dashed(name: str) -> str:
    return f"-{name}" if len(name) == 1 else f"--{name}"


def warmed(ours: Ours, number: float | None, warmup: float) -> None:
    """Give the number of requests; those of a warm-up, which theirs come before, are among ours."""
    if number is not None:
        ours.set("number", number + warmup)
    if warmup:
        ours.set("warmup", warmup)
        ours.note(f"the {spelt(warmup)} requests of the warm-up are the first of --number: labelled, and kept")


def seconds(text: str | None) -> float | None:
    """Return a time in seconds."""
    return None if text is None else duration("time", text)
