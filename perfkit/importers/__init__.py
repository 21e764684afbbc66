"""Other tools' result files as canonical tables: recognised by content, read safely, written to a private database."""

from perfkit.importers.canonical import open_imported
from perfkit.importers.registry import IMPORTERS, ImportedRun, Importer, importer, recognise

__all__ = ["IMPORTERS", "ImportedRun", "Importer", "importer", "open_imported", "recognise"]
