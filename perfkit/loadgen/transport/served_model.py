"""Asks a server which model it has."""

from typing import NamedTuple
from urllib.parse import urlsplit

import orjson

from perfkit.decoding.exchange import Exchange
from perfkit.errors import NothingSucceeded, UsageError
from perfkit.loadgen.transport.pool import Pool
from perfkit.loadgen.transport.sender import Sender, Wire
from perfkit.loadgen.transport.target import Target
from perfkit.options.arguments import Arguments
from perfkit.records import ListedModel
from perfkit.secrets import Scrubber, secrets_in


async def served_model(arguments: Arguments, headers: dict[str, str]) -> ListedModel:
    """Return the one model that the server lists under ``/v1/models``."""
    url = _models_url(arguments.address)
    target = Target.of(url, headers, method="GET")
    sender = _sender(arguments, target, _Listing(url, headers))
    try:
        await sender.warm(0, int)
        exchange = await sender.send(_Asked(target.request(b"")))
    finally:
        await sender.close()
    hide = Scrubber([*secrets_in(arguments.address, headers), *secrets_in(arguments.proxy or "", {})])
    if exchange.error_kind is not None:
        raise NothingSucceeded(hide(exchange.error or exchange.error_kind))
    names = [hide(name) for name in _names(exchange)]
    if len(names) != 1:
        found = f"lists {', '.join(names)}" if names else f"does not say which model it has (HTTP {exchange.status})"
        raise UsageError(f"{target.origin} {found}; give one with model")
    return ListedModel(names[0])


class _Listing(NamedTuple):
    """The list of models as an API whose requests are our own."""

    url: str
    headers: dict[str, str]
    generation: str = ""
    api: None = None


class _Asked(NamedTuple):
    data: bytes
    body: None = None
    error: None = None
    cancel_after: None = None
    target: int = 0


def _sender(arguments: Arguments, target: Target, listing: _Listing) -> Sender:
    if arguments.proxy:
        from perfkit.loadgen.transport.aiohttp_sender import aiohttp_sender  # aiohttp is loaded only where it is needed

        return aiohttp_sender(listing, arguments)
    return Wire(Pool.of(target, arguments))


def _models_url(url: str) -> str:
    """Return the URL of the model list beside an endpoint.

    Examples
    --------
    >>> _models_url("http://h:8000/proxy/v1/chat/completions"), _models_url("http://h:8000")
    ('http://h:8000/proxy/v1/models', 'http://h:8000/v1/models')
    """
    parts = urlsplit(url)
    before, found, _ = parts.path.partition("/v1")
    return parts._replace(path=f"{before if found else ''}/v1/models", query="", fragment="").geturl()


def _names(exchange: Exchange) -> list[str]:
    try:
        exchange.unframe()
        told = orjson.loads(exchange.body)
        return [str(model["id"]) for model in told["data"]] if exchange.status == 200 else []
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return []
