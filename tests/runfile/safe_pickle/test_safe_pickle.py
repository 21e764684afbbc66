import ast
import base64
import hashlib
import io
import json
import os
import pickle
import pickletools
import random
import subprocess
import sys
import tracemalloc
from collections import OrderedDict
from enum import IntEnum
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import perfkit
from perfkit.errors import CorruptPickle, LimitExceeded, UnsafePickle
from perfkit.runfile.safe_pickle import Limits, Refused, decode_cell, dumps, encode_cell, loads, read_cell
from perfkit.secrets import Secret

CELLS = Path(__file__).parents[2] / "corpus" / "cells"
ITEMS = json.loads((CELLS / "manifest.json").read_text(encoding="utf-8"))["items"]


def cell_of(item: dict) -> str:
    if "file" in item:
        return (CELLS / item["file"]).read_bytes().decode("utf-8")
    build = item["build"]
    if "text" in build:
        return build["text"] * build["count"]
    prefix, unit, suffix = (base64.b64decode(build[part]) for part in ("prefix", "unit", "suffix"))
    return base64.b64encode(prefix + unit * build["count"] + suffix).decode()


def digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, default=lambda raw: raw.decode("latin-1"))
    return hashlib.sha256(text.encode()).hexdigest()


def framed(*opcodes: bytes) -> bytes:
    return b"\x80\x04" + b"".join(opcodes) + b"."


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**200), 2**200)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=[]))
    | st.binary(max_size=300),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.text(), inner, max_size=5)
        | st.lists(inner, max_size=5).map(tuple)
    ),
    max_leaves=20,
)


# The corpus --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("item", [i for i in ITEMS if i["expect"] == "refuse"], ids=lambda item: item["id"])
def test_a_hostile_or_corrupt_cell_is_refused_naming_its_column(item):
    with pytest.raises(UnsafePickle, match=f"^{item['column']}: "):
        decode_cell(cell_of(item), item["column"])


@pytest.mark.parametrize("item", [i for i in ITEMS if i["expect"] == "accept"], ids=lambda item: item["id"])
def test_a_benign_cell_decodes_to_the_value_that_was_written(item):
    value = decode_cell(cell_of(item), item["column"])
    if "value_sha256" in item:
        assert digest(value) == item["value_sha256"]


@pytest.mark.parametrize("item", [i for i in ITEMS if i["expect"] == "either"], ids=lambda item: item["id"])
def test_a_doubtful_cell_raises_nothing_foreign(item):
    value = read_cell(cell_of(item), item["column"])
    assert isinstance(value, Refused) or json.dumps(value) is not None


MARKERS = [item for item in ITEMS if item.get("teeth") == "marker" and "requires" not in item and "needs" not in item]
FIRE = "import base64, pickle, sys\ntry: pickle.loads(base64.b64decode(sys.stdin.read()))\nexcept Exception: pass"
READ = (
    "import sys; from perfkit.runfile.safe_pickle import read_cell; "
    "print(type(read_cell(sys.stdin.read(), 'x')).__name__)"
)


@pytest.mark.processes
@pytest.mark.parametrize("item", MARKERS[::6], ids=lambda item: item["id"])
def test_what_fires_under_the_standard_library_stays_silent_here(item, tmp_path):
    environment = {**os.environ, "PERFKIT_MARKER_DIR": str(tmp_path)}

    def child(program: str) -> str:
        command = [sys.executable, "-c", program]
        run = subprocess.run(command, input=cell_of(item), env=environment, capture_output=True, text=True, timeout=120)
        return run.stdout.strip()

    assert child(READ) == "Refused"
    assert list(tmp_path.iterdir()) == []
    child(FIRE)
    assert list(tmp_path.iterdir()), "the cell has no teeth"


# What is read ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@given(plain, st.sampled_from([3, 4, 5]))
def test_whatever_the_standard_library_writes_is_read_back(value, protocol):
    assert loads(pickle.dumps(value, protocol)) == value


@given(plain)
def test_what_is_written_here_is_read_by_both_readers(value):
    assert loads(dumps(value)) == value
    assert pickle.loads(dumps(value)) == value


def test_the_writer_uses_neither_memo_nor_names():
    allowed = {"PROTO", "FRAME", "EMPTY_LIST", "MARK", "SHORT_BINUNICODE", "BINUNICODE", "APPENDS", "STOP"}
    texts = ["a", "b" * 300, "é"]
    assert {opcode.name for opcode, _, _ in pickletools.genops(dumps(texts))} <= allowed
    assert {opcode.name for opcode, _, _ in pickletools.genops(dumps([]))} <= allowed


def test_subclasses_are_written_as_their_base():
    class Colour(IntEnum):
        RED = 7

    value = loads(dumps([Secret("sk-12345678"), Colour.RED, OrderedDict(a=1)]))
    assert value == ["sk-12345678", 7, {"a": 1}]
    assert [type(item) for item in value] == [str, int, dict]


@pytest.mark.parametrize("value", [{1, 2}, object(), {1: 2}, [b"ok", Path()]], ids=["set", "object", "int key", "path"])
def test_the_writer_refuses_what_the_reader_would(value):
    with pytest.raises(TypeError, match=r"str|plain data"):
        dumps(value)


def test_the_writer_refuses_a_list_in_itself():
    loop: list = []
    loop.append(loop)
    with pytest.raises(LimitExceeded, match="in itself"):
        dumps(loop)


def test_lone_surrogates_survive():
    assert decode_cell(encode_cell(["\ud800"]), "x") == ["\ud800"]


def test_null_is_missing_and_not_an_error():
    assert decode_cell(None, "request") is None


@pytest.mark.parametrize("cell", [b"gARdlC4=", 7, 1.5])
def test_only_text_is_decoded(cell):
    with pytest.raises(CorruptPickle, match="where a text belongs"):
        decode_cell(cell, "request")


def test_json_cells_decode_with_nan_and_unicode():
    value = decode_cell('{"a": [NaN, "\\u4f60"], "b": -1}', "request")
    assert value["a"][1] == "你"
    assert value["b"] == -1


# What is refused ---------------------------------------------------------------------------------------------------

CRAFTED = {
    "GLOBAL is named with its offset": (b"\x80\x02cos\nsystem\n.", "opcode GLOBAL at byte 2"),
    "REDUCE is named": (framed(b"NR"), "opcode REDUCE at byte 3"),
    "a memo entry that was never put": (framed(b"h\x00"), "stack underflows"),
    "a memo index out of sequence": (framed(b"Nq\x05"), "out of sequence"),
    "APPEND on a dict": (framed(b"}Na"), "APPEND .* on a dict"),
    "SETITEM on a list": (framed(b"]NNs"), "SETITEM .* on a list"),
    "a key without value": (framed(b"}(Nu"), "SETITEM of 1 values"),
    "an int key": (framed(b"}K\x01Ns"), "is not a string"),
    "a pop from under a mark": (framed(b"](Na"), "cut short"),
    "a frame in a frame": (framed(b"\x95" + (10).to_bytes(8, "little") + b"\x95" + bytes(8) + b"N"), "lies in another"),
    "two values": (framed(b"NN"), "2 values"),
    "bytes after the end": (framed(b"N") + b"N", "1 bytes after"),
    "protocol 1": (b"\x80\x01N.", "protocol 2 to 5"),
    "a text longer than the data": (framed(b"X\xff\xff\xff\x7fabc"), "crosses the end"),
    "invalid UTF-8": (framed(b"\x8c\x01\xff"), "no UTF-8"),
}


@pytest.mark.parametrize("claim", CRAFTED)
def test_a_crafted_pickle_is_corrupt(claim):
    data, reason = CRAFTED[claim]
    with pytest.raises(CorruptPickle, match=reason):
        loads(data)


def nested_tuples(depth: int) -> bytes:
    return framed(b")" + b"\x85" * depth)


def doubled(levels: int) -> bytes:
    """A list of two references to a list of two references to ...: 2 ** levels leaves."""
    lists = b"]\x94" + b"".join(b"](h" + bytes((i,)) + b"h" + bytes((i,)) + b"e\x94" for i in range(levels))
    return b"\x80\x04(" + lists + b"t."


EXPENSIVE = {
    "100,000 nested tuples": (nested_tuples(100_000), "nested deeper than 100"),
    "a list in itself": (framed(b"]\x94h\x00a"), "in itself"),
    "a billion values from 30 lists": (doubled(30), "values and"),
    "a long text fetched 4,000 times": (
        framed(b"](X" + (1 << 20).to_bytes(4, "little") + b"a" * (1 << 20) + b"\x94" + b"h\x00" * 4000 + b"e"),
        "characters when written out",
    ),
    "201 open marks": (framed(b"(" * 201), "open marks"),
    "400,000 lists": (framed(b"](" + b"]" * 400_000 + b"e"), "containers"),
    "5 million Nones": (framed(b"](" + b"N" * 5_000_000 + b"e"), "opcodes"),
    "an int of 129 bytes": (framed(b"\x8a\x81" + b"\x01" * 129), "129 bytes"),
}


@pytest.mark.slow
@pytest.mark.parametrize("claim", EXPENSIVE)
def test_an_expensive_pickle_exceeds_a_limit(claim):
    data, reason = EXPENSIVE[claim]
    with pytest.raises(LimitExceeded, match=reason):
        loads(data)


def test_a_claim_of_a_tebibyte_allocates_nothing():
    tracemalloc.start()
    with pytest.raises(CorruptPickle):
        loads(framed(b"\x8e" + (1 << 40).to_bytes(8, "little")))
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("[" * 100_000 + "]" * 100_000, "nested deeper"),
        ('{"a": ' + "9" * 5000 + "}", "5000 digits"),
        ("[" + "[]," * 400_000 + "1]", "containers"),
        ("[" * 150 + "]" * 150, "nested deeper than 100"),
        ("[1] gARdlC4=", "no JSON"),
    ],
    ids=["deep", "long integer", "many lists", "150 levels", "followed by base64"],
)
def test_json_is_bounded_too(cell, reason):
    with pytest.raises(UnsafePickle, match=reason):
        decode_cell(cell, "request")


def test_brackets_inside_a_prompt_do_not_count_as_containers():
    prompt = "[{" * 200_000
    assert decode_cell(json.dumps({"prompt": prompt}), "request") == {"prompt": prompt}


def test_a_branch_used_twice_in_allowed_depth_is_read():
    shared = {"a": [1]}
    assert loads(pickle.dumps([shared, shared], 4)) == [shared, shared]


def test_limits_can_be_lowered():
    with pytest.raises(LimitExceeded, match="more than 2 containers"):
        loads(pickle.dumps([[], []], 4), Limits(containers=2))


# Fuzz --------------------------------------------------------------------------------------------------------------


class _OnlyData(pickle.Unpickler):
    def find_class(self, module, name):
        raise pickle.UnpicklingError(f"{module}.{name}")


def mutate(data: bytes, chance: random.Random) -> bytes:
    mutant = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(mutant))
        match chance.randrange(4):
            case 0:
                mutant[at] = chance.randrange(256)
            case 1:
                del mutant[at : at + chance.randint(1, 3)]
            case 2:
                mutant[at:at] = bytes([chance.choice(b"\x8c\x94h(]}ueas.KNJ\x85t\x95")])
            case _:
                mutant[at:at] = mutant[at : at + chance.randint(1, 8)]
        if len(mutant) < 2:
            return bytes(data)
    return bytes(mutant)


@pytest.mark.slow
def test_a_mutant_is_refused_or_means_the_same_to_the_standard_library():
    chance = random.Random(7)
    message = {"id": "c-1", "choices": [{"delta": {"content": "é"}, "index": 0, "p": None}], "t": 1.5, "n": 2**40}
    seeds = [pickle.dumps(value, p) for p in (2, 3, 4, 5) for value in ([message, message], ["a", "b" * 300], message)]
    accepted = 0
    for _ in range(3000):
        mutant = mutate(chance.choice(seeds), chance)
        try:
            value = loads(mutant)
        except UnsafePickle:
            continue
        accepted += 1
        assert repr(value) == repr(_OnlyData(io.BytesIO(mutant)).load())
    assert accepted > 30


@given(st.binary(max_size=60))
def test_arbitrary_bytes_raise_nothing_foreign(data):
    read_cell(base64.b64encode(b"\x80\x04" + data).decode(), "x")


# The package -------------------------------------------------------------------------------------------------------

FORBIDDEN_MODULES = {"pickle", "_pickle", "marshal", "shelve", "dill", "joblib", "pickletools"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}
PACKAGE = Path(perfkit.__file__).parent


def dangers(source: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.partition(".")[0] in FORBIDDEN_MODULES]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in FORBIDDEN_MODULES:
            only_writes = [alias.name for alias in node.names] == ["Pickler"]
            found += [] if only_writes else [str(node.module)]
        elif isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else ""
            found += [name] if name in FORBIDDEN_CALLS else []
        elif isinstance(node, ast.Attribute) and node.attr in {"read_pickle", "to_pickle", "allow_pickle"}:
            found.append(node.attr)
    return found


# What perfkit's own processes tell each other, over pipes that nobody else holds; never what a file or server said.
OWN_PIPES = {PACKAGE / "loadgen" / place for place in ("recorder/channel.py", "workers/framing.py", "serialization.py")}


@pytest.mark.slow
@pytest.mark.parametrize(
    "source", sorted({*PACKAGE.rglob("*.py")} - OWN_PIPES), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_no_module_can_run_what_a_file_says(source):
    assert dangers(source) == []


def test_only_the_pipe_to_our_own_worker_carries_code():
    users = {path for path in PACKAGE.rglob("*.py") if "import cloudpickle" in path.read_text(encoding="utf-8")}
    assert users <= OWN_PIPES


def test_our_own_pipes_open_no_file():
    for path in OWN_PIPES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        calls = {
            node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert "open" not in calls
