"""The run file: one sqlite file, many runs; the only thing both towers know."""
