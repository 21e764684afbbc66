"""JSON for scripts: the option that asks for it, and how it is printed."""

import argparse
import json
import re

from perfkit.records import Json


def add_json(parser: argparse.ArgumentParser, what: str = "") -> None:
    """Add ``--json``."""
    parser.add_argument("--json", action="store_true", help=f"print {what}{' as ' * bool(what)}JSON")


def to_json(value: Json) -> str:
    r"""Return JSON that a script reads, and a person too: what a terminal must not get is escaped.

    Examples
    --------
    >>> print(to_json("测试 \x9b2J \ud83d"))
    "测试 \u009b2J \ud83d"
    """
    return _UNPRINTABLE.sub(_escaped, json.dumps(value, indent=2, ensure_ascii=False))


_UNPRINTABLE = re.compile(r"[^\n -~]")


def _escaped(found: re.Match[str]) -> str:
    return found[0] if found[0].isprintable() else json.dumps(found[0])[1:-1]
