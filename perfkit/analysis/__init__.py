"""Look at what was measured: open, query, compute, compare, draw, report."""
