"""The dialects the simulator speaks, one file each, found by their paths."""

from perfkit.simulator.dialects import anthropic, chat, completions, dashscope, embeddings, rerank, responses
from perfkit.simulator.dialects.answer import Ask, Dialect, Script

_ROOMS = (chat, completions, responses, embeddings, rerank, dashscope, anthropic)

DIALECTS: dict[str, Dialect] = {path: room.DIALECT for room in _ROOMS for path in room.DIALECT.paths}
"""By the path they are served at."""

__all__ = ["DIALECTS", "Ask", "Dialect", "Script"]
