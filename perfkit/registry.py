"""What is registered under which name: APIs and datasets, built in or the user's own.

Built-in ones are a table of name -> module, so that starting up imports only what a run uses.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TypeVar

from perfkit.errors import UnknownPlugin, nearest

Plugin = TypeVar("Plugin", bound=type)


def get_logger() -> logging.Logger:
    """Return perfkit's logger, for plugins that want to say something.

    Examples
    --------
    >>> get_logger().name
    'perfkit'
    """
    return logging.getLogger("perfkit")


@dataclass
class Registry:
    """Classes by name.

    Parameters
    ----------
    noun : str
        What is registered, for messages: ``"api"``, ``"dataset"``.
    built_in : mapping of str to str
        ``"module:Class"`` by name, imported when asked for.
    """

    noun: str
    built_in: Mapping[str, str]
    classes: dict[str, type] = field(default_factory=dict)

    def register(self, names: str | Iterable[str]) -> Callable[[Plugin], Plugin]:
        """Return a decorator that registers a class; a name that exists is replaced, at info level."""

        def decorate(cls: Plugin) -> Plugin:
            for name in (names,) if isinstance(names, str) else names:
                if name in self:
                    get_logger().info("%s %r is now %s.%s", self.noun, name, cls.__module__, cls.__qualname__)
                self.classes[name] = cls
            return cls

        return decorate

    def __contains__(self, name: object) -> bool:
        return name in self.classes or name in self.built_in

    def names(self) -> list[str]:
        """List every name, sorted."""
        return sorted({*self.classes, *self.built_in})

    def get(self, name: str) -> type:
        """Return the class registered under a name.

        Raises
        ------
        UnknownPlugin
            There is none; the message suggests the nearest name.
        """
        if name in self.classes:
            return self.classes[name]
        if name not in self.built_in:
            raise UnknownPlugin(f"no {self.noun} is called {name!r}{nearest(name, self.names())}")
        module, _, cls = self.built_in[name].partition(":")
        found: type = getattr(import_module(module), cls)
        return found


_BUILT_IN_APIS = {
    "perfkit.apis.openai:OpenAI": ("openai", "openai_chat", "chat"),
    "perfkit.apis.openai:Completions": ("completions", "openai_completions"),
    "perfkit.apis.openai:Responses": ("responses", "openai_responses", "openai_response"),
    "perfkit.apis.openai:Embeddings": ("embeddings", "embedding", "openai_embedding"),
    "perfkit.apis.openai:Rerank": ("rerank", "openai_rerank"),
    "perfkit.apis.dashscope:DashScope": ("dashscope",),
    "perfkit.apis.anthropic:Anthropic": ("anthropic",),
    "perfkit.apis.custom:Custom": ("custom",),
    "perfkit.apis.verbatim:Verbatim": ("verbatim",),
}

_BUILT_IN_DATASETS = {
    "perfkit.datasets.text:OpenQA": ("sample", "openqa"),
    "perfkit.datasets.text:LongAlpaca": ("longalpaca",),
    "perfkit.datasets.text:LineByLine": ("line_by_line", "custom"),
    "perfkit.datasets.records:Jsonl": ("jsonl",),
    "perfkit.datasets.records:Csv": ("csv",),
    "perfkit.datasets.records:Folder": ("hf",),
    "perfkit.datasets.records:Embedding": ("embedding",),
    "perfkit.datasets.records:Rerank": ("rerank",),
    "perfkit.datasets.conversations:ShareGpt": ("share_gpt", "share_gpt_zh", "share_gpt_en"),
    "perfkit.datasets.conversations:MultiTurn": (
        *("multi_turn", "custom_multi_turn", "share_gpt_zh_multi_turn", "share_gpt_en_multi_turn"),
    ),
    "perfkit.datasets.drawn:Random": ("random",),
    "perfkit.datasets.trace:Trace": ("trace", "workload_trace"),
}

APIS = Registry("api", {name: place for place, names in _BUILT_IN_APIS.items() for name in names})
DATASETS = Registry("dataset", {name: place for place, names in _BUILT_IN_DATASETS.items() for name in names})


def register_api(name: str | Iterable[str]) -> Callable[[Plugin], Plugin]:
    """Register a class as an API under a name, or under several.

    Parameters
    ----------
    name : str or list of str
        What ``--api`` calls it.

    Examples
    --------
    >>> @register_api("my-api")
    ... class MyApi:
    ...     def build_request(self, messages, param): return {"input": messages}
    >>> api_class("my-api") is MyApi
    True
    """
    return APIS.register(name)


def register_dataset(name: str | Iterable[str]) -> Callable[[Plugin], Plugin]:
    """Register a class as a dataset under a name, or under several.

    Parameters
    ----------
    name : str or list of str
        What ``--dataset`` calls it.
    """
    return DATASETS.register(name)


def api_class(name: str) -> type:
    """Return the API class registered under a name.

    Raises
    ------
    UnknownPlugin
        There is none; the message suggests the nearest name.
    """
    return APIS.get(name)


def dataset_class(name: str) -> type:
    """Return the dataset class registered under a name.

    Raises
    ------
    UnknownPlugin
        There is none; the message suggests the nearest name.
    """
    return DATASETS.get(name)
