"""Takes the HTTP framing off an answer once it has ended: between two chunks the loop only looks for the end."""

import contextlib
from collections.abc import Callable, Sequence

import httptools

NOT_READ = (httptools.HttpParserError, httptools.HttpParserUpgrade)
"""What the parser raises: what came is no HTTP, or the server goes on in another protocol."""


def unframed(wire: bytes | bytearray, ends: Sequence[int]) -> tuple[bytearray, list[int]]:
    r"""Return the body of an answer, and how many bytes of it had come with each read.

    Examples
    --------
    >>> wire = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"
    >>> unframed(wire, [47, 54, 57, 67])
    (bytearray(b'hello'), [0, 2, 2, 5])
    """
    taker = _Taker()
    body, parser, counts, begin = taker.body, httptools.HttpResponseParser(taker), [], 0
    taker.status = parser.get_status_code
    view = memoryview(wire)
    with contextlib.suppress(*NOT_READ):  # the loop's parser, which saw the same, has told
        for end in ends:
            parser.feed_data(view[begin:end])
            begin = end
            counts.append(len(body))
    taker.status = int  # parser and taker know each other: the body would stay until cycles are looked for
    return body, counts + [len(body)] * (len(ends) - len(counts))


class _Taker:
    """Takes the body of the first answer that is not an interim one; whatever follows is none of ours."""

    def __init__(self) -> None:
        self.body = bytearray()
        self.status: Callable[[], int] = int
        self._whole = False

    def on_body(self, data: bytes) -> None:
        if not self._whole:
            self.body += data

    def on_message_complete(self) -> None:
        self._whole = self._whole or self.status() >= 200
