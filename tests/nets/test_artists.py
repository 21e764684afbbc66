"""What every chart draws: its artists with their data and colours, its axes and its legend."""

import warnings

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.collections import Collection
from matplotlib.colors import to_hex
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text

import perfkit as pk
from tests.nets.golden import FIXTURES, RUNS, agrees, plain

matplotlib.use("Agg")

CHARTS = (
    *("box", "ecdf", "failures", "goodput", "heatmap", "hist", "latency_split", "over_time", "pareto", "percentiles"),
    *("raster", "scatter", "shift", "sweep", "timeline", "tradeoff", "trend"),
)


@pytest.fixture(scope="module")
def six():
    return pk.open(RUNS) + pk.open(FIXTURES / "peers" / "guidellm_4")


def data(values):
    """Return numbers as they are where they are few, else how many and how they lie."""
    values = np.ravel(np.ma.filled(np.ma.asarray(values, dtype=float), np.nan))
    if len(values) <= 8:
        return plain(values)
    known = values[np.isfinite(values)]
    ends = [values[0], values[-1], known.min(), known.max(), known.mean()] if len(known) else []
    return plain([f"{len(values)} values", *ends])


def colours(found):
    return sorted({to_hex(colour, keep_alpha=True) for colour in np.atleast_2d(found)}) if len(found) else []


def artist(found):
    """Return what an artist looks like; None for one that is invisible."""
    if not found.get_visible():
        return None
    if isinstance(found, Line2D):
        return {
            "kind": "line",
            "label": plain(found.get_label() if not str(found.get_label()).startswith("_") else None),
            "x": data(found.get_xdata(orig=False)),
            "y": data(found.get_ydata(orig=False)),
            "look": [to_hex(found.get_color()), str(found.get_linestyle()), str(found.get_marker())],
        }
    if isinstance(found, Collection):
        paths = [path.vertices for path in found.get_paths()]
        return {
            "kind": "collection",
            "offsets": data(found.get_offsets()),
            "vertices": data(np.concatenate(paths)) if paths else [],
            "colours": colours(found.get_facecolor()) + colours(found.get_edgecolor()),
        }
    if isinstance(found, Text):
        return {"kind": "text", "text": plain(found.get_text(), wording=False)} if found.get_text().strip() else None
    if isinstance(found, AxesImage):
        return {"kind": "image", "shape": plain(np.shape(found.get_array())), "extent": data(found.get_extent())}
    if isinstance(found, Patch):
        return {
            "kind": "patch",
            "vertices": data(found.get_patch_transform().transform_path(found.get_path()).vertices),
            "colours": colours(found.get_facecolor()),
        }
    return None


def picture(axes):
    """Return all that a chart shows, axes by axes: those beside and inside the given ones, too."""
    return [one(each) for each in axes.figure.axes]


def one(axes):
    held = [artist(each) for each in axes.get_children() if each not in (axes.patch, *axes.spines.values())]
    legend = axes.get_legend()
    return {
        "artists": [each for each in held if each],
        "labels": [axes.get_xlabel(), axes.get_ylabel()],
        "scales": [axes.get_xscale(), axes.get_yscale()],
        "limits": plain([*axes.get_xlim(), *axes.get_ylim()]),
        "ticks": [plain(text.get_text()) for text in axes.get_yticklabels()] if axes.get_yscale() == "linear" else [],
        "legend": legend and [plain(text.get_text(), wording=False) for text in legend.get_texts()],
    }


def drawn(runs, chart, metric=None, **options):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return picture(runs.plot(chart, metric, **options))
    except pk.PerfkitError as error:
        return type(error).__name__
    finally:
        pyplot.close("all")


def test_these_are_all_charts(six):
    assert {name for name in dir(six.plot) if not name.startswith("_")} == set(CHARTS)


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2, 6])
@pytest.mark.parametrize("chart", CHARTS)
def test_a_chart_draws_what_it_drew(six, chart, count):
    chosen = {1: six[3], 2: six[1] + six[3], 6: six}[count]
    agrees("artists", f"{chart} of {count}", drawn(chosen, chart))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("chart", "metric", "options"),
    [
        ("ecdf", "itl", {"by": "gpu"}),
        ("hist", "tpot", {"by": "gpu"}),
        ("over_time", "output_throughput", {}),
        ("over_time", "ttft", {"by": "gpu"}),
        ("scatter", "ttft", {"x": "prompt_tokens"}),
        ("sweep", "tpot", {"by": "gpu"}),
        ("percentiles", "e2e", {"by": "gpu"}),
        ("pareto", None, {"y": "output_throughput", "by": "gpu"}),
    ],
)
def test_a_chart_of_another_metric_or_grouping_draws_what_it_drew(six, chart, metric, options):
    name = " ".join([chart, *([metric] if metric else []), *(f"{key}={value}" for key, value in options.items())])
    agrees("artists", name, drawn(pk.open(RUNS), chart, metric, **options))


@pytest.mark.slow
def test_a_comparison_draws_its_ratios():
    axes = pk.open(RUNS).compare("A100", by="gpu").plot()
    agrees("artists", "comparison", picture(axes))
    pyplot.close("all")
