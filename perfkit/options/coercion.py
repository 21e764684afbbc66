"""Settings as people write them: TOML, YAML and JSON files, and KEY=VALUE."""

import json
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from perfkit.errors import UsageError
from perfkit.records import Json
from perfkit.secrets import read_text


def read_settings(path: str | Path) -> dict[str, Any]:
    """Read a TOML, YAML or JSON file of settings."""
    text = read_text(path)
    path = Path(path).expanduser()
    try:
        settings = _PARSERS.get(path.suffix.lower(), _parse_yaml)(text)
    except ValueError as error:
        raise UsageError(f"{path} is not well formed: {error}") from None
    if not isinstance(settings, dict):
        raise UsageError(f"{path} must hold a table of arguments, got a {type(settings).__name__}")
    return settings


def undecodable(value: Any) -> str | None:
    r"""Return the first text in a value, nested ones and keys included, that UTF-8 cannot spell; None without one.

    Examples
    --------
    >>> undecodable({"a": ["fine", "half of a pair: \ud83d"]})
    'half of a pair: \ud83d'
    """
    if isinstance(value, str):
        return None if value.isascii() or _LONE.search(value) is None else value
    if isinstance(value, Mapping):
        value = chain(value.keys(), value.values())
    elif not isinstance(value, (list, tuple)) or (value and isinstance(value[0], (int, float))):
        return None  # token ids, by the thousand
    return next((found for part in value if (found := undecodable(part)) is not None), None)


_LONE = re.compile("[\ud800-\udfff]")
"""What Python makes of bytes that are not UTF-8, and half of a pair of UTF-16."""


def _parse_yaml(text: str) -> Any:
    try:
        import yaml
    except ImportError:
        raise UsageError("reading YAML needs PyYAML: pip install 'perfkit[yaml]', or write TOML") from None
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error).replace("\n", " ")) from None


_PARSERS = {".toml": tomllib.loads, ".json": json.loads}


def as_mapping(name: str, given: Any, read: Callable[[str], Json] = str) -> dict[str, Any]:
    """Return what was given for a mapping: one already, a JSON object, or KEY=VALUE, one or several.

    Examples
    --------
    >>> as_mapping("headers", ["Authorization=Bearer a=b", "X-DashScope-SSE=enable=True"])
    {'Authorization': 'Bearer a=b', 'X-DashScope-SSE': 'enable=True'}
    >>> as_mapping("extra_args", '{"ignore_eos": true}')
    {'ignore_eos': True}
    >>> as_mapping("extra_args", ["top_k=5", "ignore_eos=true"], typed)
    {'top_k': 5, 'ignore_eos': True}
    """
    if given is None:
        return {}
    if isinstance(given, Mapping):
        return {str(key): value for key, value in given.items()}
    if isinstance(given, str) and given.lstrip().startswith("{"):
        try:
            return dict(json.loads(given))
        except ValueError as error:
            raise UsageError(f"{name} is not JSON: {error}") from None
    if not isinstance(given, Iterable):
        raise UsageError(f"{name} must be a mapping, JSON or KEY=VALUE, got {given!r}")
    pairs = [_pair(name, text) for text in ([given] if isinstance(given, str) else given)]
    return {key: read(value) for key, value in pairs}


def _pair(name: str, text: Any) -> tuple[str, str]:
    key, equals, value = str(text).partition("=")
    if not equals or not key.strip():
        raise UsageError(f"{name} takes KEY=VALUE, got {text!r}")
    return key.strip(), value


def typed(text: Json) -> Json:
    """Return the value that a text spells: a number, a boolean, JSON; any other text stays as it is.

    Examples
    --------
    >>> [typed(text) for text in ("256", "0.8", "true", "False", '["a"]', "1.2.3", "nan", "")]
    [256, 0.8, True, False, ['a'], '1.2.3', 'nan', '']
    """
    if not isinstance(text, str):
        return text
    try:
        return json.loads(text.lower() if text in ("True", "False") else text, parse_constant=_no_constant)
    except ValueError:
        return text


def _no_constant(name: str) -> None:
    # JSON has no NaN and no Infinity; a server that was sent one would refuse the body.
    raise ValueError(name)
