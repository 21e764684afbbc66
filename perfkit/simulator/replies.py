"""HTTP/1.1 answers as bytes."""

from collections.abc import Mapping
from http import HTTPStatus

import orjson

from perfkit.records import Json

STREAM_TYPE = b"text/event-stream; charset=utf-8"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"


def reply(
    status: int,
    body: bytes,
    *,
    content_type: str = "application/json",
    headers: Mapping[str, str] | None = None,
    length: int | None = None,
    close: bool = False,
) -> bytes:
    """Return an answer with a body of known length.

    Parameters
    ----------
    status : int
        HTTP status.
    body : bytes
        Sent as it is.
    content_type : str
    headers : mapping, optional
        Further headers.
    length : int, optional
        Promise another length than the body has.
    close : bool
        Say that the connection will be closed.

    Examples
    --------
    >>> reply(404, b"{}").splitlines()
    [b'HTTP/1.1 404 Not Found', b'content-type: application/json', b'content-length: 2', b'', b'{}']
    """
    lines = {"content-type": content_type, "content-length": str(len(body) if length is None else length)}
    lines |= headers or {}
    if close:
        lines["connection"] = "close"
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} {_phrase(status)}\r\n{head}\r\n".encode("latin-1") + body


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def error(status: int, message: str) -> bytes:
    """Return the JSON body of an error as vLLM words it.

    Examples
    --------
    >>> error(404, "not found")
    b'{"error":{"message":"not found","type":"NotFound","param":null,"code":404}}'
    """
    kind = _phrase(status).replace(" ", "")
    content: Json = {"message": message, "type": kind, "param": None, "code": status}
    return orjson.dumps({"error": content})


def stream_head(request_id: int, *, close: bool = False, chunked: bool = True) -> bytes:
    r"""Return the status line and headers of a stream.

    Examples
    --------
    >>> stream_head(7).endswith(b"transfer-encoding: chunked\r\n\r\n")
    True
    """
    return b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\nx-request-id: %d\r\n%b%b\r\n" % (
        STREAM_TYPE,
        request_id,
        b"transfer-encoding: chunked\r\n" if chunked else b"",
        b"connection: close\r\n" if close else b"",
    )


def chunk(data: bytes) -> bytes:
    r"""Return one HTTP chunk.

    Examples
    --------
    >>> chunk(b"hello")
    b'5\r\nhello\r\n'
    """
    return b"%x\r\n%b\r\n" % (len(data), data)
