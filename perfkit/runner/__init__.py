"""Start a run, follow it and search with it: where the load generator and the analysis meet."""
