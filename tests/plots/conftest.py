import pytest

from perfkit.plots import style


@pytest.fixture(autouse=True)
def house_style():
    """Leave no test's style to the next one."""
    style()
    yield
    style()
