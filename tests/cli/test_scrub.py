import json
from pathlib import Path

import pytest

from tests.cli.commands import perfkit
from tests.run_files import request, write_run

pytestmark = pytest.mark.processes

KEY = "canary-77aa88bb"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_run(tmp_path / "old.db", [request(0, 0) | {"output_text": f"you said {KEY}"}, request(1, 1)], name="a")
    return tmp_path / "old.db"


def test_a_key_named_by_its_variable_is_in_no_byte_of_the_copy(path: Path, tmp_path: Path) -> None:
    assert KEY.encode() in path.read_bytes()
    done = perfkit("scrub", path, "--secret", "env:OLD_KEY", folder=tmp_path, OLD_KEY=KEY)
    assert (done.returncode, done.stdout) == (
        0,
        f"written: {tmp_path / 'old-scrubbed.db'}; masked in 1 cells and files\n",
    )
    assert KEY.encode() not in (tmp_path / "old-scrubbed.db").read_bytes()
    assert KEY.encode() in path.read_bytes()


def test_the_copy_opens_with_the_same_numbers(path: Path, tmp_path: Path) -> None:
    done = perfkit("scrub", path, "--to", "new.db", "--secret", KEY, "--json", folder=tmp_path)
    assert json.loads(done.stdout) == {"path": "new.db", "masked": 1, "dropped": 0}
    shown = [perfkit("show", name, "--json", folder=tmp_path).stdout for name in ("old.db", "new.db")]
    tables = [json.loads(text) for text in shown]
    assert tables[0] == tables[1]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--to", "old.db"], "perfkit: old.db exists; give a name that does not\n"),
        (["--secret", "env:NOT_SET_ANYWHERE"], "NOT_SET_ANYWHERE"),
    ],
)
def test_a_mistake_is_one_sentence_and_writes_nothing(
    words: list[str], sentence: str, path: Path, tmp_path: Path
) -> None:
    done = perfkit("scrub", "old.db", *words, folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert sentence in done.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["old.db"]
