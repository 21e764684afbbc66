"""The page of faults says what happens."""

import ssl
from pathlib import Path

import pytest

from tests.certificates import serving
from tests.faults import FAULTS, PAGE, Fault, row_of

pytestmark = pytest.mark.processes

EVERY = [fault for faults in FAULTS.values() for fault in faults]


def told(does: str) -> tuple[str, ...]:
    lines = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith(f"| {does} |")]
    assert len(lines) == 1
    return tuple(cell.strip() for cell in lines[0].replace("\\|", "\0").strip("|").split("|")[1:])


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path]:
    return serving(tmp_path_factory.mktemp("tls"))


@pytest.mark.parametrize("fault", EVERY, ids=lambda fault: fault.does)
def test_the_row_is_that_of_the_page(fault: Fault) -> None:
    assert row_of(fault) == told(fault.does)


@pytest.mark.parametrize("fault", EVERY, ids=lambda fault: fault.does)
def test_with_tls_the_outcome_the_kind_and_the_text_are_the_same(
    fault: Fault, tls: tuple[ssl.SSLContext, Path]
) -> None:
    assert row_of(fault, tls)[:4] == told(fault.does)[:4]


def test_each_line_of_the_page_is_played() -> None:
    lines = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| ")]
    shown = {line.split(" | ")[0].removeprefix("| ") for line in lines} - {"the server", "---"}
    assert shown == {fault.does for fault in EVERY}
