"""What a server can do wrong, on demand: ``"x_fault": NAME`` in a request's body, or an ``x-fault: NAME`` header."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from perfkit.errors import nearest
from perfkit.simulator.options import Simulation
from perfkit.simulator.replies import error, reply

End = Literal["finish", "cut", "close", "reset", "stall"]
"""How an answer ends: as it should; as a complete HTTP message that lacks its last events; connection closed;
connection reset; never."""

Outcome = Literal["ok", "fail", "drop", "stall", "client_closed"]
_OUTCOMES: dict[End, Outcome] = {"finish": "ok", "cut": "drop", "close": "drop", "reset": "drop", "stall": "stall"}


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong.

    Parameters
    ----------
    sentence : str
        What the client sees.
    reply : bytes, optional
        Sent at once instead of the answer; then ``end`` decides about the connection.
    status : int
        Of the reply, for the log.
    share : float
        Part of the tokens that is sent before the end.
    end : End
    insert : bytes
        Raw bytes of the event stream, sent right before the end.
    rewrite : callable, optional
        Every event passes through it.
    keep_back : callable, optional
        How many bytes at the end of a write wait for the next one.
    chunked : bool
        False: the stream has neither chunks nor length and ends with the connection.
    """

    sentence: str
    reply: bytes | None = None
    status: int = 200
    share: float = 1.0
    end: End = "finish"
    insert: bytes = b""
    rewrite: Callable[[bytes], bytes] | None = None
    keep_back: Callable[[bytes], int] | None = None
    chunked: bool = True

    @property
    def outcome(self) -> Outcome:
        """What the truth log calls it."""
        return "fail" if self.reply is not None and self.end == "finish" else _OUTCOMES[self.end]


NONE = Fault("nothing goes wrong")


def _status(status: int, sentence: str, headers: dict[str, str] | None = None) -> Fault:
    return Fault(sentence, reply(status, error(status, "injected failure"), headers=headers), status)


FAULTS: dict[str, Fault] = {
    "http_400": _status(400, "400 with a JSON error"),
    "http_401": _status(401, "401 with a JSON error", {"www-authenticate": "Bearer"}),
    "http_404": _status(404, "404 with a JSON error"),
    "http_429": _status(429, "429 that asks to come back in 2 s", {"retry-after": "2"}),
    "http_500": _status(500, "500 with a JSON error"),
    "http_503": _status(503, "503 that asks to come back in 1 s", {"retry-after": "1"}),
    "stall": Fault("nothing is ever answered", share=0.0, end="stall"),
    "stall_midway": Fault("half of the tokens, then silence", share=0.5, end="stall"),
    "close": Fault("the connection is closed without an answer", share=0.0, end="close"),
    "close_midway": Fault("half of the tokens, then the connection is closed", share=0.5, end="close"),
    "reset": Fault("the connection is reset without an answer", share=0.0, end="reset"),
    "reset_midway": Fault("half of the tokens, then the connection is reset", share=0.5, end="reset"),
    "truncate": Fault("a complete HTTP message of half of the tokens: no finish, no [DONE]", share=0.5, end="cut"),
}


def named(name: str) -> Fault:
    """Return the fault of that name.

    Raises
    ------
    ValueError
        There is none.

    Examples
    --------
    >>> named("stall").sentence
    'nothing is ever answered'
    """
    if name not in FAULTS:
        raise ValueError(f"no fault is called {name!r}{nearest(name, FAULTS)}")
    return FAULTS[name]


def periodic(number: int, simulation: Simulation) -> Fault:
    """Return the fault that the options plan for a request, counted from 1.

    Examples
    --------
    >>> periodic(6, Simulation(stall_every=3)) is FAULTS["stall"]
    True
    """

    def turn(every: int) -> bool:
        return every > 0 and number % every == 0

    if turn(simulation.fail_every):
        return _status(simulation.fail_status, "each n-th request fails")
    if turn(simulation.drop_every):
        return FAULTS["close_midway"]
    if turn(simulation.reset_every):
        return FAULTS["reset_midway"]
    return FAULTS["stall"] if turn(simulation.stall_every) else NONE
