"""Charts and tables as files, and the report."""
