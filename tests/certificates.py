"""Certificates that nobody has signed, made where a test needs them."""

import shlex
import ssl
import subprocess
from pathlib import Path

REQUEST = (
    "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=nobody -addext subjectAltName=IP:127.0.0.1 -batch"
)


def self_signed(folder: Path) -> tuple[Path, Path]:
    """Return certificate and key for 127.0.0.1."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    words = [*shlex.split(REQUEST), "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(words, check=True, capture_output=True)
    return certificate, key


def serving(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """Return what a server presents, and the file a client trusts it by."""
    certificate, key = self_signed(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context, certificate
