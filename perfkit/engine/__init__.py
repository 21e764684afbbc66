"""Drives the load of one run: prompts in, requests at their time, rows out."""
