"""The run file: its schema, its writer, and safe reading of files and cells."""
