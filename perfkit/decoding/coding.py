"""Takes the content coding (gzip, deflate) off an answer, read by read, so that every event keeps the time it came."""

import zlib
from collections.abc import Sequence

from perfkit.records import ErrorKind

GZIP = ("gzip", "x-gzip")
UNCODED = ("", "identity", "chunked")
"""Codings that leave the body as it is, HTTP's framing aside."""
_MAGIC = b"\x1f\x8b"
_GZIP_BITS, _ZLIB_BITS, _RAW_BITS = 31, 15, -15  # as zlib's wbits names the three wrappers

Problem = tuple[ErrorKind, str]


def decoded(
    body: bytes | bytearray, ends: Sequence[int], coded_by: str, largest: int
) -> tuple[bytearray, list[int], Problem | None]:
    """Return the body without the codings that headers name, its bytes after each read, and what went wrong.

    Examples
    --------
    >>> decoded(zlib.compress(b"hello"), [2, 13], "Content-Encoding: deflate", 100)
    (bytearray(b'hello'), [0, 5], None)
    >>> decoded(b"...", [3], "Content-Encoding: br", 100)[2][1].partition(",")[0]
    'the answer has Content-Encoding: br'
    """
    codings = ",".join(header.partition(":")[2] for header in coded_by.lower().split(";"))
    names = [name for part in codings.split(",") if (name := part.strip()) not in UNCODED]
    plain, counts, problem = bytearray(body), list(ends), None
    for name in reversed(names):
        if name not in (*GZIP, "deflate"):
            told = f"the answer has {coded_by}, which perfkit cannot decode and did not ask for"
            return bytearray(), [0] * len(ends), ("protocol", f"{told}; turn compression off at the server or gateway")
        plain, counts, problem = _inflated(plain, counts, name, largest)
        if problem is not None:
            kind, sentence = problem
            return plain, counts, (kind, f"the answer has {coded_by}, but {sentence}")
    return plain, counts, problem


def _inflated(
    body: bytearray, ends: Sequence[int], name: str, largest: int
) -> tuple[bytearray, list[int], Problem | None]:
    bits = _GZIP_BITS if name in GZIP else _ZLIB_BITS if _has_zlib_header(body) else _RAW_BITS
    inflater, plain, counts, begin = zlib.decompressobj(bits), bytearray(), list[int](), 0
    problem: Problem | None = None
    for end in ends:
        data = bytes(body[begin:end])
        begin = end
        while data and problem is None:
            if inflater.eof:
                if name not in GZIP or not _MAGIC.startswith(data[:2]):
                    break  # padding behind the end
                inflater = zlib.decompressobj(bits)  # some servers compress each piece by itself
            try:
                plain += inflater.decompress(data, largest + 1 - len(plain))
            except zlib.error as error:
                problem = "protocol", _damage(body, name, error)
            if len(plain) > largest:
                problem = "too_large", f"it is larger than {largest >> 20} MiB once decoded"
            data = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
        counts.append(len(plain))
    if problem is None and body and not inflater.eof:
        problem = "incomplete", "its compressed data ends too early"
    return plain, counts, problem


def _has_zlib_header(body: bytearray) -> bool:
    """Tell zlib's wrapper, which ``deflate`` means, from the raw data that some servers send under that name."""
    return len(body) > 1 and body[0] & 15 == zlib.DEFLATED and (body[0] << 8 | body[1]) % 31 == 0


def _damage(body: bytearray, name: str, error: zlib.error) -> str:
    if name in GZIP and not body.startswith(_MAGIC):
        return f"its body is not gzip data: it begins {bytes(body[:40]).decode('latin-1')!r}"
    return f"its data is damaged: {error}"
