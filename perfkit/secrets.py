"""Secrets: a str that does not show itself, and the one gate that everything written or shown passes."""

import getpass
import os
import re
from base64 import b64encode
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from perfkit.errors import UsageError

MASK = "***"

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
    value = os.environ.get(name) or _from_dotenv(Path(".env"), name)
    if value is None and prompt:
        value = getpass.getpass(f"{name}: ")
    if not value:
        raise UsageError(f"no secret called {name}: set the environment variable {name} or put {name}=... into .env")
    return Secret(value)


def _from_dotenv(path: Path, name: str) -> str | None:
    if not path.is_file():
        return None
    for line in path.read_text(encoding="utf-8").splitlines():
        key, equals, value = line.strip().removeprefix("export ").partition("=")
        if equals and key.strip() == name:
            return value.strip().strip("'\"")
    return None


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
        try:
            return Secret(Path(given[1:]).expanduser().read_text(encoding="utf-8").strip())
        except OSError as error:
            raise UsageError(f"cannot read the key file {given[1:]}: {error.strerror}") from None
    return Secret(given)


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


class Scrubber:
    """Replaces known secret values, wherever they turn up, by ``***``.

    Servers echo keys in error messages, so the writer, the logs and every display pass their text through one
    of these. Values shorter than 8 characters are left alone: replacing them would maul innocent text.

    Parameters
    ----------
    values : iterable of str
        The secrets.

    Examples
    --------
    >>> Scrubber(["sk-abcdefgh"])("bad key sk-abcdefgh")
    'bad key ***'
    """

    def __init__(self, values: Iterable[str]) -> None:
        forms: set[str] = set()
        for value in values:
            if len(value) >= 8:
                forms |= {value, quote(value, safe="")}
        longest_first = sorted(forms, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if forms else None
        self._bytes = re.compile(b"|".join(re.escape(form.encode()) for form in longest_first)) if forms else None

    def __call__(self, text: str) -> str:
        """Return the text with every secret replaced."""
        return self._pattern.sub(MASK, text) if self._pattern else text

    def scrub_bytes(self, data: bytes) -> bytes:
        """Return the bytes with every secret replaced."""
        return self._bytes.sub(MASK.encode(), data) if self._bytes else data

    def __bool__(self) -> bool:
        return self._pattern is not None


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
    if parts.password:
        found += [parts.password, unquote(parts.password), basic_credentials(parts.username or "", parts.password)]
    found += [
        value for name, _, value in (pair.partition("=") for pair in parts.query.split("&")) if _KEY_LIKE.search(name)
    ]
    return [value for value in found if value]
