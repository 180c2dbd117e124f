"""The operational CA's certificate, by which devices are believed: the manager's, kept over restarts."""

from __future__ import annotations

import asyncio
import base64
import logging
from pathlib import Path

import httpx
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from stackkit.files import write_durably

log = logging.getLogger(__name__)
_PATH = "/.well-known/est/cacerts"
_PAUSE = 0.25


async def operational_ca(client: httpx.AsyncClient, manager: str, store: Path) -> x509.Certificate:
    """The certificate; until the manager has first told it (RFC 7030, section 4.1), this waits."""
    said = ""
    while (stored := await asyncio.to_thread(_stored, store)) is None:
        try:
            answer = await client.get(manager + _PATH)
            answer.raise_for_status()
            found = pkcs7.load_der_pkcs7_certificates(base64.b64decode(answer.content))
            if len(found) != 1:
                raise ValueError(f"{len(found)} certificates instead of one")
            await asyncio.to_thread(write_durably, store, found[0].public_bytes(Encoding.PEM), 0o644)
        except (httpx.HTTPError, ValueError) as error:
            if str(error) != said:
                log.warning("the operational CA is not known yet: %s", error or type(error).__name__)
            said = str(error)
            await asyncio.sleep(_PAUSE)
    return stored


def _stored(path: Path) -> x509.Certificate | None:
    return x509.load_pem_x509_certificate(path.read_bytes()) if path.exists() else None
