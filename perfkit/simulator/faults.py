"""What can go wrong on request: ``"x_fault": NAME`` in a request's body, or an ``x-fault: NAME`` header."""

import re
from dataclasses import dataclass
from typing import Literal

from perfkit.errors import nearest
from perfkit.simulator.connection import error_body
from perfkit.simulator.options import Simulation

End = Literal["finish", "cut", "close", "reset", "stall"]
"""How an answer ends: as it should; as a complete HTTP message that lacks its last events; connection closed;
connection reset; never."""

Outcome = Literal["ok", "fail", "drop", "stall", "client_closed"]


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to fail. ``share`` of the tokens are sent before the end, then the bytes ``insert``."""

    meaning: str
    status: int = 200
    """Other than 200: that error is sent instead of an answer."""
    share: float = 1.0
    end: End = "finish"
    insert: bytes = b""
    omit: bytes | None = None
    """Events with these bytes are left out."""
    retry_after: str = ""
    """Seconds."""

    @property
    def outcome(self) -> Outcome:
        """What the truth log calls it."""
        if self.status != 200:
            return "fail"
        return "ok" if self.end == "finish" else "stall" if self.end == "stall" else "drop"


NONE = Fault("nothing goes wrong")
FAULTS = {
    "stall": Fault("no answer", share=0.0, end="stall"),
    "stall_midway": Fault("half of the tokens, then silence", share=0.5, end="stall"),
    "close": Fault("the connection is closed without an answer", share=0.0, end="close"),
    "close_midway": Fault("half of the tokens, then the connection is closed", share=0.5, end="close"),
    "reset": Fault("the connection is reset without an answer", share=0.0, end="reset"),
    "reset_midway": Fault("half of the tokens, then the connection is reset", share=0.5, end="reset"),
    "truncate": Fault("a complete HTTP message of half of the tokens: no finish, no [DONE]", share=0.5, end="cut"),
    "error_event": Fault(
        "half of the tokens, then an error object",
        share=0.5,
        insert=b"data: %b\n\n" % error_body(500, "injected failure"),
        end="cut",
    ),
    "no_done": Fault("no [DONE]", omit=b"data: [DONE]"),
    "no_usage": Fault("no event with usage", omit=b'"usage":{'),
}
"""By name; besides these ``http_400`` to ``http_599`` are answers of that status with a JSON error."""


def find_fault(name: str) -> Fault:
    """Return the fault of that name; ValueError if there is none.

    Examples
    --------
    >>> find_fault("http_503").status, find_fault("stall").meaning
    (503, 'no answer')
    """
    if re.fullmatch("http_[45][0-9][0-9]", name):
        retry_after = {"http_429": "2", "http_503": "1"}.get(name, "")
        return Fault("an error instead of an answer", status=int(name[5:]), retry_after=retry_after)
    if name not in FAULTS:
        raise ValueError(f"no fault is called {name!r}{nearest(name, FAULTS)}")
    return FAULTS[name]


def scheduled_fault(number: int, simulation: Simulation) -> Fault:
    """Return the fault that the options schedule for a request, counted from 1.

    Examples
    --------
    >>> scheduled_fault(6, Simulation(stall_every=3)) is FAULTS["stall"]
    True
    """
    for every, fault in (
        (simulation.fail_every, Fault("each n-th request fails", status=simulation.fail_status)),
        (simulation.drop_every, FAULTS["close_midway"]),
        (simulation.reset_every, FAULTS["reset_midway"]),
        (simulation.stall_every, FAULTS["stall"]),
    ):
        if every > 0 and number % every == 0:
            return fault
    return NONE
