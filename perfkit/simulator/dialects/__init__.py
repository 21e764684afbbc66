"""The dialects the simulator speaks, one file each, found by their paths."""

from perfkit.simulator.dialects import chat, completions
from perfkit.simulator.dialects.answer import Ask, Dialect, Script

DIALECTS: dict[str, Dialect] = {
    path: dialect for dialect in (chat.DIALECT, completions.DIALECT) for path in dialect.paths
}

__all__ = ["DIALECTS", "Ask", "Dialect", "Script"]
