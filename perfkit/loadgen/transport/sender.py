"""Who sends: perfkit's own transport, or a plugin."""

from collections.abc import Callable
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


def unsent() -> Exchange:
    """Return the exchange of a request that was never sent."""
    now = perf_counter_ns()
    return Exchange(start=now, end=now)
