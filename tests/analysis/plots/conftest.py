import pytest

from perfkit.analysis.plots import style


@pytest.fixture(autouse=True)
def house_style():
    """Leave no test's style to the next one."""
    style()
    yield
    style()
