import textwrap
from pathlib import Path

import pytest

from perfkit.errors import UsageError
from perfkit.plugins import api_class, load_parser, load_plugins
from perfkit.registry import APIS

PLUGIN = """
from perfkit import *

@register_api("from_file_{name}")
class Plugin{name}(ApiPluginBase):
    def build_request(self, messages, param=None):
        return {{"input": messages}}
"""


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))
    return path


def test_a_plugin_file_registers_what_it_decorates(tmp_path: Path) -> None:
    load_plugins([str(write(tmp_path / "plugin.py", PLUGIN.format(name="x")))])
    assert api_class("from_file_x").__name__ == "Pluginx"


def test_a_folder_gives_every_plugin_file_in_it(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(tmp_path / f"{name}.py", PLUGIN.format(name=name))
    load_plugins([str(tmp_path)])
    assert {"from_file_a", "from_file_b"} <= set(APIS)


def test_an_installed_package_gives_plugins_by_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "theirs.py", PLUGIN.format(name="e"))
    write(tmp_path / "theirs-1.0.dist-info/entry_points.txt", "[perfkit.plugins]\ntheirs = theirs\n")
    write(tmp_path / "theirs-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    load_plugins()
    assert "from_file_e" in APIS


def test_a_parser_file_with_one_class_needs_no_name(tmp_path: Path) -> None:
    file = write(tmp_path / "dashscope/line_by_line_prompt.py", PLUGIN.format(name="y"))
    assert load_parser(str(file)).__name__ == "Pluginy"


def test_a_parser_file_with_several_classes_wants_a_name(tmp_path: Path) -> None:
    file = write(tmp_path / "two.py", PLUGIN.format(name="a") + PLUGIN.format(name="b"))
    with pytest.raises(UsageError, match="found: Plugina, Pluginb"):
        load_parser(str(file))
    assert load_parser(f"{file}:Pluginb").__name__ == "Pluginb"


def test_a_parser_is_found_by_file_and_class_with_a_dot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "mine.py", PLUGIN.format(name="z"))
    monkeypatch.chdir(tmp_path)
    assert load_parser("mine.Pluginz").__name__ == "Pluginz"


def test_a_parser_is_found_in_an_installed_module() -> None:
    assert load_parser("perfkit.apis.openai.OpenAI").__name__ == "OpenAI"


def test_an_api_may_be_given_by_its_file(tmp_path: Path) -> None:
    assert api_class(str(write(tmp_path / "api.py", PLUGIN.format(name="f")))).__name__ == "Pluginf"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("def broken(:\n    pass\n", r"plugin \S*bad\.py:1: SyntaxError"),
        ("x = 1\ny = x / 0\n", r"plugin \S*bad\.py:2: ZeroDivisionError"),
        ("import nothing_of_that_name\n", r"bad\.py:1: ModuleNotFoundError: No module named 'nothing_of_that_name'"),
        ("x = 1\n", "must define one plugin class"),
    ],
)
def test_a_plugin_file_that_does_not_load_is_told_with_its_line(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        load_parser(str(write(tmp_path / "bad.py", text)))


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("nowhere.py", "no plugin file at nowhere.py"),
        ("plain", "file.py, file.py:Class or module.Class"),
        ("no_such_module.Class", "cannot import the parser's module 'no_such_module'"),
        ("perfkit.apis.openai.OpenIA", "did you mean 'OpenAI'"),
    ],
)
def test_a_parser_that_is_not_there_is_told_in_a_sentence(spec: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        load_parser(spec)


def test_a_plugin_folder_that_is_not_there_is_told() -> None:
    with pytest.raises(UsageError, match="no plugin file or folder at nowhere"):
        load_plugins(["nowhere"])
