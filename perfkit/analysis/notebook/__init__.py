"""What lives in a notebook: the explorer, the panel of a job under way, and the one door to a patched loop."""
