"""A proxy that holds back what a server sends and passes it on in bunches, as gateways do that save packets."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator


@contextlib.contextmanager
def bunching(port: int, every: float = 0.2) -> Iterator[str]:
    """Forward to a local port; what comes back waits until ``every`` seconds after the first byte of its bunch."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        thread = threading.Thread(target=_accept, args=(listener, port, every), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(5)


def _accept(listener: socket.socket, port: int, every: float) -> None:
    with contextlib.suppress(OSError):  # the listener is closed: the test has ended
        while True:
            client, _ = listener.accept()
            server = socket.create_connection(("127.0.0.1", port))
            for target, ends in ((_forward, (client, server)), (_bunch, (server, client, every))):
                threading.Thread(target=target, args=ends, daemon=True).start()


def _forward(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError), sink:
        while data := source.recv(2**16):
            sink.sendall(data)


def _bunch(source: socket.socket, sink: socket.socket, every: float) -> None:
    with contextlib.suppress(OSError), source, sink:
        while data := source.recv(2**16):
            until, bunch = time.monotonic() + every, bytearray(data)
            while data and (left := until - time.monotonic()) > 0:
                source.settimeout(left)
                with contextlib.suppress(TimeoutError):
                    data = source.recv(2**16)
                    bunch += data
            source.settimeout(None)
            sink.sendall(bunch)
