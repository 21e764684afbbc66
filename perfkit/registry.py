"""The registry that APIs, datasets, metrics, rates, charts and importers share: names, and what they stand for.

What comes with perfkit is found: the modules of a registry's package are imported when it is first looked into, and
their decorators register what they define. A new file there is all that a new built-in needs.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from importlib import import_module
from pkgutil import iter_modules
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from perfkit.errors import UnknownPlugin, UsageError, nearest

Entry = TypeVar("Entry")
Plugin = TypeVar("Plugin", bound=type)


REGISTRIES: "list[Registry[Any]]" = []
"""Every registry that there is."""


def get_logger() -> logging.Logger:
    """Return perfkit's logger, for plugins that want to say something.

    Examples
    --------
    >>> get_logger().name
    'perfkit'
    """
    return logging.getLogger("perfkit")


class Registry(MutableMapping[str, Entry], Generic[Entry]):
    """Entries by name: those that come with perfkit, and the users' own, which replace them.

    Parameters
    ----------
    noun : str
        What is registered, for messages: ``"api"``, ``"dataset"``.
    package : str, optional
        The package whose modules register what is built in.

    Examples
    --------
    >>> colours = Registry("colour")
    >>> colours.register(["red", "crimson"], 0xff0000, "mine")
    >>> colours["crimson"] == colours.find("red")
    True
    >>> colours.find("rad")
    Traceback (most recent call last):
    perfkit.errors.UnknownPlugin: no colour is called 'rad'; did you mean 'red'? (known: crimson, red)
    """

    def __init__(self, noun: str, package: str | None = None) -> None:
        self.noun, self.package = noun, package
        self.own: dict[str, Entry] = {}
        """What users registered."""
        self._built_in: dict[str, tuple[str, Entry]] = {}
        """What a module of the package registered, with the module's name."""
        self._is_loaded = package is None
        REGISTRIES.append(self)

    def register(self, names: str | Iterable[str], entry: Entry, module: str | None) -> None:
        """Register an entry under a name, or under several; one that replaces another says so in the log.

        Parameters
        ----------
        names : str or iterable of str
            The first is its name, others are aliases.
        entry : object
            What they stand for.
        module : str or None
            Where it was defined: in the registry's own package, it is built in.

        Raises
        ------
        UsageError
            The names are no texts.
        """
        names = as_names(self.noun, names)
        if self.package and module and module.startswith(f"{self.package}."):
            self._built_in |= dict.fromkeys(names, (module, entry))
            return
        for name in names:
            if name in self:
                is_first = name not in self.own
                told = "%s %r is now that of %s" + ", in place of perfkit's own" * is_first
                get_logger().log(
                    logging.WARNING if is_first else logging.INFO, told, self.noun, name, module or "a script"
                )
            self.own[name] = entry

    @property
    def built_in(self) -> Mapping[str, Entry]:
        """What comes with perfkit, in order of modules; replaced or not."""
        self._load()
        return MappingProxyType({name: entry for name, (_, entry) in self._built_in.items()})

    def find(self, name: str) -> Entry:
        """Return the entry of a name.

        Raises
        ------
        UnknownPlugin
            There is none; the message suggests the nearest name.
        """
        if name not in self:
            raise UnknownPlugin(f"no {self.noun} is called {name!r}{nearest(name, self)}")
        return self[name]

    def name_of(self, entry: Entry) -> str | None:
        """Return the first name under which an entry is registered."""
        return next((name for name, each in self.items() if each is entry), None)

    def _ipython_key_completions_(self) -> list[str]:
        return list(self)

    def __getitem__(self, name: str) -> Entry:
        if name in self.own:
            return self.own[name]
        self._load()
        return self._built_in[name][1]

    def __setitem__(self, name: str, entry: Entry) -> None:
        self.own[name] = entry

    def __delitem__(self, name: str) -> None:
        if name in self.own:
            del self.own[name]
        else:
            del self._built_in[name]

    def __iter__(self) -> Iterator[str]:
        self._load()
        return iter(dict.fromkeys([*self._built_in, *self.own]))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return f"<Registry {self.noun}: {', '.join(self)}>"

    def _load(self) -> None:
        """Import the modules of the package, once."""
        if self._is_loaded:
            return
        self._is_loaded = True  # first: they may look into the registry
        package = import_module(str(self.package))
        for module in iter_modules(package.__path__, f"{package.__name__}."):
            import_module(module.name)
        # One order, whichever module was imported first.
        self._built_in = dict(sorted(self._built_in.items(), key=lambda item: item[1][0]))


APIS: Registry[type] = Registry("api", "perfkit.apis")
DATASETS: Registry[type] = Registry("dataset", "perfkit.loadgen.datasets")

api_class = APIS.find
dataset_class = DATASETS.find


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
    return _class_decorator(APIS, name)


def register_dataset(name: str | Iterable[str]) -> Callable[[Plugin], Plugin]:
    """Register a class as a dataset under a name, or under several.

    Parameters
    ----------
    name : str or list of str
        What ``--dataset`` calls it.
    """
    return _class_decorator(DATASETS, name)


def as_names(noun: str, given: Any) -> tuple[str, ...]:
    """Return the names that something is to be registered under; a decorator without any was given its function.

    Examples
    --------
    >>> as_names("api", ["mine", "my-api"])
    ('mine', 'my-api')
    >>> as_names("chart", 5)
    Traceback (most recent call last):
    perfkit.errors.UsageError: a new chart needs a name, or a list of names, as in ("mine"); got 5
    """
    names = (given,) if isinstance(given, str) else tuple(given) if isinstance(given, (list, tuple, set)) else ()
    if not names or not all(isinstance(name, str) and name.strip() for name in names):
        raise UsageError(f'a new {noun} needs a name, or a list of names, as in ("mine"); got {given!r}')
    return names


def _class_decorator(registry: Registry[type], names: str | Iterable[str]) -> Callable[[Plugin], Plugin]:
    names = as_names(registry.noun, names)

    def register(cls: Plugin) -> Plugin:
        registry.register(names, cls, cls.__module__)
        return cls

    return register
