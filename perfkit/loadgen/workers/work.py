"""What a driver hands to its worker, and how a failure is told. Nothing of the engine: a driver needs none."""

from dataclasses import dataclass, field
from typing import Any

from perfkit.errors import PerfkitError
from perfkit.loadgen.arrivals import WHOLE, Share
from perfkit.options.arguments import Arguments
from perfkit.records import Pumped


@dataclass(frozen=True)
class Resumed:
    """Which points of an earlier sweep are to be measured."""

    sweep_id: str
    points: tuple[int, ...]
    left: str = ""
    """Which points stay as they are, and what came of them."""


@dataclass
class Work:
    """What the driver hands to a worker.

    Parameters
    ----------
    arguments : Arguments
        Of the whole sweep; an iterable dataset is not in it but in ``prompts``.
    apis, datasets : dict of classes
        What the person registered in their own session, by name.
    folder : str
        Working directory.
    path : list of str
        ``sys.path`` of the driver.
    pumped : {"again", "once"}, optional
        Prompts come over the pipe.
    resumed : Resumed, optional
        The sweep that goes on.
    run_ids : tuple of str
        Of every point.
    share : Share
        Which part of each load is this worker's.
    bodies_name_models : bool
        The driver's prompts are bodies that say their model.
    api : type, optional
        The API, where the person gave the class itself.
    """

    arguments: Arguments
    apis: dict[str, type] = field(default_factory=dict)
    datasets: dict[str, type] = field(default_factory=dict)
    folder: str = "."
    path: list[str] = field(default_factory=list)
    pumped: Pumped | None = None
    resumed: Resumed | None = None
    run_ids: tuple[str, ...] = ()
    share: Share = WHOLE
    bodies_name_models: bool = False
    api: type | None = None


def failure_event(error: PerfkitError) -> dict[str, Any]:
    """Return an error as the driver is told it."""
    return {"error": type(error).__name__, "text": str(error)}
