"""Every option of a run: its name, type, range and default, and how a value is read."""
