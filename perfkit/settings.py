"""Settings as people write them: TOML, YAML and JSON files, and KEY=VALUE."""

import json
import math
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from perfkit.errors import UsageError
from perfkit.records import Json


def read_settings(path: str | Path) -> dict[str, Any]:
    """Read a TOML, YAML or JSON file of settings.

    Raises
    ------
    UsageError
        The file cannot be read or does not hold a mapping.
    """
    path = Path(path).expanduser()
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    try:
        settings = _PARSERS.get(path.suffix.lower(), _parse_yaml)(text)
    except ValueError as error:
        raise UsageError(f"{path} is not well formed: {error}") from None
    if not isinstance(settings, dict):
        raise UsageError(f"{path} must hold a table of arguments, got a {type(settings).__name__}")
    return settings


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


def as_mapping(name: str, given: Any) -> dict[str, Any]:
    """Return what was given for a mapping: one already, a JSON object, or KEY=VALUE, one or several.

    Parameters
    ----------
    name : str
        The argument's, for messages.
    given : mapping, str, iterable of str or None
        Values of KEY=VALUE are text here; see ``typed``.

    Raises
    ------
    UsageError
        It is none of these.

    Examples
    --------
    >>> as_mapping("headers", ["Authorization=Bearer a=b", "X-DashScope-SSE=enable=True"])
    {'Authorization': 'Bearer a=b', 'X-DashScope-SSE': 'enable=True'}
    >>> as_mapping("extra_args", '{"ignore_eos": true}')
    {'ignore_eos': True}
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
    return dict(pairs)


def _pair(name: str, text: Any) -> tuple[str, str]:
    key, equals, value = str(text).partition("=")
    if not equals or not key.strip():
        raise UsageError(f"{name} takes KEY=VALUE, got {text!r}")
    return key.strip(), value


def as_steps(given: Any) -> tuple[tuple[float, float], ...]:
    """Return the steps of a rate, however they were given: a rate and the seconds that it lasts, each.

    Raises
    ------
    UsageError
        One is no pair of numbers above 0.

    Examples
    --------
    >>> as_steps(["5:30", (20, 1.5)])
    ((5.0, 30.0), (20.0, 1.5))
    """
    return tuple(map(_step, given if isinstance(given, Iterable) and not isinstance(given, str) else [given]))


def _step(given: Any) -> tuple[float, float]:
    try:
        rate, seconds = map(float, given.split(":") if isinstance(given, str) else given)
    except (TypeError, ValueError):
        rate = seconds = math.nan
    if not (0 < rate < math.inf and 0 < seconds < math.inf):
        raise UsageError(f"steps are RATE:SECONDS, both above 0, such as 5:30 20:30; got {given!r}")
    return rate, seconds


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
