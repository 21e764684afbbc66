"""Datasets: where prompts come from, as one lazy stream.

>>> from itertools import islice
>>> from perfkit.options.arguments import Arguments
>>> [prompt.content for prompt in islice(prompts(Arguments(prompt="hi", number=2)), 2)]
[[{'role': 'user', 'content': 'hi'}], [{'role': 'user', 'content': 'hi'}]]
"""

from perfkit.loadgen.datasets.opened import OpenedDataset, name_models, open_dataset, prompts, reading

__all__ = ["OpenedDataset", "name_models", "open_dataset", "prompts", "reading"]
