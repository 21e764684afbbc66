"""A figure and a table for a paper: ``python figure_script.py RESULTS FOLDER``; ``figure.py`` times it."""

import sys

import perfkit as pk

runs = pk.open(sys.argv[1], tags="{release}__{profile}")
files = {"formats": ["pdf", "tex"], "size": "paper", "width": "89mm"}
runs.export(sys.argv[2], charts=["ecdf:ttft"], by="release", **files)
