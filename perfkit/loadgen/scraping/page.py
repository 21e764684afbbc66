"""Reads what a server publishes about itself: one page in Prometheus' text format, whatever comes, within bounds."""

import http.client
import math
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from time import thread_time, time
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

from perfkit.errors import PerfkitError
from perfkit.options.arguments import Arguments
from perfkit.options.certificates import run_context
from perfkit.options.validation import NVML
from perfkit.secrets import MASK, Scrubber, basic_credentials, is_secret_name, secrets_in, shown_url

PATH = "/metrics"
"""Where servers publish, at the root of their address."""
TIMEOUT = 2.0
"""Seconds that a page may take, from the connection to its last byte."""
MOST_BYTES = 4 << 20
"""Bytes of the largest page that is read."""
LONGEST_LINE = 16 << 10
"""Characters of a line: the parser's time grows with the square of it."""
MOST_SERIES = 20_000
"""Series of a page."""
PARSING = 1.0
"""Seconds of CPU that a page may take to parse; one of 500 series takes about 10 ms."""


class NothingPublished(PerfkitError):
    """There is no page, or none that can be read; the message says why."""


class Series(NamedTuple):
    """One line of a page, as long as a server publishes it."""

    name: str
    labels: tuple[tuple[str, str], ...]
    kind: str
    """counter, gauge, histogram, summary or unknown."""


class Page(NamedTuple):
    """What was published at a time."""

    time: float
    """Unix seconds, halfway between asking and the beginning of the answer."""
    took: float
    """Seconds from asking to the last byte."""
    values: dict[Series, float]


@dataclass(frozen=True)
class PublishedAt:
    """A page, and what is needed to ask for it.

    The endpoint's key and headers go to its own address alone: another host's page gets what its own URL holds.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    context: ssl.SSLContext | None = None
    unix_socket: str | None = None
    hide: Scrubber = field(default_factory=lambda: Scrubber([]))

    @classmethod
    def of(cls, arguments: Arguments, url: str) -> "PublishedAt":
        """Take the address of a page beside the settings of a run.

        Examples
        --------
        >>> arguments = Arguments(url="http://h:8000/v1", api_key="sk-abcdefgh")
        >>> PublishedAt.of(arguments, "http://h:8000/metrics").headers["Authorization"]
        'Bearer sk-abcdefgh'
        >>> PublishedAt.of(arguments, "http://gpu:9400/metrics").headers
        {}
        """
        own = _origin(url) in map(_origin, arguments.urls)
        headers: dict[str, str] = {}
        if own and arguments.api_key:
            headers["Authorization"] = f"Bearer {arguments.api_key}"
        headers |= arguments.headers if own else {}
        parts = urlsplit(url)
        if parts.username is not None:
            headers["Authorization"] = f"Basic {basic_credentials(parts.username, parts.password or '')}"
        known = [key for each in arguments.urls for key in secrets_in(each, arguments.headers, arguments.api_key)]
        known += secrets_in(url, headers)
        context = run_context(arguments) if parts.scheme == "https" else None
        return cls(url, headers, context, arguments.unix_socket if own else None, Scrubber(known))

    @property
    def shown(self) -> str:
        """Its URL as it may be stored and shown."""
        return self.hide(shown_url(self.url))

    def read(self) -> Page:
        """Ask for the page and take it apart.

        Raises
        ------
        NothingPublished
            Nobody answers, or what comes is no such page, or larger than one may be.
        """
        asked = time()
        try:
            began, text = self._fetch()
        except (OSError, http.client.HTTPException, ValueError) as error:
            words = str(error) or type(error).__name__
            raise NothingPublished(self.hide(words.splitlines()[0][:200])) from None
        took = time() - asked
        return Page((asked + began) / 2, took, parse(text, self.hide))

    def _fetch(self) -> tuple[float, str]:
        """Return when the answer began, and its text."""
        parts = urlsplit(self.url)
        host, port = parts.hostname or "", parts.port
        connection: http.client.HTTPConnection
        if self.unix_socket is not None:
            connection = _OverSocket(self.unix_socket)
        elif self.context is not None:
            connection = http.client.HTTPSConnection(host, port, timeout=TIMEOUT, context=self.context)
        else:
            connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT)
        # A server that sends a byte now and then would hold us for ever: no wait of a socket is too long by itself.
        overdue = threading.Event()
        wire: socket.socket | None = None  # http.client lets go of it once it knows that there is one answer

        def end() -> None:
            overdue.set()
            _shut(wire or connection.sock)

        limit = threading.Timer(TIMEOUT, end)
        limit.daemon = True
        limit.start()
        try:
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            wanted = {"Accept": "text/plain;version=0.0.4, text/plain", "User-Agent": "perfkit"}
            connection.connect()
            wire = connection.sock
            connection.request("GET", path, headers={**wanted, **self.headers, "Connection": "close"})
            answer = connection.getresponse()
            began = time()
            if answer.status != 200:
                raise NothingPublished(f"HTTP {answer.status}")
            data = answer.read(MOST_BYTES + 1)
            if answer.length and len(data) <= MOST_BYTES and not overdue.is_set():
                raise NothingPublished("the server hung up in the middle of it")
        except (OSError, http.client.HTTPException):
            if overdue.is_set():
                raise NothingPublished(f"no whole page within {TIMEOUT:g} s") from None
            raise
        finally:
            limit.cancel()
            connection.close()
        if overdue.is_set():
            raise NothingPublished(f"no whole page within {TIMEOUT:g} s")
        if len(data) > MOST_BYTES:
            raise NothingPublished(f"the page is larger than {MOST_BYTES >> 20} MiB")
        return began, data.decode("utf-8", "replace")


class Readable(Protocol):
    """What is looked at once a second."""

    @property
    def shown(self) -> str:
        """What it is called in the run file."""

    def read(self) -> Page:
        """Look at it; raises ``NothingPublished`` where there is nothing."""


def pages_of(arguments: Arguments) -> list[Readable]:
    """Return the pages that a run is to read; none where nobody asked for any.

    Examples
    --------
    >>> [page.shown for page in pages_of(Arguments(url="http://h:8000/v1/completions", scrape=True))]
    ['http://h:8000/metrics']
    >>> [page.shown for page in pages_of(Arguments(scrape="gpu:9400/metrics"))]
    ['http://gpu:9400/metrics']
    """
    if arguments.scrape is False:
        return []
    urls = list(dict.fromkeys(map(beside, arguments.urls))) if arguments.scrape is True else arguments.scrape
    return [_page(arguments, url) for url in urls]


def _page(arguments: Arguments, url: str) -> Readable:
    if url != NVML:
        return PublishedAt.of(arguments, url)
    from perfkit.loadgen.scraping.gpus import LocalGpus  # whose pages are made of this module's

    return LocalGpus()


def beside(url: str) -> str:
    """Return where the server of an endpoint publishes.

    Examples
    --------
    >>> beside("https://me:pw@host:8000/v1/chat/completions?key=abc")
    'https://me:pw@host:8000/metrics'
    """
    return urlsplit(url)._replace(path=PATH, query="", fragment="").geturl()


def parse(text: str, hide: Scrubber) -> dict[Series, float]:
    r"""Return the series of a page with their values, without the secrets in their labels.

    Raises
    ------
    NothingPublished
        It is not in Prometheus' text format, or larger than such a page may be.

    Examples
    --------
    >>> page = '# TYPE waiting gauge\nwaiting{model="m",api_key="abc"} 3\n'
    >>> parse(page, Scrubber([]))
    {Series(name='waiting', labels=(('api_key', '***'), ('model', 'm')), kind='gauge'): 3.0}
    """
    from prometheus_client.parser import text_fd_to_metric_families  # late: whoever does not scrape does without

    values: dict[Series, float] = {}
    try:
        # Its lines are all that the parser asks of a file.
        for family in text_fd_to_metric_families(_lines(text)):  # type: ignore[arg-type]
            kind = "unknown" if family.type in ("unknown", "untyped") else family.type
            for sample in family.samples:
                labels = tuple(sorted(_masked(name, value, hide) for name, value in sample.labels.items()))
                series = Series(hide(sample.name), labels, kind)
                # Two whose labels differed in what is masked alone are one, as where a label is summed over.
                values[series] = values.get(series, 0.0) + _number(sample.value)
                if len(values) > MOST_SERIES:
                    raise NothingPublished(f"the page has more than {MOST_SERIES:,} series")
    except (ValueError, IndexError) as error:  # what the parser raises of what it does not understand
        raise NothingPublished(f"it is not in Prometheus' text format: {hide(str(error))[:100] or 'empty'}") from None
    if not values:
        raise NothingPublished("it is not in Prometheus' text format: there is no value in it")
    return values


def _lines(text: str) -> Iterator[str]:
    until = thread_time() + PARSING
    for line in text.splitlines():
        if len(line) > LONGEST_LINE:
            raise NothingPublished(f"a line of the page is longer than {LONGEST_LINE >> 10} KiB")
        if thread_time() > until:
            raise NothingPublished(f"the page takes more than {PARSING:g} s to parse")
        yield line


def _masked(name: str, value: str, hide: Scrubber) -> tuple[str, str]:
    return name, MASK if is_secret_name(name) else hide(value)


def _number(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # a whole number of a thousand digits
        return math.inf


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _shut(wire: socket.socket | None) -> None:
    if wire is not None:
        with suppress(OSError):  # it is closed
            wire.shutdown(socket.SHUT_RDWR)


class _OverSocket(http.client.HTTPConnection):
    """A connection to a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=TIMEOUT)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT)
        self.sock.connect(self._path)
