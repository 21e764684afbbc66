"""Open result files, select rows and load columns."""
