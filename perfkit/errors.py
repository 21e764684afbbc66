"""What perfkit raises when the caller can act on it.

A failed *request* is data (a row with ``error_kind`` and ``error``); a failed *program* is one of these.
The command line turns them into one sentence and an exit status.
"""

import difflib
from collections.abc import Iterable

from perfkit.printable import plain_lines


class PerfkitError(Exception):
    """Anything perfkit raises on purpose; what it quotes of a server or a file is shown without control characters."""

    def __str__(self) -> str:
        return plain_lines(super().__str__())


class _PlainError(PerfkitError):
    """Its message is all there is to know."""

    def _render_traceback_(self) -> list[str]:
        """Give IPython, which asks for it, the sentence alone: the cause is in none of the lines of a traceback."""
        return [f"{type(self).__name__}: {self}"]


class UsageError(_PlainError, ValueError):
    """What was given cannot be used; the message says what is allowed and what to do next. Exit status 2."""


def explain(error: BaseException, sentence: str) -> None:
    """Have an interruption say what it leaves behind; IPython then shows the sentence alone.

    Its type stays, as whoever interrupts looks for that.
    """
    error.args = (sentence,)
    vars(error)["_render_traceback_"] = lambda: [f"{type(error).__name__}: {sentence}"]


class NotComparable(UsageError):
    """No two runs had the same load and work."""


class UnknownPlugin(UsageError):
    """A name that nothing is registered under."""


class PluginFailure(PerfkitError):
    """The user's own plugin raised; the message names its file and line. It becomes its row's error."""


class BrokenOff(SystemExit):
    """Raised in a person's own code that must not go on, past any ``except Exception`` of theirs.

    Whoever called that code raises the ``reason`` in its place.
    """

    def __init__(self, reason: PerfkitError) -> None:
        super().__init__(str(reason))
        self.reason = reason


MISTAKES = (UsageError, PluginFailure)
"""What whoever started a run can put right: a run in which nothing was measured is not worth keeping then."""


class NothingSucceeded(_PlainError):
    """No request of a run succeeded. Exit status 3."""


class StorageError(_PlainError):
    """Results could not be stored; the message says where the unsaved rows are. Exit status 4."""


class WorkerLost(PerfkitError):
    """A worker process ended without saying so. What it had stored is kept. Exit status 1."""


class Slower(PerfkitError, AssertionError):
    """Something is clearly worse than it may be, or the sides cannot be compared. Exit status 5."""


class Undecided(PerfkitError, AssertionError):
    """A gate that can neither pass nor fail, as too little was measured; says what would decide. Exit status 6."""


class UnsafeFile(_PlainError):
    """A file that perfkit refuses to open, because opening it could harm or because it is not a result file."""


class UnsafePickle(PerfkitError):
    """A cell that holds something else than plain data. It was not executed."""


class CorruptPickle(UnsafePickle):
    """A cell that is not a well-formed pickle of plain data."""


class LimitExceeded(UnsafePickle):
    """A cell that would take more memory, depth or time than any real answer."""


LONG = 24
"""Names beyond which a list of all of them would bury the sentence that it ends."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Suggest the known name closest to a mistyped one, as the tail of an error message.

    Parameters
    ----------
    name : str
        What was given.
    known : iterable of str
        What exists.

    Returns
    -------
    str
        ``"; did you mean 'b'? (known: a, b)"``, without the question when nothing is close; of a long list three
        names, and none when something is close.

    Examples
    --------
    >>> nearest("opnai-chat", ["openai-chat", "rerank"])
    "; did you mean 'openai-chat'? (known: openai-chat, rerank)"
    >>> nearest("x", ["openai-chat", "rerank"])
    ' (known: openai-chat, rerank)'
    """
    names = sorted(known)
    folded = {each.lower(): each for each in names}
    similar = [folded[each] for each in difflib.get_close_matches(name.lower(), folded, n=3, cutoff=0)]
    is_close = difflib.get_close_matches(name.lower(), folded, n=1)
    question = f"; did you mean '{similar[0]}'?" if is_close else ""
    if len(names) <= LONG:
        return f"{question} (known: {', '.join(names)})" if names else "; none is known"
    return question or f" (known: {', '.join(similar)} and {len(names) - len(similar)} more)"
