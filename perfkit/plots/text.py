"""Names on charts: other people's text, made safe to draw and short enough to read."""

import textwrap
import unicodedata

LONGEST = 40
"""Letters of a name that a legend shows."""


def plain(text: str) -> str:
    r"""Keep a name from being read as mathematics, and letters that nobody sees out of it.

    Examples
    --------
    >>> print(plain("$5\n run"))
    \$5 run
    """
    seen = "".join(letter if unicodedata.category(letter)[0] != "C" else " " for letter in text)
    return " ".join(seen.split()).replace("$", r"\$")


def shortened(name: str, longest: int = LONGEST) -> str:
    """Cut the middle out of a long name: runs differ at their ends.

    Examples
    --------
    >>> shortened("qwen2.5-72b-instruct-tp4-fp8", 16)
    'qwen2.5-…tp4-fp8'
    """
    if len(name) <= longest:
        return name
    half = (longest - 1) // 2
    return f"{name[: longest - 1 - half]}…{name[-half:]}"


def wrapped(sentence: str, letters: int) -> str:
    r"""Break a sentence into lines of at most so many letters.

    Examples
    --------
    >>> wrapped("one two three", 8)
    'one two\nthree'
    """
    return "\n".join(textwrap.wrap(sentence, max(letters, 8)))


def listed(names: list[str], most: int = 3) -> str:
    """Name the first few of several.

    Examples
    --------
    >>> listed(["a", "b"]), listed(["a", "b", "c", "d", "e"])
    ('a and b', 'a, b, c and 2 more')
    """
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)
