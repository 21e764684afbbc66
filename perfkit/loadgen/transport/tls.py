"""TLS over memory, so that encrypted connections are read, and stamped, by the same code as plain ones."""

import socket
import ssl

from perfkit.loadgen.transport.readiness import Readiness, receive, send_all


class TlsLayer:
    """Seals what is sent and opens what was received on one connection.

    Parameters
    ----------
    context : ssl.SSLContext
        What is trusted.
    host : str
        Name the certificate must be for.
    """

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self.ended = False

    async def handshake(self, sockets: Readiness, sock: socket.socket) -> None:
        """Shake hands over a connected non-blocking socket."""
        while True:
            try:
                self._object.do_handshake()
                break
            except ssl.SSLWantReadError:
                await send_all(sockets, sock, self._outgoing.read())
                data = await receive(sockets, sock, 2**16)
                if not data:
                    raise ConnectionResetError("the server hung up during the TLS handshake") from None
                self._incoming.write(data)
            except ssl.SSLError:
                await send_all(sockets, sock, self._outgoing.read())  # the alert tells the server why
                raise
        await send_all(sockets, sock, self._outgoing.read())

    def seal(self, data: bytes) -> bytes:
        """Return the bytes to send for these plain ones."""
        self._object.write(data)
        return self._outgoing.read()

    def open(self, data: bytes | memoryview) -> bytes:
        """Return the plain bytes that these received ones complete, possibly none."""
        self._incoming.write(data)
        plain = []
        try:
            while piece := self._object.read(2**16):
                plain.append(piece)
            self.ended = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.ended = True
        return b"".join(plain)


def tls_problem(error: OSError) -> str:
    """Say what is wrong with a TLS connection; alerts of the server are named by what to do about them."""
    reason = getattr(error, "reason", None) or str(error)
    known = (sentence for alert, sentence in _ALERTS.items() if alert in reason)
    verified = getattr(error, "verify_message", "")
    if getattr(error, "verify_code", 0) in _UNTRUSTED:
        verified += "; to trust its authority, pass that one's certificate as ca_file (--ca-file)"
    if verified:
        verified += "; to measure whatever its certificate says, pass verify=False (--no-verify)"
    return verified or next(known, "") or reason.replace("_", " ").lower()


_UNTRUSTED = (18, 19, 20, 21)
"""OpenSSL's codes of a certificate that is itself, or was signed by one, that nothing here vouches for."""

_ALERTS = {
    "CERTIFICATE_REQUIRED": "the server requires a client certificate; pass cert and key_file (--cert, --key-file)",
    "NO_APPLICATION_PROTOCOL": "the server speaks HTTP/2 only: it refuses the protocol http/1.1 (ALPN)",
    "ALERT_HANDSHAKE_FAILURE": "the server refused the handshake; it may require a client certificate (--cert)",
    "ALERT_UNKNOWN_CA": "the server does not trust the authority of the client certificate (alert: unknown CA)",
    "ALERT_BAD_CERTIFICATE": "the server refused the client certificate, or requires one (alert: bad certificate)",
    **dict.fromkeys(
        ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"),
        "the server does not speak TLS; give http:// in place of https://",
    ),
}
