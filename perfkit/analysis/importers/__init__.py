"""Other tools' result files as canonical tables: recognised by content, read safely, written to a private database."""

from perfkit.analysis.importers.canonical import open_imported
from perfkit.analysis.importers.registry import IMPORTERS, ImportedRun, Importer, importer, recognise, unknown

__all__ = ["IMPORTERS", "ImportedRun", "Importer", "importer", "open_imported", "recognise", "unknown"]
