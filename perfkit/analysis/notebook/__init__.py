"""What lives in a notebook: the explorer, the live line of a job, and the one door to a patched loop."""
