"""What TLS connections trust and show: certificates and keys, checked before a run starts."""

import ssl
from pathlib import Path

from perfkit.errors import UsageError
from perfkit.options.arguments import Arguments


def tls_context(
    verify: bool, ca_file: str | None, cert: str | None = None, key_file: str | None = None
) -> ssl.SSLContext:
    """Return what a connection trusts, and what it shows of itself."""
    try:
        context = ssl.create_default_context(cafile=_expanded(ca_file))
    except OSError as error:  # ssl.SSLError is one
        raise UsageError(f"cannot read certificates, in PEM, from ca_file={ca_file!r}: {_reason(error)}") from None
    context.set_alpn_protocols(["http/1.1"])
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if cert is not None:
        _load_certificate(context, cert, key_file)
    return context


def run_context(arguments: Arguments) -> ssl.SSLContext:
    """Return the context that a run's arguments describe."""
    return tls_context(arguments.verify, arguments.ca_file, arguments.cert, arguments.key_file)


def _load_certificate(context: ssl.SSLContext, cert: str, key_file: str | None) -> None:
    def refuse() -> str:  # OpenSSL would ask at the terminal
        raise UsageError(
            f"the key in {key_file or cert} is encrypted; decrypt it first: openssl pkey -in KEY -out KEY2"
        )

    try:
        context.load_cert_chain(str(_expanded(cert)), _expanded(key_file), password=refuse)
    except ssl.SSLError as error:
        where = f"{cert} and {key_file}" if key_file else f"{cert} (a key in another file: key_file)"
        raise UsageError(f"no certificate and matching key, both PEM, in {where}: {_reason(error)}") from None
    except OSError as error:
        raise UsageError(f"cannot read the certificate {cert} or its key: {error.strerror}") from None


def _reason(error: OSError) -> str:
    return getattr(error, "reason", None) or error.strerror or str(error)


def _expanded(path: str | None) -> str | None:
    return None if path is None else str(Path(path).expanduser())
