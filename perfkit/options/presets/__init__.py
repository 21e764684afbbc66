"""Presets: loads that people name, with the figures that make them and where these were published.

A preset is a set of options. What a person gives beside it replaces what it says; the run file keeps its name and every
option that it set, so that a run is understood when the preset has changed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from perfkit.errors import UsageError
from perfkit.options.coercion import as_mapping, typed
from perfkit.records import Json
from perfkit.registry import Registry, as_names

CHARACTERS_PER_TOKEN = 4
"""What stands for a token in prompts that are made without a tokenizer: the usual rule for English."""

INSTEAD: Mapping[str, tuple[str, ...]] = {
    "length": ("min_prompt_length", "max_prompt_length"),
    "output": ("max_tokens",),
    "think_time": ("think_time",),
}
"""Figures of ``dataset_args``, and the options that take their place when they are given."""


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A load with a name.

    Parameters
    ----------
    meaning : str
        What it stands for, as tables and ``perfkit presets`` say it.
    settings : mapping of str to object
        Fields of ``Arguments``; lengths in tokens, times in seconds.
    sources : mapping of str to str
        For each figure among the settings, by its name there, where it was published; for a figure without a source,
        that it was chosen.

    Examples
    --------
    >>> terse = Preset(
    ...     meaning="short questions, answers of one word",
    ...     settings={"dataset": "random", "dataset_args": {"length": 32, "output": 4}},
    ...     sources={"length": "chosen", "output": "chosen"},
    ... )
    >>> terse.figures
    {'length': 32, 'output': 4}
    """

    meaning: str
    settings: Mapping[str, Json]
    sources: Mapping[str, str]

    @property
    def figures(self) -> dict[str, Json]:
        """What it sets, the options of its dataset among the others, without the dataset's own name."""
        plain = {name: value for name, value in self.settings.items() if name not in ("dataset", "dataset_args")}
        return {**plain, **self.settings.get("dataset_args", {})}


Declaration = Callable[[], Preset]

PRESETS: Registry[Preset] = Registry("preset", "perfkit.options.presets")


def register_preset(name: str) -> Callable[[Declaration], Declaration]:
    """Register what a function returns as a preset.

    Parameters
    ----------
    name : str
        What ``--preset`` calls it; one of that name is replaced.

    Raises
    ------
    UsageError
        The function returns no ``Preset``.

    Examples
    --------
    >>> @register_preset("terse")
    ... def terse():
    ...     return Preset(meaning="one word", settings={"max_tokens": 4}, sources={"max_tokens": "chosen"})
    >>> from perfkit.options.arguments import Arguments
    >>> Arguments(preset="terse").max_tokens
    4
    >>> del PRESETS["terse"]
    """

    def register(declare: Declaration) -> Declaration:
        preset = declare()
        if not isinstance(preset, Preset):
            raise UsageError(f"the preset {name!r} must be a function that returns a Preset, got {preset!r}")
        PRESETS.register(as_names("preset", name), preset, declare.__module__)
        return declare

    return register


def not_replaced(figures: Mapping[str, Json], given: Mapping[str, Any]) -> dict[str, Json]:
    """Return those of a preset's ``dataset_args`` in whose place nothing is given.

    Examples
    --------
    >>> not_replaced({"length": 32, "output": 4}, {"max_tokens": 16})
    {'length': 32}
    """
    return {
        figure: value
        for figure, value in figures.items()
        if all(given.get(option) is None for option in INSTEAD.get(figure, ()))
    }


class Applied(str):
    """The name of a preset whose settings stand among the others already."""

    __slots__ = ()


def with_preset(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with those of their preset added; what was given stays.

    Raises
    ------
    UnknownPlugin
        No preset has that name.
    UsageError
        Other prompts were given beside it.

    Examples
    --------
    >>> with_preset({"preset": "code", "prefix_length": 100})["prefix_length"]
    100
    """
    name = given.get("preset")
    if not isinstance(name, str) or isinstance(name, Applied):
        return dict(given)
    settings = PRESETS.find(name).settings
    for other in ("dataset", "dataset_path", "mix", "prompt"):
        asked = given.get(other)
        if asked is not None and asked != () and asked != settings.get(other):
            raise UsageError(
                f"the preset {name!r} makes prompts of its own, {other} asks others; leave one of them out"
            )
    arguments = {
        **not_replaced(settings.get("dataset_args", {}), given),
        **as_mapping("dataset_args", given.get("dataset_args"), typed),
    }
    added = {"dataset_args": arguments} if arguments else {}
    return {**settings, **given, **added, "preset": Applied(name)}
