"""Foreign text as a terminal or a file name may show it: nothing in it moves a cursor or leads to another folder."""

from unicodedata import category, normalize

LONGEST_NAME = 200
"""Bytes of a file name, whose ending and whose neighbours' endings come to it: file systems take 255."""
_MARK = "\N{REPLACEMENT CHARACTER}"


def plain(text: object) -> str:
    r"""Return a text on one line without control characters: ESC, C1, those that change the direction, half pairs.

    Examples
    --------
    >>> plain("a\x1b[2Jb")
    'a�[2Jb'
    """
    told = str(text)
    return told if told.isprintable() else "".join(each if each.isprintable() else _MARK for each in told)


def plain_lines(text: object) -> str:
    r"""Return a text without control characters other than ends of lines and tabs.

    Examples
    --------
    >>> plain_lines("a\n\x9b2Jb")
    'a\n�2Jb'
    """
    told = str(text)
    return told if told.isprintable() else "".join(each if each in "\n\t" else plain(each) for each in told)


def slug(text: str) -> str:
    """Return text as a file name: letters and digits of any script, dot, dash and underscore, at most 100 of them.

    Examples
    --------
    >>> slug("../tp 2 (fp8)"), slug("测试一"), slug("..")
    ('tp-2-fp8', '测试一', '')
    """
    kept = [each if each in "._-" or category(each)[0] in "LMN" else " " for each in normalize("NFC", text)]
    whole = "-".join("".join(kept).split()).strip(".-_")[:100]
    return whole.encode()[:LONGEST_NAME].decode("utf-8", "ignore").strip(".-_")
