"""Secrets: a str that does not show itself, and the one gate that everything written or shown passes."""

import getpass
import json
import os
import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property, lru_cache
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from perfkit.errors import UsageError

MASK = "***"
SHORTEST = 8
"""Characters of a secret that is looked for in texts: replacing shorter ones would maul innocent text."""

# Header names whose values may be stored and shown; every other value is treated as secret.
SHOWN_HEADERS = frozenset(
    {"accept", "accept-encoding", "content-type", "content-length", "user-agent", "connection", "host"}
    | {"anthropic-version", "openai-beta", "x-dashscope-sse", "x-request-id"}
)

_KEY_LIKE = re.compile(r"key|token|secret|passw|auth|sig|credential", re.IGNORECASE)


class Secret(str):
    """A secret string: usable as a str, masked in every repr.

    Examples
    --------
    >>> Secret("sk-abcdefgh")
    ***
    >>> "Bearer " + Secret("sk-abcdefgh") == "Bearer sk-abcdefgh"
    True
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return MASK


def secret(name: str, *, prompt: bool = True) -> Secret:
    """Fetch a secret by name: from the environment, else from ``.env`` here, else by a hidden prompt.

    Parameters
    ----------
    name : str
        Name of the environment variable, such as ``"VLLM_KEY"``.
    prompt : bool
        Ask (without echo) when it is found nowhere.

    Returns
    -------
    Secret
        Prints as ``***``.

    Raises
    ------
    UsageError
        It is found nowhere and ``prompt`` is False.

    Examples
    --------
    >>> import os; os.environ["DOC_KEY"] = "sk-12345678"
    >>> secret("DOC_KEY")
    ***
    """
    value = os.environ.get(name)
    if value:
        _KEPT_BACK.add(name)
    value = value or _from_dotenv(Path(".env"), name)
    if value is None and prompt:
        value = getpass.getpass(f"{name}: ")
    if not value:
        raise UsageError(f"no secret called {name}: set the environment variable {name} or put {name}=... into .env")
    return Secret(value)


_KEPT_BACK: set[str] = set()
"""Variables of the environment that a key was read from."""


def environment(*path: str) -> dict[str, str]:
    """Return the environment for a process of ours: without the variables that keys were read from.

    Whoever looks at that process finds none of them there; what it needs of them comes by its pipe.
    """
    kept = {name: value for name, value in os.environ.items() if name not in _KEPT_BACK}
    return {**kept, "PYTHONPATH": os.pathsep.join(filter(None, path))}


def _from_dotenv(path: Path, name: str) -> str | None:
    if not path.is_file():
        return None
    for line in read_text(path).splitlines():
        key, equals, value = line.strip().removeprefix("export ").partition("=")
        if equals and key.strip() == name:
            return value.strip().strip("'\"")
    return None


def read_text(path: str | Path, what: str = "") -> str:
    """Read a UTF-8 text file that an argument names, without its byte order mark.

    Raises
    ------
    UsageError
        It cannot be read, or is not UTF-8; ``what`` says which file it is, as ``"the key file "``.
    """
    path = Path(path).expanduser()
    try:
        data = path.read_bytes()
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except OSError as error:
        raise UsageError(f"cannot read {what}{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UsageError(
            f"{what}{path} is not UTF-8 in line {line}: {error.reason}; convert it, for example with iconv -t UTF-8"
        ) from None


def resolve(given: str | None) -> Secret | None:
    """Turn what was given for a key into the key: ``env:NAME``, ``@file``, or the key itself.

    Raises
    ------
    UsageError
        The variable is not set or the file cannot be read.
    """
    if given is None or given == "":
        return None
    if given.startswith("env:"):
        return secret(given[4:], prompt=False)
    if given.startswith("@"):
        return Secret(read_text(given[1:], "the key file ").strip())
    return Secret(given)


def from_environment(value: Any) -> Any:
    """Return a value, or a part of it, with each text ``env:NAME`` replaced by the secret of that name.

    Raises
    ------
    UsageError
        There is no secret of that name.

    Examples
    --------
    >>> import os; os.environ["DOC_KEY"] = "sk-12345678"
    >>> from_environment({"user": {"token": "env:DOC_KEY"}, "top_k": 5})
    {'user': {'token': ***}, 'top_k': 5}
    """
    if isinstance(value, str):
        return secret(value[4:], prompt=False) if _NAMED.fullmatch(value) else value
    if isinstance(value, Mapping):
        return {name: from_environment(part) for name, part in value.items()}
    return [from_environment(part) for part in value] if isinstance(value, list) else value


_NAMED = re.compile(r"env:[A-Za-z_]\w*")


def shown_url(url: str) -> str:
    """Return a URL without its secrets: no user information, key-like query values masked.

    Examples
    --------
    >>> shown_url("https://me:pw@host/v1?api_key=abc&n=1")
    'https://host/v1?api_key=***&n=1'
    """
    parts = urlsplit(url)
    query = "&".join(_shown_pair(pair) for pair in parts.query.split("&")) if parts.query else ""
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, query, ""))


def _shown_pair(pair: str) -> str:
    name, equals, _ = pair.partition("=")
    return f"{name}={MASK}" if equals and _KEY_LIKE.search(name) else pair


def shown_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return headers as they may be stored: values outside a small allowlist are masked."""
    return {name: value if name.lower() in SHOWN_HEADERS else MASK for name, value in headers.items()}


_SECRET_WORDS = frozenset(
    {"key", "apikey", "accesskey", "secretkey", "secret", "token", "password", "passwd", "pwd", "passphrase"}
    | {"auth", "authorization", "bearer", "cookie", "credential", "credentials", "signature"}
)
_PLAIN_WORDS = frozenset({"cache", "eos", "bos", "pad", "unk", "stop", "tokenizer"})
"""With these a field is none of a key's: ``prompt_cache_key``, ``eos_token``."""
_NO_SETTINGS = frozenset({"messages", "prompt", "input", "tools", "functions", "response_format", "documents"})
"""Fields of a body that hold what is asked, or a schema whose names are its own."""
_NO_TEXTS = frozenset({bool, int, float, type(None)})
"""Types of most fields of a body, which hold no key whatever their names."""
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


@lru_cache(maxsize=4096)  # asked of every field of every body
def is_secret_name(name: str) -> bool:
    """Say whether a field of a body holds a key, going by its name.

    Examples
    --------
    >>> [is_secret_name(name) for name in ("api_key", "awsSecretAccessKey", "max_tokens", "prompt_cache_key")]
    [True, True, False, False]
    """
    words = {word.lower() for word in _WORDS.findall(name)}
    return bool(words & _SECRET_WORDS) and not words & _PLAIN_WORDS


def seal(value: Any, make: Callable[[str], Any] = Secret, *, secret: bool = False) -> Any:
    """Return a body, or a part of it, with the texts that are keys replaced: by ``Secret`` or what ``make`` returns.

    Examples
    --------
    >>> seal({"top_k": 5, "api_key": "abc", "extra_headers": {"Accept": "text/html", "X-Mine": "abc"}})
    {'top_k': 5, 'api_key': ***, 'extra_headers': {'Accept': 'text/html', 'X-Mine': ***}}
    """
    if isinstance(value, str):
        return make(value) if secret or (isinstance(value, Secret) and value) else value
    if isinstance(value, list):
        inside = secret or _nested(value) or any(isinstance(part, Secret) for part in value)
        return [seal(part, make, secret=secret) for part in value] if inside else value
    if not isinstance(value, (dict, Mapping)):  # to ask for a dict first is ten times quicker
        return value
    made = {}
    for name, part in value.items():
        if type(part) in _NO_TEXTS or (name in _NO_SETTINGS and not secret):
            made[name] = part
        elif not isinstance(part, str) and isinstance(part, Mapping) and str(name).lower().endswith("headers"):
            made[name] = {
                each: held if str(each).lower() in SHOWN_HEADERS else seal(held, make, secret=True)
                for each, held in part.items()
            }
        else:
            made[name] = seal(part, make, secret=secret or is_secret_name(str(name)))
    return made


def _nested(value: list[Any]) -> bool:
    return bool(value) and isinstance(value[0], (Mapping, list))


def masked(value: Any) -> Any:
    """Return a body, or a part of it, as it may be stored and shown."""
    return seal(value, lambda _: MASK)


def without_prompts(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as they may be kept where no prompt may: what is asked is masked, names of files stay.

    Examples
    --------
    >>> without_prompts({"prompt": "Dear doctor", "dataset": "mine.jsonl", "extra_args": {"top_k": 5, "input": "Dear"}})
    {'prompt': '***', 'dataset': 'mine.jsonl', 'extra_args': {'top_k': 5, 'input': '***'}}
    """
    kept: dict[str, Any] = {}
    for name, value in settings.items():
        if name in _ASKED:
            kept[name] = value if isinstance(value, str) and value.startswith("@") else MASK
        else:
            kept[name] = without_prompts(value) if isinstance(value, Mapping) else value
    return kept


_ASKED = _NO_SETTINGS | {"system", "query_template"}


def keys_in(value: Any) -> list[str]:
    """List the keys inside a body, or a part of it."""
    found: list[str] = []
    seal(value, found.append)
    return [key for key in found if key != MASK]


def hides_keys(value: Any) -> bool:
    """Tell whether a body, or a part of it, was stored without its keys."""
    found: list[str] = []
    seal(value, found.append)
    return MASK in found


def template_keys(template: str) -> list[str]:
    """List the keys inside a query template; none where it is not JSON, which whoever reads it says."""
    try:
        return keys_in(json.loads(read_text(template[1:]) if template.startswith("@") else template))
    except (ValueError, UsageError):
        return []


Trace = tuple[int, int]
"""Length and check of a secret: 24 bits, which let it be found where it stands and tell nobody what it is."""


class Scrubber:
    r"""Replaces known secret values, wherever they turn up, by ``***``.

    Servers echo keys in error messages, so the writer, the logs and every display pass their text through one
    of these. A value is found as it is, escaped as JSON, URLs and HTML do, and inside of base64. Values shorter than 8
    characters are left alone: replacing them would maul innocent text.

    Parameters
    ----------
    values : iterable of str
        The secrets.

    Examples
    --------
    >>> hide = Scrubber(["sk-abcdefgh"])
    >>> hide("bad key sk-abcdefgh"), hide(r"bad key sk\u002dabcdefg\u0068"), hide("bad key sk%2Dabcdefgh")
    ('bad key ***', 'bad key ***', 'bad key ***')
    >>> hide(b64encode(b"user:sk-abcdefgh!").decode())
    'dXNlcjp***CE='
    """

    def __init__(self, values: Iterable[str]) -> None:
        self.values = frozenset(values)
        long = sorted((value for value in self.values if len(value) >= SHORTEST), key=len, reverse=True)
        whole = sorted({form for value in long for form in _forms(value)}, key=len, reverse=True)
        self._whole = re.compile("|".join(map(re.escape, whole))) if long else None
        self._escaped = re.compile("|".join("".join(map(_any_escape, value)) for value in long)) if long else None
        inner = [value for value in long if not any(other in value for other in long if other != value)]
        self._looked_for = sorted({form for value in inner for form in _forms(value)})
        """Without one of these no text holds any of the others."""
        self._json_escape = "\\u00" if all(map(str.isascii, long)) else "\\u"

    def __call__(self, text: str) -> str:
        """Return the text with every secret replaced."""
        for pattern in self._patterns(text):
            text = pattern.sub(MASK, text)
        return text

    def is_in(self, text: str) -> bool:
        """Tell whether a text holds a secret."""
        return any(pattern.search(text) for pattern in self._patterns(text))

    def scrub_bytes(self, data: bytes) -> bytes:
        """Return the bytes with every secret replaced."""
        return self(data.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")

    @cached_property
    def traces(self) -> tuple[Trace, ...]:
        """What can be told of the secrets without telling them: see ``TracedScrubber``."""
        long = sorted(value.encode("utf-8", "surrogateescape") for value in self.values if len(value) >= SHORTEST)
        return tuple((len(value), _check(value)) for value in long)

    def blanked(self, data: bytes) -> bytes:
        """Return the bytes with every secret overwritten by as many stars: nothing moves."""
        text = data.decode("utf-8", "surrogateescape")
        for pattern in self._patterns(text):
            text = pattern.sub(lambda found: "*" * len(found[0].encode("utf-8", "surrogateescape")), text)
        return text.encode("utf-8", "surrogateescape")

    def places(self, text: str) -> list[tuple[int, int]]:
        """Return where the secrets in a text begin and end."""
        return [found.span() for pattern in self._patterns(text) for found in pattern.finditer(text)]

    def _patterns(self, text: str) -> list[re.Pattern[str]]:
        """Return what is worth searching a text with: hardly any holds a secret, and patterns are slow to find none."""
        if self._whole is None or self._escaped is None or len(text) < SHORTEST:
            return []
        patterns = [self._whole] if any([form in text for form in self._looked_for]) else []
        has_escapes = self._json_escape in text or "&#" in text or ("%" in text and _PERCENT.search(text))
        return [*patterns, self._escaped] if has_escapes else patterns

    def __bool__(self) -> bool:
        return self._whole is not None


_BASE = 1_000_003
_SPREAD = 0x9E3779B97F4A7C15
_TRACE_BITS = 24


def _check(data: bytes) -> int:
    """Return the check of some bytes: without NumPy, which a process that measures does without."""
    total = sum((byte + 1) * pow(_BASE, at, 2**64) for at, byte in enumerate(data))
    return (total * _SPREAD % 2**64) >> (64 - _TRACE_BITS)


def _places_of(data: bytes, length: int, check: int) -> list[int]:
    """Return where stretches of a length begin whose check is this one."""
    import numpy as np

    if len(data) < length:
        return []
    powers = np.multiply.accumulate(np.full(len(data), _BASE, dtype=np.uint64))
    inverse = np.multiply.accumulate(np.full(len(data), pow(_BASE, -1, 2**64), dtype=np.uint64))
    summed = np.add.accumulate((np.frombuffer(data, np.uint8).astype(np.uint64) + np.uint64(1)) * powers)
    summed = np.concatenate([np.zeros(1, dtype=np.uint64), summed])
    stretches = (summed[length:] - summed[:-length]) * inverse[: len(data) - length + 1]
    checks = (stretches * np.uint64(_SPREAD)) >> np.uint64(64 - _TRACE_BITS)
    return [int(at) for at in (checks == np.uint64(check % 2**_TRACE_BITS)).nonzero()[0]]


class TracedScrubber(Scrubber):
    """Removes secrets of which only traces are known: whoever opens a file does not have its keys.

    Parameters
    ----------
    traces : sequence of (int, int)
        As ``Scrubber.traces`` has them.

    Examples
    --------
    >>> TracedScrubber(Scrubber(["sk-abcdefgh"]).traces)("bad key sk-abcdefgh")
    'bad key ***'
    """

    def __init__(self, traces: Iterable[Trace]) -> None:
        super().__init__(())
        self._told = tuple(
            trace for trace in traces if SHORTEST <= trace[0] < 2**20 and 0 <= trace[1] < 1 << _TRACE_BITS
        )

    def _patterns(self, text: str) -> list[re.Pattern[str]]:
        data = text.encode("utf-8", "surrogateescape")
        found = {
            data[at : at + length].decode("utf-8", "replace")
            for length, check in self._told
            for at in _places_of(data, length, check)
        }
        return [re.compile("|".join(map(re.escape, sorted(found, key=len, reverse=True))))] if found else []

    def __bool__(self) -> bool:
        return bool(self._told)


def _forms(value: str) -> set[str]:
    """Return what a value becomes where a whole text is encoded."""
    forms = {value, json.dumps(value, ensure_ascii=False)[1:-1], value.replace("/", "\\/"), escape(value)}
    for before in range(3):  # where in a text it begins decides which of three its base64 is
        data = b"\0" * before + value.encode("utf-8", "replace")
        # The letters at both ends are made of its neighbours' bits, too.
        inner = b64encode(data).decode()[(0, 2, 3)[before] : len(data) * 8 // 6]
        forms |= {inner, inner.translate(_URL_SAFE)}
    return forms


_PERCENT = re.compile("%[0-9a-fA-F]{2}")
_URL_SAFE = str.maketrans("+/", "-_")


def _any_escape(character: str) -> str:
    r"""Return a pattern for one character as it is, and as ``\\u0041``, ``%41``, ``&#65;`` or ``&#x41;``."""
    units = character.encode("utf-16-be", "surrogatepass").hex()
    json_form = "".join(rf"\\+u{units[at : at + 4]}" for at in range(0, len(units), 4))
    url_form = "".join(f"%{byte:02x}" for byte in character.encode("utf-8", "replace"))
    html_form = f"&#(?:0*{ord(character)}|x0*{ord(character):x});"
    return f"(?:{re.escape(character)}|(?i:{json_form}|{url_form}|{html_form}))"


def basic_credentials(user: str, password: str) -> str:
    """Return what stands behind ``Basic`` in a header, for a user and password as they stand in a URL.

    Examples
    --------
    >>> basic_credentials("me", "a%20b")
    'bWU6YSBi'
    """
    return b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode()


def secrets_in(url: str, headers: Mapping[str, str], *keys: str | None) -> list[str]:
    """List the secret values of a configuration: keys, non-allowlisted header values, URL credentials."""
    found = [key for key in keys if key]
    for name, value in headers.items():
        if name.lower() not in SHOWN_HEADERS:
            found += [value, value.partition(" ")[2]]
        if name.lower() == "cookie":
            found += [pair.partition("=")[2].strip() for pair in value.split(";")]
    parts = urlsplit(url)
    if parts.username or parts.password:  # a user without a password is a token
        user, password = parts.username or "", parts.password or ""
        key = password or user
        found += [key, unquote(key), basic_credentials(user, password)]
    found += [
        value for name, _, value in (pair.partition("=") for pair in parts.query.split("&")) if _KEY_LIKE.search(name)
    ]
    return [value for value in found if value]
