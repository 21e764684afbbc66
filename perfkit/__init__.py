"""perfkit: benchmark LLM serving endpoints, keep everything, and understand it in Jupyter.

>>> import perfkit as pk
>>> runs = pk.run("http://localhost:8000", model="qwen", rate=8, number=500)  # doctest: +SKIP
>>> runs.where("first_chunk_latency > 1").plot.ecdf("ttft")  # doctest: +SKIP

Importing perfkit loads neither pandas, matplotlib, transformers nor aiohttp: a name is fetched from its module when it
is first used.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# The contract of plugin files: what `from perfkit import *` gives them. It must hide no builtin, so `pk.open` is
# reached through the module only.
_CONTRACT = {
    "abstractmethod": "abc",  # a documented plugin uses it without importing it
    "Arguments": "perfkit.options.arguments",
    "ApiPluginBase": "perfkit.apis.base",
    "DefaultApiPlugin": "perfkit.apis.base",
    "DatasetPluginBase": "perfkit.loadgen.datasets.base",
    "PerfPluginBase": "perfkit.plugins",
    "BenchmarkData": "perfkit.apis.base",
    "register_api": "perfkit.plugins",
    "register_dataset": "perfkit.plugins",
    "run_perf_benchmark": "perfkit.runner.start",
    "get_logger": "perfkit.plugins",
}

_MODULES = {
    **_CONTRACT,
    "register_preset": "perfkit.options.presets",
    "Preset": "perfkit.options.presets",
    "run": "perfkit.runner.start",
    "start": "perfkit.runner.start",
    "check": "perfkit.runner.start",
    "replay": "perfkit.runner.start",
    "resume": "perfkit.runner.start",
    "recover": "perfkit.runner.recover",
    "attach": "perfkit.runner.attach",
    "calibrate": "perfkit.runner.calibration",
    "capacity": "perfkit.runner.capacity",
    "ab": "perfkit.runner.repeat",
    "simulate": "perfkit.simulator",
    "Simulation": "perfkit.simulator",
    "PerfkitError": "perfkit.errors",
    "secret": "perfkit.secrets",
    "open": "perfkit.analysis.results.open",
    "Runs": "perfkit.analysis.results.runs",
    "from_frame": "perfkit.analysis.results.open",
    "decode_cell": "perfkit.runfile.safe_pickle",
    "scrub": "perfkit.analysis.results.scrub",
    "plan": "perfkit.analysis.results.plan",
    "importer": "perfkit.analysis.importers",
    "ImportedRun": "perfkit.analysis.importers",
    "DEFINITIONS": "perfkit.analysis.definitions",
    "metric": "perfkit.analysis.metrics",
    "rate": "perfkit.analysis.metrics",
    "METRICS": "perfkit.analysis.metrics",
    "chart": "perfkit.analysis.plots",
    "canvas": "perfkit.analysis.plots.canvas",
    "style": "perfkit.analysis.plots",
    "share_running_loop": "perfkit.analysis.notebook.loops",
    "explore": "perfkit.analysis.notebook.explorer",
}

__all__ = sorted(_CONTRACT)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'perfkit' has no attribute {name!r}")
    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*_MODULES, "__version__"})
