"""From events to the bytes of a chunked answer, with whatever options and faults do to them on the way."""

from perfkit.simulator.faults import Fault
from perfkit.simulator.options import Simulation
from perfkit.simulator.replies import LAST_CHUNK, chunk

_PING = b": ping\n\n"


class Wire:
    r"""How the events of one answer are written.

    Parameters
    ----------
    simulation : Simulation
        ``crlf`` and ``ping_every`` matter here.
    fault : Fault
        As do ``prelude``, ``rewrite``, ``keep_back`` and ``chunked``.

    Examples
    --------
    >>> from perfkit.simulator.faults import NONE, named
    >>> Wire(Simulation(), NONE).frame([b"data: 1\n\n"])
    b'9\r\ndata: 1\n\n\r\n'
    >>> Wire(Simulation(crlf=True), named("eof_framed")).frame([b"data: 1\n\n"])
    b'data: 1\r\n\r\n'
    """

    __slots__ = ("_count", "_fault", "_held", "_plain", "_prelude", "_simulation")

    def __init__(self, simulation: Simulation, fault: Fault) -> None:
        self._simulation = simulation
        self._fault = fault
        disturbed = fault.prelude or fault.rewrite or fault.keep_back or not fault.chunked
        self._plain = not (disturbed or simulation.crlf or simulation.ping_every)
        self._prelude = fault.prelude
        self._held = b""
        self._count = 0

    def frame(self, events: list[bytes]) -> bytes:
        """Return events as they are written, each an HTTP chunk of its own."""
        if self._plain:
            return b"".join([b"%x\r\n%b\r\n" % (len(event), event) for event in events])
        return b"".join(map(self._framed, self._kept_back(self._disturbed(events))))

    def end(self, *, complete: bool) -> bytes:
        """Return what was kept back, and the end of the message if it is to be complete."""
        held, self._held = self._held, b""
        return self._framed(held) + (LAST_CHUNK if complete and self._fault.chunked else b"")

    def _framed(self, data: bytes) -> bytes:
        # An empty chunk would end the message.
        return chunk(data) if data and self._fault.chunked else data

    def _disturbed(self, events: list[bytes]) -> list[bytes]:
        if self._simulation.ping_every:
            events = [piece for event in events for piece in self._pinged(event)]
        if self._fault.rewrite:
            events = list(map(self._fault.rewrite, events))
        if self._simulation.crlf:
            events = [event.replace(b"\n", b"\r\n") for event in events]
        prelude, self._prelude = self._prelude, b""
        return [prelude, *events] if prelude else events

    def _pinged(self, event: bytes) -> list[bytes]:
        self._count += 1
        return [_PING, event] if self._count % self._simulation.ping_every == 0 else [event]

    def _kept_back(self, events: list[bytes]) -> list[bytes]:
        if not self._fault.keep_back:
            return events
        data = self._held + b"".join(events)
        keep = len(data) - self._fault.keep_back(data)
        self._held = data[keep:]
        return [data[:keep]]
