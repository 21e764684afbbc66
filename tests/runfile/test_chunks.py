import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfkit.errors import CorruptPickle
from perfkit.runfile.chunks import NO_LAG, Chunks, pack, unpack

ROW = st.tuples(
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-(2**31), 2**31 - 1),
    st.integers(0, 2**31 - 1),
    st.integers(0, 255),
    st.integers(0, 65535),
    st.integers(-1, 2**31 - 1),
)


@given(st.lists(ROW, max_size=50))
def test_what_is_packed_is_unpacked(rows: list[tuple[int, ...]]) -> None:
    columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(6)]
    found = unpack(pack(Chunks(*columns)))
    assert [list(column) for column in (found.arrival, found.lag, found.read)] == columns[:3]
    assert [list(column) for column in (found.kind, found.choice, found.message)] == columns[3:]


@given(st.lists(st.tuples(ROW, st.integers(-1, 2**31 - 1)), max_size=50))
def test_tokens_of_each_chunk_are_kept_where_they_are_known(rows: list[tuple[tuple[int, ...], int]]) -> None:
    columns = [list(column) for column in zip(*(row for row, _ in rows), strict=True)] or [[] for _ in range(6)]
    tokens = [count for _, count in rows]
    blob = pack(Chunks(*columns, tokens=tokens))
    found = unpack(blob)
    assert found.tokens is not None
    assert [list(found.message), list(found.tokens)] == [columns[5], tokens]
    assert (blob[0], len(blob)) == (2, 1 + 27 * len(rows))


def test_the_layout_is_that_of_the_document() -> None:
    blob = pack(Chunks([1, 2], [NO_LAG, 3], [4, 5], [6, 7], [8, 9], [-1, 10]))
    by_hand = (
        bytes([1])
        + (1).to_bytes(8, "little")
        + (2).to_bytes(8, "little")
        + b"\x00\x00\x00\x80"
        + (3).to_bytes(4, "little")
        + (4).to_bytes(4, "little")
        + (5).to_bytes(4, "little")
        + bytes([6, 7])
        + bytes([8, 0, 9, 0])
        + b"\xff\xff\xff\xff"
        + (10).to_bytes(4, "little")
    )
    assert blob == by_hand


@pytest.mark.parametrize("blob", [b"", b"\x03", b"\x01" + b"x" * 22, b"\x01" + b"x" * 24, b"\x02" + b"x" * 23])
def test_other_versions_and_lengths_are_refused(blob: bytes) -> None:
    with pytest.raises(CorruptPickle, match="expected 1"):
        unpack(blob)


@pytest.mark.slow
def test_the_longest_answer_fits() -> None:
    many = 300_000
    blob = pack(Chunks(range(many), [0] * many, range(many), [1] * many, [0] * many, range(many)))
    assert len(blob) == 1 + 23 * many
    assert unpack(blob).arrival[-1] == many - 1
