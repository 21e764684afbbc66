"""Names of runs as names of files."""

import pytest

from perfkit.printable import LONGEST_NAME, slug


@pytest.mark.parametrize("name", ["测试一", "हिन्दी", "اختبار", "тест-1", "é", "tp2_fp8.v1"])
def test_a_name_of_any_script_is_a_file_name_as_it_is(name: str) -> None:
    assert slug(name) == name


@pytest.mark.parametrize(
    ("name", "file"),
    [("a/../b", "a-..-b"), ("a\x1b[2J\u202eb", "a-2J-b"), ("../..", ""), ("\ud83d", ""), ("e\u0301", "é")],
)
def test_what_no_file_name_should_hold_is_left_out(name: str, file: str) -> None:
    assert slug(name) == file


def test_a_long_name_leaves_room_for_endings() -> None:
    assert len(slug("测" * 300).encode()) <= LONGEST_NAME
    assert slug("x" * 300) == "x" * 100
