"""TLS over memory, so that encrypted connections are read, and stamped, by the same code as plain ones."""

import asyncio
import socket
import ssl


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

    async def handshake(self, loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
        """Shake hands over a connected non-blocking socket.

        Raises
        ------
        ssl.SSLError
            The certificate is not trusted, or the peer does not speak TLS.
        ConnectionError
            The peer hung up.
        """
        while True:
            try:
                self._object.do_handshake()
                break
            except ssl.SSLWantReadError:
                await loop.sock_sendall(sock, self._outgoing.read())
                data = await loop.sock_recv(sock, 2**16)
                if not data:
                    raise ConnectionResetError("the server hung up during the TLS handshake") from None
                self._incoming.write(data)
            except ssl.SSLError:
                await loop.sock_sendall(sock, self._outgoing.read())  # the alert tells the server why
                raise
        await loop.sock_sendall(sock, self._outgoing.read())

    def seal(self, data: bytes) -> bytes:
        """Return the bytes to send for these plain ones."""
        self._object.write(data)
        return self._outgoing.read()

    def open(self, data: memoryview) -> bytes:
        """Return the plain bytes that these received ones complete, possibly none.

        Raises
        ------
        ssl.SSLError
            A record was tampered with.
        """
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


def tls_context(verify: bool, ca_file: str | None) -> ssl.SSLContext:
    """Return what a connection trusts: the system's authorities or ``ca_file``; nothing is checked if not verify."""
    context = ssl.create_default_context(cafile=ca_file)
    context.set_alpn_protocols(["http/1.1"])
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
