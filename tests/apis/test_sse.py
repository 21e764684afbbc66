import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfkit.apis.sse import Event, events

LINES = st.sampled_from(
    [b"data: a", b"data:b", b"data:  c", b"data", b"data:", b": comment", b"event: error", b"id: 1", b"retry", b"", b""]
)
ENDS = st.sampled_from([b"\n", b"\n", b"\r\n", b"\r"])


def slow(body: bytes) -> list[Event]:
    """Parse as the WHATWG standard words it, a byte at a time."""
    found: list[Event] = []
    payload: list[bytes] = []
    name, line, end, after_cr = b"", b"", 0, False
    start = 3 if body.startswith(b"\xef\xbb\xbf") else 0
    for at in range(start, len(body) + 1):
        byte = body[at : at + 1]
        if after_cr and byte == b"\n":
            after_cr = False
            continue
        after_cr = byte == b"\r"
        if byte not in (b"\n", b"\r", b""):
            line += byte
            continue
        line = line.removeprefix(b"\xef\xbb\xbf")
        field, colon, value = line.partition(b":")
        value = value[1:] if value.startswith(b" ") else value
        if field == b"data":
            payload.append(value if colon else b"")
            end = at
        elif field == b"event":
            name = value
        if (not line or not byte) and payload:
            found.append((b"\n".join(payload), end, name))
        if not line:
            payload, name = [], b""
        line = b""
    return found


@given(st.lists(st.tuples(LINES, ENDS), max_size=30), st.booleans())
def test_events_are_those_of_a_parser_that_goes_byte_by_byte(lines: list[tuple[bytes, bytes]], bom: bool) -> None:
    body = b"\xef\xbb\xbf" * bom + b"".join(line + end for line, end in lines)
    assert list(events(body)) == slow(body)


def test_a_byte_order_mark_hides_no_event_wherever_it_stands() -> None:
    body = b"\xef\xbb\xbfdata: a\n\n\xef\xbb\xbfdata: b\n\n: ping\n\xef\xbb\xbfdata: c\n\n"
    assert list(events(body)) == slow(body) == [(b"a", 10, b""), (b"b", 22, b""), (b"c", 41, b"")]


@given(st.binary(max_size=60))
def test_any_bytes_are_read_without_an_exception(body: bytes) -> None:
    found = list(events(body))
    assert b"{" in body or b"[DONE]" in body or found == slow(body)


OBJECTS = [b'{"a": 1}', b'{"b": {}}', b"[DONE]"]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize(
    ("lines", "payloads"),
    [
        ([b'data: {"a": 1}', b'data: {"b": {}}', b"data: [DONE]"], OBJECTS),
        ([b'data:{"a": 1}', b"event: x", b'data:{"b": {}}', b"", b"data:[DONE]"], OBJECTS),
        ([b'data: {"a": 1}', b"", b'{"b": {}}'], OBJECTS[:2]),
        ([b'data: {"a": 1}', b'{"b": {}}', b": ping", b"data: [DONE]"], OBJECTS),
    ],
)
def test_objects_without_a_blank_line_between_them_are_events_of_their_own(
    end: bytes, lines: list[bytes], payloads: list[bytes]
) -> None:
    assert [payload for payload, *_ in events(end.join([*lines, b""]))] == payloads


def test_an_object_over_several_data_lines_stays_one_event() -> None:
    (event,) = events(b'data: {"a":\ndata: {"b": 1}\ndata: }\n\n')
    assert event[0] == b'{"a":\n{"b": 1}\n}'


@given(st.lists(st.tuples(LINES, ENDS), min_size=1, max_size=20), st.data())
def test_an_event_is_complete_with_the_byte_its_offset_says(
    lines: list[tuple[bytes, bytes]], data: st.DataObject
) -> None:
    body = b"".join(line + end for line, end in lines)
    cut = data.draw(st.integers(0, len(body)))
    whole = [payload for payload, end, _ in events(body) if end <= cut]
    arrived = [payload for payload, *_ in events(body[:cut])]
    assert arrived[: len(whole)] == whole


@pytest.mark.parametrize(
    ("body", "payloads"),
    [
        (b"data: a\n\ndata: b\n\n", [b"a", b"b"]),
        (b"data:a\n\n", [b"a"]),
        (b"data:  a\n\n", [b" a"]),
        (b"data: a\ndata: b\n\n", [b"a\nb"]),
        (b"data\n\n", [b""]),
        (b": ping\n\ndata: a\n\n", [b"a"]),
        (b"\n\n\ndata: a\n\n\n\n", [b"a"]),
        (b"data: a", [b"a"]),
        (b"event: x\n\n", []),
        (b"", []),
    ],
)
def test_payloads_are_the_joined_data_lines(body: bytes, payloads: list[bytes]) -> None:
    assert [payload for payload, *_ in events(body)] == payloads


def test_the_name_of_an_event_is_not_that_of_the_next() -> None:
    assert [name for *_, name in events(b"event: error\ndata: a\n\ndata: b\n\n")] == [b"error", b""]


class Watched(bytes):
    """Counts the bytes that are copied out of it."""

    copied = 0

    def __getitem__(self, place: object) -> bytes:  # type: ignore[override]
        piece = super().__getitem__(place)  # type: ignore[index]
        Watched.copied += len(piece)
        return piece


def test_a_long_stream_of_named_events_is_not_copied_for_each_of_them() -> None:
    body = Watched((b"event: content_block_delta\ndata: " + b"x" * 150 + b"\n\n") * 1000)
    assert sum(1 for _ in events(body)) == 1000
    assert Watched.copied <= len(body)
