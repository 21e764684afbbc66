"""perfkit: benchmark LLM serving endpoints, keep everything, and understand it in Jupyter.

>>> import perfkit as pk
>>> runs = pk.run("http://localhost:8000", model="qwen", rate=8, number=500)  # doctest: +SKIP
>>> runs.where("first_chunk_latency > 1").plot.ecdf("ttft")  # doctest: +SKIP

Importing perfkit loads neither pandas, matplotlib, transformers nor aiohttp: a name is fetched from its room when
it is first used.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# The contract of plugin files: what `from perfkit import *` gives them. It must hide no builtin, so `pk.open` is
# reached through the module only.
_CONTRACT = {
    "abstractmethod": "abc",  # a documented plugin uses it without importing it
    "Arguments": "perfkit.arguments",
    "ApiPluginBase": "perfkit.apis.base",
    "DefaultApiPlugin": "perfkit.apis.base",
    "DatasetPluginBase": "perfkit.datasets.base",
    "PerfPluginBase": "perfkit.plugins",
    "BenchmarkData": "perfkit.apis.base",
    "register_api": "perfkit.plugins",
    "register_dataset": "perfkit.plugins",
    "run_perf_benchmark": "perfkit.measure",
    "get_logger": "perfkit.plugins",
}

_ROOMS = {
    **_CONTRACT,
    "run": "perfkit.measure",
    "start": "perfkit.measure",
    "check": "perfkit.measure",
    "replay": "perfkit.measure",
    "resume": "perfkit.measure",
    "attach": "perfkit.attached",
    "calibrate": "perfkit.calibration",
    "capacity": "perfkit.slo",
    "simulate": "perfkit.simulator",
    "Simulation": "perfkit.simulator",
    "PerfkitError": "perfkit.errors",
    "secret": "perfkit.secrets",
    "open": "perfkit.runs",
    "Runs": "perfkit.runs",
    "from_frame": "perfkit.runs",
    "scrub": "perfkit.scrubbing",
    "plan": "perfkit.runs",
    "importer": "perfkit.importers",
    "DEFINITIONS": "perfkit.definitions",
    "metric": "perfkit.metrics",
    "METRICS": "perfkit.metrics",
    "chart": "perfkit.plots",
    "style": "perfkit.plots",
    "explore": "perfkit.notebook.explorer",
}

__all__ = sorted(_CONTRACT)


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module 'perfkit' has no attribute {name!r}")
    value = getattr(import_module(_ROOMS[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*_ROOMS, "__version__"})
