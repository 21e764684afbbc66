"""Other tools' formulas, as data and pure functions, each checked against files that the tool itself wrote."""

from perfkit.analysis.definitions.catalogue import DEFINITIONS, Definition, definition
from perfkit.analysis.definitions.lens import Lens, lens, measure, summarised

__all__ = ["DEFINITIONS", "Definition", "Lens", "definition", "lens", "measure", "summarised"]
