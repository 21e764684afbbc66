import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def program(request: pytest.FixtureRequest) -> Iterator[ModuleType]:
    """The benchmark that a module tests: ``arrivals`` for ``test_arrivals``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        patch.setattr(sys, "path", sys.path[:])
        yield import_module(request.module.__name__.rpartition("test_")[2])
