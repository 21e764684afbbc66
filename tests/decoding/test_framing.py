"""A body is what it was before it was framed, however the wire cut it up."""

import gc

from hypothesis import given
from hypothesis import strategies as st

from perfkit.decoding.framing import unframed

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n"
END = b"0\r\n\r\n"


def chunked(pieces: list[bytes]) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)


def came(pieces: list[bytes], wire: int, head: int) -> int:
    """Return by counting how many bytes of the body are among the first ``wire`` bytes."""
    at, body = head, 0
    for piece in pieces:
        begin = at + len(b"%x\r\n" % len(piece))
        body += min(max(0, wire - begin), len(piece))
        at = begin + len(piece) + 2
    return body


pieces_of_bodies = st.lists(st.binary(min_size=1, max_size=40) | st.sampled_from([b"\r\n", b"0\r\n\r\n", b"5\r\nab"]))


@given(pieces_of_bodies, st.integers(0, 2), st.lists(st.integers(0, 400)), st.integers(0, 500))
def test_any_body_comes_out_of_any_cut_wire(pieces: list[bytes], hints: int, cuts: list[int], length: int) -> None:
    head = HINTS * hints + HEAD
    wire = (head + chunked(pieces) + END)[:length]
    ends = sorted({min(cut, len(wire)) for cut in cuts} | {len(wire)})
    body, counts = unframed(wire, ends)
    assert counts == [came(pieces, end, len(head)) for end in ends]
    assert body == b"".join(pieces)[: counts[-1]]


def test_what_follows_a_whole_answer_is_no_part_of_it() -> None:
    wire = HEAD + chunked([b"ours"]) + END
    more = b"HTTP/1.1 408 Timeout\r\nContent-Length: 4\r\n\r\nmore"
    assert unframed(wire + more, [len(wire), len(wire + more)]) == (b"ours", [4, 4])


def test_nothing_of_an_answer_waits_for_the_garbage_collector() -> None:
    gc.collect()
    gc.disable()
    try:
        unframed(HEAD + chunked([b"ours"]) + END, [100])
        assert [each for each in gc.get_objects() if type(each).__name__ == "_Taker"] == []
    finally:
        gc.enable()


def test_a_length_frames_a_body_as_well_as_chunks_do() -> None:
    wire = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
    assert unframed(wire, [len(wire) - 2, len(wire)]) == (b"hello", [3, 5])


def test_what_is_no_http_has_no_body() -> None:
    assert unframed(b"SSH-2.0-OpenSSH_9\r\nhello", [5, 24]) == (b"", [0, 0])


def test_a_switch_to_another_protocol_is_no_body() -> None:
    wire = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\nmore"
    assert unframed(wire, [20, len(wire)]) == (b"", [0, 0])
