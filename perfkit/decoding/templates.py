"""Finds the messages of a stream that differ in their text alone, so that one look reads them all.

Nearly every message of nearly every stream is the one before it with another piece of text, and comes as an HTTP chunk
of its own. Once one of them is understood, the bytes around its text (its template) say where in each of the others
its text must stand; putting them together again and comparing with what came shows whether that is true, HTTP framing
included: 0.05 ms for 64 messages, where taking the framing off and decoding each as JSON takes 0.2. What is of no
template is handed on as it came.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import accumulate, groupby, repeat
from operator import add
from typing import NamedTuple

import orjson

from perfkit.apis.answers import piece_of
from perfkit.records import Kind

LEAST = 8
"""Messages of one template from which on it pays."""
AT_ONCE = 1024
"""Messages looked at together: all of a very long answer, put together, would take its size again several times."""
MOST_TEMPLATES = 64
"""Templates tried in one stream: each is a search through the rest of it, and a stream may be made to waste them."""
_LOOKED_AT = 5
_DATA = b"data: "
_EVENT_END = b"\n\n"
_CHUNK_END = b"\r\n"
_LAST_CHUNK = b"0\r\n\r\n"
_MOST_DIGITS = 16  # a longer size is none: a server may be made to waste time with it
_UNPLAIN = re.compile(rb'["\\\x00-\x1f]')


class RawEvents(NamedTuple):
    """Whole events, and where in what was read they begin."""

    body: bytes
    at: int

    @property
    def size(self) -> int:
        """Bytes of body that they are."""
        return len(self.body)


class TextRun(NamedTuple):
    """Successive messages of one template: what each carries, its payload, and the offset of the byte after it."""

    kind: Kind
    choice: int
    texts: list[str]
    payloads: list[str]
    ends: list[int]
    size: int
    """Bytes of body that they are."""


class _Template(NamedTuple):
    kind: Kind
    choice: int
    before: bytes
    after: bytes


class NotFramed(Exception):
    """The chunks of an answer are not its events, one each: HTTP framing is to be taken off first."""


class _Shapes(dict[int, tuple[bytes, slice]]):
    """What a block of some length must look like to be of a template: what leads to its text, and where that stands."""

    def __init__(self, template: _Template, style: bytes | None) -> None:
        super().__init__()
        self.template, self._style = template, style
        self._lead = _DATA + template.before
        self.around = len(self._lead) + len(template.after)

    def __missing__(self, length: int) -> tuple[bytes, slice]:
        lead = _size_line(length, self._style) + self._lead if self._style else self._lead
        self[length] = lead, slice(len(lead), -len(self.template.after))
        return self[length]

    def fits(self, block: bytes) -> bool:
        """Tell whether a block is of this template."""
        lead, _ = self[len(block)]
        after = self.template.after
        return block.startswith(lead) and block.endswith(after) and len(block) >= len(lead) + len(after)

    def texts(self, blocks: Sequence[bytes]) -> list[bytes] | None:
        """Return what stands for the text in each block; None if one of them is of another template."""
        looks = [self[length] for length in map(len, blocks)]
        parts = [block[where] for block, (_, where) in zip(blocks, looks, strict=True)]
        after = self.template.after
        for at in range(0, len(blocks), AT_ONCE):
            this = slice(at, at + AT_ONCE)
            leads = [lead + part for (lead, _), part in zip(looks[this], parts[this], strict=True)]
            if (after + b"\n").join(leads) + after != b"\n".join(blocks[this]):
                return None
        return parts


@lru_cache(maxsize=4096)
def _size_line(length: int, style: bytes) -> bytes:
    """Return the line that gives a chunk's size before a block of some length, this line in it.

    The size counts the blank line that ends the event, which the block is without, and not its own line: the block
    without the digits is as long as the size says.
    """
    lines = (style % max(0, length - digits) for digits in range(1, _MOST_DIGITS + 1))
    return next((line for digits, line in enumerate(lines, 1) if len(line) <= digits), b"") + _CHUNK_END


def _style(blocks: Iterable[bytes]) -> bytes:
    """Return how a server writes the sizes of these chunks, as a format: some fill up with zeros, some use capitals."""
    sizes = [block.partition(_CHUNK_END)[0] for block in blocks]
    letter = b"X" if b"".join(sizes).isupper() else b"x"
    width = min(len(sizes[0]), _MOST_DIGITS) if sizes[0].startswith(b"0") else 1
    return b"%%0%d%b" % (width, letter)


def text_runs(body: bytes) -> Iterator[TextRun | RawEvents]:
    r"""Cut the body of a stream into runs of text, in order.

    Examples
    --------
    >>> payloads = [b'{"choices": [{"text": "%d"}]}' % number for number in range(10)]
    >>> run, end = text_runs(b"".join(b"data: %b\n\n" % payload for payload in payloads) + b"data: [DONE]")
    >>> run.texts[:3], run.payloads[0], end
    (['0', '1', '2'], '{"choices": [{"text": "0"}]}', RawEvents(body=b'data: [DONE]', at=360))
    """
    *blocks, rest = body.split(_EVENT_END)
    yield from _cut(blocks, 0, framed=False)
    if rest:
        yield RawEvents(rest, len(body) - len(rest))


def framed_text_runs(wire: bytes) -> list[TextRun | RawEvents]:
    """Do the same to an answer as it came over the wire, head and chunks included; offsets are those of the wire."""
    begin = wire.find(_CHUNK_END * 2) + 4
    *blocks, last = wire[begin:].split(_EVENT_END + _CHUNK_END)
    if last != _LAST_CHUNK:
        raise NotFramed
    return list(_cut(blocks, begin, framed=True))


def _cut(blocks: list[bytes], at: int, *, framed: bool) -> Iterator[TextRun | RawEvents]:
    """Yield the runs of blocks that begin at an offset; a block is an event, in a chunk if framed."""
    between = len(_EVENT_END) + (len(_CHUNK_END) if framed else 0)
    done, templates = 0, 0
    while len(blocks) - done >= LEAST and templates < MOST_TEMPLATES:
        here, template = _next_template(blocks, done, framed)
        if template is None:
            break
        templates += 1
        shapes = _Shapes(template, _style(blocks[here : here + LEAST]) if framed else None)
        reach, parts = _reach(shapes, blocks, here)
        if reach - here < LEAST:
            break
        for block in blocks[done:here]:
            yield _raw(block, at, framed)
            at += len(block) + between
        lengths = map(add, map(len, blocks[here:reach]), repeat(between))
        ends = list(accumulate(lengths, initial=at - between))[1:]
        yield from _read(shapes, parts, blocks[here:reach], ends, framed)
        done, at = reach, ends[-1] + between
    for block in blocks[done:]:
        yield _raw(block, at, framed)
        at += len(block) + between


def _next_template(blocks: list[bytes], done: int, framed: bool) -> tuple[int, _Template | None]:
    """Return which of the next few blocks has a template, and which."""
    for here in range(done, done + _LOOKED_AT):
        template = _template_of(_event(blocks[here], framed))
        if template is not None:
            return here, template
    return done, None


def _event(block: bytes, framed: bool) -> bytes:
    """Return the event of a block, without its blank line."""
    if not framed:
        return block
    digits, _, event = block.partition(_CHUNK_END)
    size = b"%x" % (len(event) + len(_EVENT_END))
    if digits != size and digits.lstrip(b"0").lower() != size:
        raise NotFramed
    return event


def _raw(block: bytes, at: int, framed: bool) -> RawEvents:
    event = _event(block, framed)
    return RawEvents(event + _EVENT_END, at + len(block) - len(event))


def _template_of(event: bytes) -> _Template | None:
    """Return the template of a message that carries one piece of text and nothing else."""
    payload = event.removeprefix(_DATA)
    if not payload.startswith(b"{") or b"\n" in payload or b"\r" in payload or (piece := _piece(payload)) is None:
        return None
    kind, choice, text = piece
    before, quoted, after = payload.partition(orjson.dumps(text))
    template = _Template(kind, choice, before + b'"', b'"' + after)
    # The text may stand in the message more than once: only where another text there is read, is it ours.
    if quoted and _piece(template.before + b"?%b?" % quoted[1:-1] + template.after) == (kind, choice, f"?{text}?"):
        return template
    return None


def _piece(payload: bytes) -> tuple[Kind, int, str] | None:
    try:
        message = orjson.loads(payload)
        return piece_of(message) if isinstance(message, dict) else None
    except (orjson.JSONDecodeError, AttributeError, TypeError, ValueError, LookupError):
        return None  # a shape that no dialect has: whoever reads it event by event says so


def _reach(shapes: _Shapes, blocks: list[bytes], here: int) -> tuple[int, list[bytes]]:
    """Return where the run of a template that begins here ends, and what stands for the text in each of its blocks."""
    end = len(blocks)
    for _ in range(_LOOKED_AT):  # nearly always a few messages end a stream of one template
        if not shapes.fits(blocks[end - 1]):
            end -= 1
    parts = shapes.texts(blocks[here:end])
    if parts is None:
        end = next((index for index in range(here, end) if not shapes.fits(blocks[index])), end)
        parts = shapes.texts(blocks[here:end]) or []
    return here + len(parts), parts


def _read(
    shapes: _Shapes, parts: list[bytes], blocks: list[bytes], ends: list[int], framed: bool
) -> Iterator[TextRun | RawEvents]:
    """Yield what a run of one template carries: texts, or what stands for one and is none, as it came."""
    (kind, choice, before, after), done = shapes.template, 0
    found = _texts(parts)
    some = [(True, found[at : at + AT_ONCE]) for at in range(0, len(found), AT_ONCE)]
    for is_text, group in some if all(found) else groupby(found, bool):
        texts = list(group)
        this = slice(done, done + len(texts))
        done += len(texts)
        if is_text:
            payloads = (before + (after + b"\n" + before).join(parts[this]) + after).decode().split("\n")
            size = sum(map(len, parts[this])) + len(texts) * (shapes.around + len(_EVENT_END))
            yield TextRun(kind, choice, texts, payloads, ends[this], size)
        else:
            for block, end in zip(blocks[this], ends[this], strict=True):
                yield _raw(block, end - len(block), framed)


def _texts(parts: list[bytes]) -> list[str]:
    """Return each part as the text that it is inside a JSON string, an empty one for what is none."""
    return [text for at in range(0, len(parts), AT_ONCE) for text in _some_texts(parts[at : at + AT_ONCE])]


def _some_texts(parts: list[bytes]) -> list[str]:
    if b"" not in parts and not _UNPLAIN.search(b"".join(parts)):
        try:
            return b"\n".join(parts).decode().split("\n")
        except UnicodeDecodeError:
            pass  # one of them: each is looked at
    return list(map(_text, parts))


def _text(part: bytes) -> str:
    try:
        text = orjson.loads(b'"%b"' % part)
    except orjson.JSONDecodeError:
        return ""
    return text if isinstance(text, str) else ""
