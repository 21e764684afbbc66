"""InferenceX (once InferenceMAX): ``agg_….json`` of a point, and lists of points, of single and of several nodes.

Durations are in seconds. ``tput_per_gpu`` counts prompt and output tokens, ``output_tput_per_gpu`` output alone;
``median_intvty`` is 1 / median TPOT. Where prefill and decoding have GPUs of their own, older files divide the output
by those that decode alone: it is brought to all of them.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from perfkit.analysis.importers.evalscope_cells import number, positive, whole
from perfkit.analysis.importers.figures import rates, statistics, summary
from perfkit.analysis.importers.json_outline import outline
from perfkit.analysis.importers.registry import ImportedRun, importer
from perfkit.analysis.importers.text import json_objects, section, unix
from perfkit.records import Json

_FIGURE: Final = re.compile(r"(mean|median|p[\d.]+)_(ttft|tpot|itl|e2el)")
_TAGS: Final = {
    "gpu": ("hw", "hardware"),
    "framework": ("framework",),
    "precision": ("precision",),
    "isl": ("isl",),
    "osl": ("osl",),
    "speculation": ("spec_decoding", "spec_method", "mtp"),
    "disaggregated": ("disagg",),
    "date": ("date",),
}
_SIZES: Final = ("tp", "ep", "prefill_tp", "decode_tp")


@importer("inferencex")
class InferenceX:
    """Points of InferenceX's runs."""

    def matches(self, path: Path, head: bytes) -> bool:
        """Tell by the throughput per GPU and the load."""
        return outline(head).has("hw conc tput_per_gpu", "hw conc output_tput_per_gpu", "hardware conc metrics")

    def read(self, path: Path) -> Iterator[ImportedRun]:
        """Yield a run a point."""
        for found in json_objects(path, "inferencex"):
            yield _point({**found, **section(found, "metrics")})


def _point(point: dict[str, Json]) -> ImportedRun:
    gpus = _gpus(point)
    output, total = positive(_output(point)), positive(point.get("tput_per_gpu"))
    figures = dict(
        rates(
            throughput_per_gpu=output,
            total_throughput_per_gpu=total,
            output_throughput=output * gpus if output and gpus else None,
            total_throughput=total * gpus if total and gpus else None,
        )
    )
    for name, value in point.items():
        if found := _FIGURE.fullmatch(name):
            figures |= statistics({"e2el": "e2e"}.get(found[2], found[2]), {found[1]: value})
    speed = positive(point.get("median_intvty"))
    if "tpot_p50" not in figures and speed:
        figures["tpot_p50"] = 1 / speed
    given = {tag: _first(point, names) for tag, names in _TAGS.items()}
    tags = {tag: str(value) for tag, value in given.items() if value and value != "none"}
    tags |= {"gpus": str(gpus)} if gpus else {}
    tags |= {name: str(size) for name in _SIZES if (size := whole(point.get(name)))}
    shape = [f"{name}{tags[name]}" for name in ("tp", "ep") if name in tags]
    lengths = f"{tags['isl']}/{tags['osl']}" if {"isl", "osl"} <= tags.keys() else ""
    words = [tags.get("gpu"), tags.get("framework"), tags.get("precision"), *shape, tags.get("speculation"), lengths]
    run = {
        "name": " ".join(word for word in words if word) or None,
        "model": _first(point, ("model", "infmax_model_prefix")),
        "load": "closed",
        "parallel": whole(point.get("conc")),
        "tags": tags,
        "start_time": unix(point.get("date")),
    }
    return summary("inferencex", run, figures, succeeded=whole(point.get("completed")), failed=None)


def _first(point: dict[str, Json], names: tuple[str, ...]) -> Json:
    return next((point[name] for name in names if isinstance(point.get(name), (str, int, float))), None)


def _gpus(point: dict[str, Json]) -> int | None:
    """Return how many GPUs a point has: those of prefill and decoding together, or the size of its one server."""
    apart: list[int] = [whole(point.get(name)) or 0 for name in ("num_prefill_gpu", "num_decode_gpu")]
    is_apart = bool(point.get("disagg")) or bool(point.get("is_multinode"))
    together = sum(apart)
    return together if is_apart and together else whole(point.get("tp")) or max(apart) or None


def _output(point: dict[str, Json]) -> float | None:
    """Return output tokens per second and GPU, of all GPUs."""
    told = number(point.get("output_tput_per_gpu"))
    prefill, decode = (whole(point.get(name)) for name in ("num_prefill_gpu", "num_decode_gpu"))
    is_old = bool(point.get("disagg")) and "output_tput_per_decode_gpu" not in point
    return told * decode / (prefill + decode) if told and is_old and prefill and decode else told
