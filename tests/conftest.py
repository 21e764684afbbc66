"""What every test leaves as it found it."""

from collections.abc import Iterator

import pytest

from perfkit.registry import APIS, DATASETS


@pytest.fixture(autouse=True)
def _registries_as_before() -> Iterator[None]:
    """Forget the plugins that a test registered: names such as ``custom`` replace built-in ones."""
    before = [(registry, dict(registry.classes)) for registry in (APIS, DATASETS)]
    yield
    for registry, classes in before:
        registry.classes.clear()
        registry.classes.update(classes)
