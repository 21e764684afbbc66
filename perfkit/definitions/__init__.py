"""Other tools' formulas, as data and pure functions, each checked against files that the tool itself wrote."""

from perfkit.definitions.catalogue import DEFINITIONS, Definition, definition
from perfkit.definitions.lens import Lens, lens, measure, summarised

__all__ = ["DEFINITIONS", "Definition", "Lens", "definition", "lens", "measure", "summarised"]
