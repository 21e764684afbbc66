"""What every release of evalscope and llmuses prints, recomputed from the rows it stored.

A quantity is a function of the stored rows; a label in the tool's files names a quantity. Formulas changed without
the file saying so, hence the releases in the code. Verified by ``benchmarks/fixtures.py``.
"""

from benchmarks.formulas.evalscope.percentiles import SAMPLES, percentiles
from benchmarks.formulas.evalscope.run import EvalscopeRun, Version
from benchmarks.formulas.evalscope.summary import LABELS, PRINTED, QUANTITIES, printed, summary
from benchmarks.formulas.evalscope.traces import CONVERSATIONS, THROUGHPUTS, Point, conversations, throughput, timeline

__all__ = [
    "CONVERSATIONS",
    "LABELS",
    "PRINTED",
    "QUANTITIES",
    "SAMPLES",
    "THROUGHPUTS",
    "EvalscopeRun",
    "Point",
    "Version",
    "conversations",
    "percentiles",
    "printed",
    "summary",
    "throughput",
    "timeline",
]
