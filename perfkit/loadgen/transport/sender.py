"""Who sends: perfkit's own transport, or a plugin."""

import asyncio
from collections.abc import Callable, Sequence
from time import perf_counter_ns
from typing import Protocol

from perfkit.decoding.exchange import Exchange
from perfkit.loadgen.transport.pool import Pool
from perfkit.records import Json


class Sendable(Protocol):
    """What a sender needs of a request."""

    @property
    def data(self) -> bytes:
        """All of its bytes."""

    @property
    def body(self) -> dict[str, Json] | None:
        """Its body, for plugins that send by themselves."""

    @property
    def error(self) -> str | None:
        """Why it could not be built."""

    @property
    def cancel_after(self) -> float | None:
        """Seconds after it was sent that its client closes the connection; None: it waits for the end."""

    @property
    def target(self) -> int | None:
        """Which of several targets it goes to; None: the one that has the fewest in flight."""


class Sender(Protocol):
    """Sends one request and comes back with its exchange, whatever happened."""

    async def send(self, ready: Sendable) -> Exchange:
        """Send; one whose ``error`` says that it could not even be built is not sent."""

    async def warm(self, count: int, spare: Callable[[], int]) -> None:
        """Open connections before the load starts; ``spare`` tells how many to keep ready later on."""

    @property
    def idle(self) -> int:
        """Connections that stand open and carry nothing."""

    def interrupt(self) -> None:
        """Give up what is under way."""

    async def close(self) -> None:
        """Close every connection."""


class Wire:
    """Sends on perfkit's own transport.

    Parameters
    ----------
    pool : Pool
        Connections to the target.
    """

    def __init__(self, pool: Pool) -> None:
        self.pool = pool

    async def send(self, ready: Sendable) -> Exchange:
        """Send the request's bytes; see Sender."""
        return unsent() if ready.error is not None else await self.pool.send(ready.data, ready.cancel_after)

    async def warm(self, count: int, spare: Callable[[], int]) -> None:
        """Open connections; see Sender."""
        self.pool.spare = spare
        await self.pool.warm(count)

    @property
    def idle(self) -> int:
        """See Sender."""
        return self.pool.idle

    def interrupt(self) -> None:
        """Give up what is under way."""
        self.pool.interrupt()

    async def close(self) -> None:
        """Close every connection."""
        await self.pool.close()


class Spread:
    """Sends to several targets: each request to its own, or to the one that has the fewest in flight.

    Parameters
    ----------
    wires : sequence of Wire
        One for each target.
    """

    def __init__(self, wires: Sequence[Wire]) -> None:
        self.wires = wires
        self._flying = [0] * len(wires)
        self._hosts = [_host(wire.pool.target.head) for wire in wires]

    async def send(self, ready: Sendable) -> Exchange:
        """Send the request's bytes; see Sender."""
        at = ready.target
        if at is None:
            at = self._flying.index(min(self._flying))
            ready = _Elsewhere(ready, self._hosts[0], self._hosts[at])
        self._flying[at] += 1
        exchange = await self.wires[at].send(ready)
        self._flying[at] -= 1
        exchange.target = at
        return exchange

    async def warm(self, count: int, spare: Callable[[], int]) -> None:
        """Open connections to all of them, their part of the count to each; see Sender."""
        parts = len(self.wires)
        await asyncio.gather(*(wire.warm(-(-count // parts), lambda: -(-spare() // parts)) for wire in self.wires))

    @property
    def idle(self) -> int:
        """See Sender."""
        return sum(wire.idle for wire in self.wires)

    def interrupt(self) -> None:
        """Give up what is under way."""
        for wire in self.wires:
            wire.interrupt()

    async def close(self) -> None:
        """Close every connection."""
        for wire in self.wires:
            await wire.close()


class _Elsewhere:
    """A request that was made for the first target, with the host of another."""

    body = None
    target = None

    def __init__(self, ready: Sendable, first: bytes, host: bytes) -> None:
        self.error, self.cancel_after = ready.error, ready.cancel_after
        self.data = ready.data if host == first else ready.data.replace(first, host, 1)


def _host(head: bytes) -> bytes:
    """Return the line of a head that names the host, with its line ends."""
    return b"\r\n" + head.split(b"\r\n")[1] + b"\r\n"


def unsent() -> Exchange:
    """Return the exchange of a request that was never sent."""
    now = perf_counter_ns()
    return Exchange(start=now, end=now)
