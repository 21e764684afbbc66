"""Foreign text as a terminal may show it: no control character of a model, a server or a file moves its cursor."""

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
