"""The command lines of other tools in perfkit's own words: a module each, which registers itself under ``@tool``."""

from perfkit.cli.tools.registry import TOOLS, Tool, tool, translated

__all__ = ["TOOLS", "Tool", "tool", "translated"]
