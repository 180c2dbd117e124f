"""One attempt to enrol, and attempts until one succeeds.

Everything that was reached is on disk before the next step, and every step can be taken again: a box whose power is cut
at any moment either has its credentials (one folder, renamed into place) or starts over with the same keys.
"""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
import ssl
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from random import uniform

from cryptography.hazmat.primitives.serialization import Encoding

from element import storage
from element.credentials import CURRENT, ENROLMENT, UNREPORTED
from element.enrolment import est, keys, onboarding, sztp
from element.enrolment.conveyed import configuration
from element.enrolment.errors import EnrolmentError
from element.enrolment.https import Device, Https, address
from element.enrolment.renewal import put
from element.factory import Identity

Contacts = Sequence[tuple[str, int]]
Admit = Callable[[Contacts], None]

log = logging.getLogger(__name__)

FIRST, LAST = 0.5, 10.0
_DATES = (9, 10)
"""X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED of OpenSSL (X509_STORE_CTX_get_error(3))."""
_KEYS = ("netconf.key", "ike.key", "ssh_host_ed25519_key")


class Enrolment:
    """A box that has its factory identity and wants an operational one. Blocking; for a thread."""

    def __init__(self, identity: Identity, factory: Path, state: Path, device: Device, *, again: bool = False) -> None:
        """``again``: to be taken in anew, with new keys; what there is stays until that is done."""
        self._identity = identity
        self._factory = factory
        self._state = state
        self._device = device
        self._keys = state / ("keys-again" if again else "keys")
        self._again = again

    @property
    def unreported(self) -> str | None:
        """The server that has still to be told that all is done."""
        path = self._state / UNREPORTED
        done = (self._state / CURRENT).is_dir()  # the mark is made before the folder is moved into place
        return path.read_text().strip() if done and path.exists() else None

    def attempt(self, url: str, admit: Admit) -> None:
        """Enrol with one server; afterwards the credentials are in place. ``admit`` lets answers of contacts in."""
        admit([address(url)])
        self._prepare()
        server = sztp.BootstrapServer(self._https("idevid"), url, self._identity)
        try:
            new = self._ask(server)
            server.report("bootstrap-initiated")
            server.report("config-initiated")
            admit([address(url), address(new.est_server)])
            self._install(new, url)
            if self._again:
                shutil.rmtree(self._keys)  # asked with once; whoever is taken in a third time makes others
            server.report("config-complete")
        except EnrolmentError as error:
            if not isinstance(error.__cause__, OSError):  # who cannot be reached cannot be told
                server.report("bootstrap-error", str(error))
            raise
        self.report(url)

    def report(self, url: str) -> bool:
        """Tell a server that all is done, until it has heard it."""
        public = keys.make_host_key(self._state / CURRENT / "ssh_host_ed25519_key")
        server = sztp.BootstrapServer(self._https("idevid"), url, self._identity)
        done = server.report("bootstrap-complete", **sztp.host_key(public))
        if done:
            storage.remove(self._state / UNREPORTED)
        return done

    def _https(self, name: str) -> Https:
        folder = self._factory
        return Https(folder / "trust-anchor.pem", folder / f"{name}.pem", folder / f"{name}.key", self._device)

    def _prepare(self) -> None:
        """Keys, before anybody hears of them."""
        storage.folder(self._state)
        storage.folder(self._keys)
        for name in _KEYS[:2]:
            keys.make(self._keys / name)
        if self._again:  # people know the box by its host key, which no certificate is for
            storage.write(self._keys / _KEYS[2], (self._state / CURRENT / _KEYS[2]).read_bytes())
        keys.make_host_key(self._keys / _KEYS[2])

    def _ask(self, server: sztp.BootstrapServer) -> onboarding.Onboarding:
        key = keys.make(self._keys / "netconf.key")
        cms = server.bootstrapping_data(keys.request(key, self._identity.serial))
        new = onboarding.read(configuration(cms))
        onboarding.check(new, key.public_key(), self._identity.serial)
        return new

    def _install(self, new: onboarding.Onboarding, url: str) -> None:
        staging = self._state / "new"
        if staging.exists():
            shutil.rmtree(staging)  # of an attempt that was cut
        storage.folder(staging)
        for name in _KEYS:
            storage.write(staging / name, (self._keys / name).read_bytes())
        for name, content in _files(new).items():
            storage.write(staging / name, content)
        # What whoever stands before the box may read off it, to know it again over SSH.
        public = b"ssh-ed25519 " + keys.make_host_key(staging / "ssh_host_ed25519_key") + b"\n"
        storage.write(staging / "ssh_host_ed25519_key.pub", public)
        https = Https(
            self._factory / "trust-anchor.pem", staging / "netconf.pem", staging / "netconf.key", self._device
        )
        key = keys.make(self._keys / "ike.key")
        certificate = est.simple_enroll(https, new.est_server, keys.request_like(key, new.certificate))
        onboarding.check_certificate(certificate, new.operational_ca, key.public_key())
        storage.write(staging / "ike.pem", certificate.public_bytes(Encoding.PEM))
        storage.write(self._state / UNREPORTED, url.encode())
        put(staging, self._state / CURRENT)


def _files(new: onboarding.Onboarding) -> dict[str, bytes]:
    facts = {
        "name": new.name,
        "domain": new.domain,
        "controller": list(new.controller),
        "est-server": new.est_server,
        "users": sorted(new.users),
        "clients": list(new.clients),
    }
    files = {
        "netconf.pem": b"".join(c.public_bytes(Encoding.PEM) for c in new.certificates),
        "ca.pem": new.operational_ca.public_bytes(Encoding.PEM),
        "service-ca.pem": new.service_ca.public_bytes(Encoding.PEM),
        "crl.pem": new.crl.public_bytes(Encoding.PEM),
        ENROLMENT: json.dumps(facts, indent=2).encode() + b"\n",
    }
    users = {f"authorized_keys.{name}": "".join(f"{k}\n" for k in found).encode() for name, found in new.users.items()}
    return files | users


async def enrol(
    enrolment: Enrolment,
    servers: Callable[[], Sequence[str]],
    admit: Callable[[Contacts], Awaitable[None]],
    correct: Callable[[str], bool] = lambda _: False,
) -> None:
    """Try the servers in their order, again and again, until one has enrolled the box (RFC 8572, section 5).

    ``correct`` asks a server whose certificate seems to be out of date what time it is (section 9.1).
    """
    wait = FIRST
    while True:
        if (url := enrolment.unreported) is not None:
            # The credentials are there; a server that hears of it only after the next power cut knows less, no more.
            await admit([address(url)])
            await asyncio.to_thread(enrolment.report, url)
            return
        known = servers()
        try:
            await enrol_once(enrolment, known, admit, correct)
        except (EnrolmentError, OSError) as error:
            if known:
                log.warning("not enrolled: %s", error)
        else:
            return
        await asyncio.sleep(uniform(wait / 2, wait))  # noqa: S311 - no secret
        if known:  # who knows nobody yet bothers nobody, and begins as soon as it does
            wait = min(2 * wait, LAST)


async def enrol_once(
    enrolment: Enrolment,
    servers: Sequence[str],
    admit: Callable[[Contacts], Awaitable[None]],
    correct: Callable[[str], bool] = lambda _: False,
) -> None:
    """Try each server once, until one has enrolled the box; otherwise raise what the last one said."""
    loop = asyncio.get_running_loop()

    def admit_now(contacts: Contacts) -> None:
        asyncio.run_coroutine_threadsafe(_awaited(admit, contacts), loop).result()

    problem: Exception = EnrolmentError("nobody has named a bootstrap server")
    for url in servers:
        try:
            await asyncio.to_thread(_attempt, enrolment, url, admit_now, correct)
        except (EnrolmentError, OSError) as error:
            if url != servers[-1]:
                log.warning("not enrolled: %s", error)
            problem = error
        else:
            log.info("enrolled by %s", url)
            return
    raise problem


def _attempt(enrolment: Enrolment, url: str, admit: Admit, correct: Callable[[str], bool]) -> None:
    try:
        enrolment.attempt(url, admit)
    except EnrolmentError as error:
        cause = error.__cause__
        dated = isinstance(cause, ssl.SSLCertVerificationError) and cause.verify_code in _DATES
        if not dated or not correct(url):
            raise
        enrolment.attempt(url, admit)


async def _awaited(admit: Callable[[Contacts], Awaitable[None]], contacts: Contacts) -> None:
    await admit(contacts)
