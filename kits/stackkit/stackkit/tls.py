"""TLS contexts of servers and clients: TLS 1.2 and 1.3 (RFC 9325), no renegotiation, no compression, certificates
checked.

`Contexts` builds a context again when a file behind it changes, so that a renewed certificate and a new CRL count from
the next handshake on.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

Paths = Path | str | Sequence[Path | str]

# RFC 9325 section 4.2: forward secrecy and AEAD only (TLS 1.3 has nothing else).
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


def server_context(
    cert: Path | str,
    key: Path | str,
    client_ca: Paths | None = None,
    require_client: bool = False,
    crl: Path | str | None = None,
) -> ssl.SSLContext:
    """Context of a server that shows `cert`.

    With `client_ca` a client may show a certificate (`require_client`: must), and one that does not verify is refused
    in the handshake. With `crl` a revoked certificate is refused, too; *each* CA of `client_ca` then needs a current
    CRL in that PEM file (RFC 5280 section 6.3).
    """
    context = _hardened(ssl.PROTOCOL_TLS_SERVER)
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    _load_chain(context, cert, key)
    if client_ca is None:
        if require_client or crl is not None:
            raise ValueError("client certificates cannot be checked without client_ca")
        return context
    context.verify_mode = ssl.CERT_REQUIRED if require_client else ssl.CERT_OPTIONAL
    _trust(context, client_ca, crl)
    # A resumed session would show the certificate of the first handshake, unchecked against time and CRL of today.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    return context


def client_context(
    ca: Paths, cert: Path | str | None = None, key: Path | str | None = None, crl: Path | str | None = None
) -> ssl.SSLContext:
    """Context of a client that trusts `ca` only, checks the server's name (RFC 9525) and shows `cert` if the
    server asks.
    """
    context = _hardened(ssl.PROTOCOL_TLS_CLIENT)
    _trust(context, ca, crl)
    if cert is not None:
        _load_chain(context, cert, cert if key is None else key)
    return context


class Contexts:
    """A context that follows its files: call it for the one that holds now.

    `Contexts(lambda: server_context(cert, key, ca, crl=crl), [cert, key, ca, crl])` is what a `server.Listener` takes
    as `ssl`. A file that is half written when we look leaves the former context in force; the next call tries again.
    """

    def __init__(self, build: Callable[[], ssl.SSLContext], files: Sequence[Path | str]) -> None:
        self._build = build
        self._files = [Path(file) for file in files]
        self._lock = threading.Lock()
        self._marks = self._look()
        self._context = build()

    def __call__(self) -> ssl.SSLContext:
        with self._lock:
            marks = self._look()
            if marks != self._marks:
                try:
                    self._context = self._build()
                    self._marks = marks
                except (OSError, ValueError):  # ssl.SSLError is an OSError
                    pass
            return self._context

    def _look(self) -> list[tuple[int, int, int] | None]:
        marks: list[tuple[int, int, int] | None] = []
        for file in self._files:
            try:
                stat = file.stat()
                marks.append((stat.st_ino, stat.st_size, stat.st_mtime_ns))
            except OSError:
                marks.append(None)
        return marks


def _hardened(protocol: ssl._SSLMethod) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_ciphers(_CIPHERS)
    context.set_alpn_protocols(["http/1.1"])
    return context


def _load_chain(context: ssl.SSLContext, cert: Path | str, key: Path | str) -> None:
    try:
        # A key with a passphrase would make OpenSSL ask on the terminal and a service hang there.
        context.load_cert_chain(cert, key, password=lambda: b"")
    except OSError as error:
        raise _named(error, f"certificate {cert} with key {key}") from None


def _trust(context: ssl.SSLContext, ca: Paths, crl: Path | str | None) -> None:
    for path in [ca] if isinstance(ca, Path | str) else ca:
        try:
            context.load_verify_locations(path)
        except OSError as error:
            raise _named(error, f"CA {path}") from None
    if crl is not None:
        try:
            context.load_verify_locations(crl)
        except OSError as error:
            raise _named(error, f"CRL {crl}") from None
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF


def _named(error: OSError, what: str) -> OSError:
    """The same error with the file it is about; Python's own names none."""
    reason = getattr(error, "reason", None) or error.strerror or str(error)
    return type(error)(error.errno, f"{what}: {reason}")
