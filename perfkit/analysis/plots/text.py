"""Names on charts: other people's text, made safe to draw and short enough to read."""

import unicodedata

LONGEST = 38
"""Letters of a name that a legend shows."""
_NARROW = frozenset(" .,:;|!'`()[]{}ijltfr-/")


def plain(text: str) -> str:
    r"""Keep a name from being read as mathematics, and letters that nobody sees out of it.

    Examples
    --------
    >>> print(plain("$5\n run"))
    \$5 run
    """
    seen = "".join(letter if unicodedata.category(letter)[0] != "C" else " " for letter in text)
    return " ".join(seen.split()).replace("$", r"\$")


def letters(text: str) -> float:
    """Return how many letters of mean width a text is as wide as: capitals, digits and Chinese take more room.

    Examples
    --------
    >>> letters("run"), letters("RUN") > letters("run"), letters("\u6d4b\u8bd5") > 3
    (2.9000000000000004, True, True)
    """
    return sum(_width(letter) for letter in text)


def _width(letter: str) -> float:
    if unicodedata.east_asian_width(letter) in "WF":
        return 2.0
    if letter in _NARROW:
        return 0.74
    return (
        (1.6 if letter in "MWmw" else 1.3) if letter.isupper() or letter in "mw" else 1.18 if letter.isdigit() else 1.08
    )


def _fitting(text: str, room: float) -> int:
    """Return how many characters at the beginning of a text fit, at least one."""
    for count in range(1, len(text)):
        room -= _width(text[count - 1])
        if room < _width(text[count]):
            return count
    return len(text)


def shortened(name: str, longest: float = LONGEST) -> str:
    """Cut the middle out of a long name: runs differ at their ends.

    Examples
    --------
    >>> shortened("qwen2.5-72b-instruct-tp4-fp8", 16)
    'qwen2.…-tp4-fp8'
    """
    if letters(name) <= longest:
        return name
    half = (longest - 1) / 2
    return f"{name[: _fitting(name, half)]}…{name[-_fitting(name[::-1], half) :]}"


def wrapped(sentence: str, room: float) -> str:
    r"""Break a sentence into lines of at most so many letters, and words that are longer, too.

    Examples
    --------
    >>> wrapped("one two three", 8)
    'one two\nthree'
    """
    room = max(room, 8)
    lines: list[str] = []
    for word in sentence.split():
        if lines and letters(f"{lines[-1]} {word}") <= room:
            lines[-1] += f" {word}"
            continue
        while letters(word) > room:
            end = _fitting(word, room)
            lines.append(word[:end])
            word = word[end:]
        lines.append(word)
    return "\n".join(lines)
