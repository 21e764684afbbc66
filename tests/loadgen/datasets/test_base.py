from pathlib import Path

import pytest

from perfkit.loadgen.datasets.base import DatasetPluginBase
from perfkit.options.arguments import Arguments


class Two(DatasetPluginBase):
    def build_messages(self):  # type: ignore[no-untyped-def]
        yield from ("a", "b")


def test_iterating_a_dataset_builds_its_messages() -> None:
    assert list(Two(Arguments())) == ["a", "b"]


def test_lines_come_with_their_ends(tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("a\nb")
    assert list(Two(Arguments()).dataset_line_by_line(str(tmp_path / "lines.txt"))) == ["a\n", "b"]


def test_the_items_of_a_json_array_come_one_by_one(tmp_path: Path) -> None:
    (tmp_path / "list.json").write_text('[{"a": 1}, {"a": 2}]')
    assert list(Two(Arguments()).dataset_json_list(str(tmp_path / "list.json"))) == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize(("text", "fits"), [("", True), ("abc", True), ("abcd", False)])
def test_the_length_is_told_with_whether_it_is_allowed(text: str, fits: bool) -> None:
    assert Two(Arguments(max_prompt_length=3)).check_prompt_length(text) == (fits, len(text))


def test_several_images_become_content_parts() -> None:
    message = Two(Arguments()).create_message("look", ["u1", "u2"], role="user")
    assert [part["type"] for part in message["content"]] == ["text", "image_url", "image_url"]


def test_a_class_without_build_messages_is_told_what_to_define() -> None:
    with pytest.raises(TypeError, match="must define build_messages"):
        DatasetPluginBase(Arguments()).build_messages()
