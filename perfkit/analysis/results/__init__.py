"""``Runs``: what a person holds after opening or measuring."""
