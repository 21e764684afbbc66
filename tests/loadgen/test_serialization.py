"""What travels by value keeps the file and the lines of its code."""

from collections.abc import Callable
from types import CodeType
from typing import Any

import pytest

from perfkit.loadgen.serialization import packed, unpacked


def places(code: CodeType) -> list[tuple[str, str, list[Any]]]:
    """Name file, function and lines of a piece of code, and of the functions written within it."""
    inner = [const for const in code.co_consts if isinstance(const, CodeType)]
    here = (code.co_filename, code.co_qualname, list(code.co_lines()))
    return [here, *(place for const in inner for place in places(const))]


def nested() -> Callable[[], Callable[[], list[int]]]:
    """Return a function that holds another, which holds a comprehension and a lambda."""

    def outer() -> Callable[[], list[int]]:
        def inner() -> list[int]:
            return [(lambda: 1 // (number - number))() for number in range(3)]

        return inner

    return outer


def test_code_keeps_its_file_and_lines_however_deep_it_is_nested() -> None:
    function = nested()
    copy = unpacked(packed(function))
    assert copy is not function
    assert places(copy.__code__) == places(function.__code__)
    assert {file for file, _, _ in places(copy.__code__)} == {__file__}


@pytest.mark.slow
def test_an_error_in_a_copied_function_is_at_the_line_where_the_person_wrote_it() -> None:
    copy = unpacked(packed(nested()))
    with pytest.raises(ZeroDivisionError) as raised:
        copy()()
    last = raised.traceback[-1]
    assert str(last.path) == __file__
    assert "(lambda: 1 // " in str(last.statement)
