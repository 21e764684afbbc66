"""Datasets: where prompts come from, as one lazy stream.

>>> from itertools import islice
>>> from perfkit.arguments import Arguments
>>> [prompt.content for prompt in islice(prompts(Arguments(prompt="hi", number=2)), 2)]
[[{'role': 'user', 'content': 'hi'}], [{'role': 'user', 'content': 'hi'}]]
"""

from perfkit.datasets.opened import OpenedDataset, open_dataset, prompts

__all__ = ["OpenedDataset", "open_dataset", "prompts"]
