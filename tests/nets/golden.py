"""What perfkit did when the data beside this file were made, held against what it does now.

``agrees("commands", "show", found)`` compares ``found`` with the value called ``show`` in ``data/commands.json``.
``python -m tests.nets.renew`` writes the data anew; a diff of them has one value or row a line, and says what changed.

What an object has gained (a column, a key of JSON) is no difference: what was there must stay as it was.

Numbers agree when they are equal to five digits, or to a millionth: the last bits of a library's sum are not held.
Sentences are wording, which may change, and are held as ``"<sentence>"`` by those who call ``plain(wording=False)``.
"""

import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

HERE = Path(__file__).parent
DATA = HERE / "data"
ROOT = HERE.parents[1]
RENEW = "PERFKIT_RENEW_NETS"
"""Environment variable under which the tests write what they find instead of comparing it."""

RUNS = DATA / "runs.db"
"""Five runs in a file of the first format, measured once: never made anew, as people's files are not."""

FIXTURES = ROOT / "tests" / "fixtures"
FOREIGN = sorted([*(FIXTURES / "peers").iterdir(), *(FIXTURES / "evalscope").iterdir()])
"""One folder per tool and generation of its files."""


def agrees(file: str, name: str, found: Any) -> None:
    """Fail unless what was found is what was kept; with ``PERFKIT_RENEW_NETS`` set, keep it."""
    path = DATA / f"{file}.json"
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    apart = list(_differences(kept.get(name), found, "")) if name in kept else ["nothing was kept under this name"]
    if os.environ.get(RENEW):
        if any(True for _ in _differences(kept.get(name), found, "", added=True)):
            path.write_text(written({**kept, name: found}) + "\n", encoding="utf-8")
        return
    shown = "\n".join([*apart[:30], *([f"... and {len(apart) - 30} more"] if len(apart) > 30 else [])])
    assert not apart, f"{path.name} {name}: {len(apart)} differ; if that is meant: python -m tests.nets.renew\n{shown}"


def written(value: Any, indent: int = 0) -> str:
    """Return a value as JSON, sorted, with one value a line; a list of plain values is one line."""
    inner = " " * (indent + 1)
    if isinstance(value, dict) and value:
        parts = [f"{inner}{json.dumps(key)}: {written(value[key], indent + 1)}" for key in sorted(value)]
        return "{\n" + ",\n".join(parts) + "\n" + " " * indent + "}"
    if isinstance(value, list) and any(isinstance(each, (dict, list)) for each in value):
        parts = [inner + written(each, indent + 1) for each in value]
        return "[\n" + ",\n".join(parts) + "\n" + " " * indent + "]"
    return json.dumps(value, ensure_ascii=False)


def _differences(kept: Any, found: Any, where: str, *, added: bool = False) -> Iterator[str]:
    """Yield how values differ; entries that an object has gained only if ``added``."""
    if isinstance(kept, dict) and isinstance(found, dict):
        for key in sorted({*kept, *found} if added else kept):
            if key not in kept or key not in found:
                yield f"{where}/{key}: {'new' if key not in kept else 'gone'}"
            else:
                yield from _differences(kept[key], found[key], f"{where}/{key}", added=added)
    elif isinstance(kept, list) and isinstance(found, list) and len(kept) == len(found):
        for index, (one, other) in enumerate(zip(kept, found, strict=True)):
            yield from _differences(one, other, f"{where}[{index}]", added=added)
    elif isinstance(kept, list) and isinstance(found, list):
        yield from (f"{where}: gone {each!r}" for each in kept if each not in found)
        yield from (f"{where}: new {each!r}" for each in found if each not in kept)
        yield f"{where}: had {len(kept)}, has {len(found)}"
    elif not _equal(kept, found):
        yield f"{where}: was {kept!r}, is {found!r}"


def _equal(kept: Any, found: Any) -> bool:
    if isinstance(kept, float) and isinstance(found, (int, float)) and not isinstance(found, bool):
        return math.isclose(kept, found, rel_tol=1e-5, abs_tol=1e-6)
    return type(kept) is type(found) and kept == found


def plain(value: Any, *, wording: bool = True, folder: Path | None = None) -> Any:
    """Return a value as JSON of lists, objects, texts and numbers of six digits; NaN and NaT are null.

    Without ``wording``, texts of four words or more become ``"<sentence>"``; ``folder`` becomes ``FOLDER`` in texts.
    """
    again = {"wording": wording, "folder": folder}
    if isinstance(value, pd.DataFrame):
        value = value.reset_index() if any(value.index.names) else value
        return {"columns": plain(list(value.columns), **again), "rows": plain(value.to_numpy(object), **again)}
    if isinstance(value, pd.Series):
        return {str(name): plain(each, **again) for name, each in value.items()}
    if isinstance(value, Mapping):
        return {str(name): plain(each, **again) for name, each in value.items()}
    if isinstance(value, (list, tuple, np.ndarray, set, frozenset)):
        each = [plain(each, **again) for each in value]
        return sorted(each) if isinstance(value, (set, frozenset)) else each
    if value is None or value is pd.NaT or value is pd.NA:
        return None
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        value = float(value)
        return None if math.isnan(value) else str(value) if math.isinf(value) else float(f"{value:.6g}")
    text = str(value)
    if folder is not None:
        text = text.replace(str(folder), "FOLDER")
    return text if wording or len(text.split()) < 4 else "<sentence>"


NUMBER = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?")


def tables(text: str) -> list[dict[str, Any]]:
    """Return the tables of a text: their headings, and the numbers of each line below them.

    A table is lines whose parts stand two or more blanks apart; prose is not held.
    """
    found: list[dict[str, Any]] = []
    inside = False
    for line in text.splitlines():
        cells = re.split(r"\s{2,}", line.strip())
        if len(cells) < 2:
            inside = False
        elif not inside:
            found.append({"headings": cells, "rows": []})
            inside = True
        else:
            found[-1]["rows"].append(" ".join(NUMBER.findall(line)))
    return found
