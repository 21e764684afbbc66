"""The GPUs of this machine, asked through NVML, as a page beside those that servers publish."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from time import time
from typing import Any

from perfkit.loadgen.scraping.page import NothingPublished, Page, Series
from perfkit.options.validation import NVML


class LocalGpus:
    """Reads power, utilisation and memory of every GPU of this machine.

    What one of them does not tell (a share of a GPU, an old one) is left out. Values are as NVML gives them: mW,
    percent, bytes; ``runs.server`` has them in its own units.
    """

    shown = NVML

    def __init__(self) -> None:
        self._library: Any = None

    def read(self) -> Page:
        """Ask all of them.

        Raises
        ------
        NothingPublished
            There is no such library, no driver, no GPU, or none tells anything.
        """
        asked = time()
        library = self._opened()
        try:
            values = dict(_all_of(library))
        except library.NVMLError as error:
            raise NothingPublished(f"NVML: {error}") from None
        if not values:
            raise NothingPublished("NVML: no GPU of this machine tells its power, utilisation or memory")
        ended = time()
        return Page((asked + ended) / 2, ended - asked, values)

    def _opened(self) -> Any:
        """Return the library, made ready once: that can take a second where no other program uses the GPUs."""
        if self._library is not None:
            return self._library
        try:
            import pynvml
        except ImportError:
            raise NothingPublished("it needs nvidia-ml-py: pip install 'perfkit[nvml]'") from None
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            raise NothingPublished(f"NVML: {error}") from None
        self._library = pynvml
        return pynvml


def _all_of(library: Any) -> Iterator[tuple[Series, float]]:
    for index in range(library.nvmlDeviceGetCount()):
        gpu = library.nvmlDeviceGetHandleByIndex(index)
        labels = (("gpu", str(index)), ("name", _text(library.nvmlDeviceGetName(gpu))))
        asked: tuple[tuple[str, Callable[[], float]], ...] = (
            ("nvmlDeviceGetPowerUsage", lambda: library.nvmlDeviceGetPowerUsage(gpu)),  # noqa: B023 (called at once)
            ("nvmlDeviceGetUtilizationRates_gpu", lambda: library.nvmlDeviceGetUtilizationRates(gpu).gpu),  # noqa: B023
            ("nvmlDeviceGetMemoryInfo_used", lambda: library.nvmlDeviceGetMemoryInfo(gpu).used),  # noqa: B023
        )
        for name, ask in asked:
            with suppress(library.NVMLError):
                yield Series(name, labels, "gauge"), float(ask())


def _text(name: str | bytes) -> str:
    return name.decode(errors="replace") if isinstance(name, bytes) else name
