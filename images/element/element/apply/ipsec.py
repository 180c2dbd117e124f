"""Connections and credentials of charon, over vici.

charon cannot tell what a loaded connection looks like, so a session remembers what it loaded. After a restart of this
program everything is loaded once more: charon compares, and equal connections keep their SAs. What SAs may have been
made by outlives the session (``Memory``): a change that was cut is carried on. After a restart of charon the session
breaks, and with it goes all that was loaded.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

from cryptography import x509

from element.apply.daemon import CharonError, Daemon, Message
from element.apply.exchange import Exchanges, Key
from element.apply.memory import Memory
from element.apply.succession import Succession
from element.plan.resources import Credential, Ike, Resource, SharedKey
from element.revocation import Revocations, holders, serials

UNKNOWN = "?"
_ENDS = ("version", "local", "remote", "local_addrs", "remote_addrs")
_SELECTORS = ("local_ts", "remote_ts", "if_id_in")
_LIVING = frozenset({"INSTALLED", "REKEYING", "REKEYED", "CREATED", "INSTALLING"})
_CHILD_TASKS = frozenset({"CHILD_CREATE", "QUICK_MODE"})
"""What charon still does or is about to do for children that have no SA yet; with IKEv1 one after the other."""


class Charon(Daemon):
    """charon, and what was loaded into it through this session."""

    def __init__(self, path: Path, store: Path, revocations: Revocations, memory: Memory) -> None:
        super().__init__(path)
        self._store = store
        self._revocations = revocations
        self._memory = memory
        self._loaded: dict[str, Ike] = {}
        self._credentials: dict[tuple[str, bool], Credential] = {}
        self._keys: dict[str, str] = {}
        self._shared: dict[str, SharedKey] = {}
        self._exchanges = Exchanges(self._initiate, lambda number: self._terminate({"child-id": number}))
        self._succession = Succession()
        self._aside = Daemon(path)

    def close(self) -> None:
        """Forget the session and what was loaded through it."""
        super().close()
        self._loaded.clear()
        self._credentials.clear()
        self._keys.clear()
        self._shared.clear()
        self._exchanges.clear()
        self._succession.clear()

    def read(self) -> Iterator[Resource]:
        """Connections that charon has, and the credentials that this session loaded."""
        loaded = self.names("get_conns", "conns")
        for name in sorted(loaded):
            yield self._loaded.get(name, Ike(name, UNKNOWN))
        for name in sorted(self._memory.connections - loaded):  # its SAs may be there yet
            yield Ike(name, UNKNOWN)
        yield from self._credentials.values()
        for name in sorted(self.names("get_shared", "keys")):
            local, _, remote = name.partition(" ")
            yield self._shared.get(name, SharedKey(local, remote, UNKNOWN))

    def present(self, credential: Credential) -> Credential:
        """A wanted credential with the digest of its files as they are now."""
        digest = hashlib.sha256(b"".join(p.read_bytes() for p in self._files(credential))).hexdigest()
        return Credential(credential.name, credential.own, digest)

    def _files(self, credential: Credential) -> tuple[Path, ...]:
        if credential.own:
            return (self._store / f"{credential.name}.pem", self._store / f"{credential.name}.key")
        # The operator's CA has the list in force; of any other authority NAME it is NAME-crl.pem.
        own = credential.name == "ca"
        crl = self._revocations.path if own else self._store / f"{credential.name}-crl.pem"
        return (self._store / f"{credential.name}.pem", crl)

    def store_version(self) -> object:
        """Something that changes when a file of the store does."""
        files = {*self._store.glob("*.pem"), self._revocations.path}
        facts = ((path, path.stat()) for path in sorted(files) if path.exists())
        return tuple((path, stat.st_mtime_ns, stat.st_size, stat.st_ino) for path, stat in facts)

    def load_credential(self, credential: Credential) -> None:
        """Load a key, or an authority with its revocation list; end SAs of certificates that the list revokes."""
        certificate, other = (p.read_text() for p in self._files(credential))
        if credential.own:
            self._load_own(credential.name, certificate, other)
        else:
            self.call("load_cert", {"type": "X509", "flag": "CA", "data": certificate})
            self.call("load_cert", {"type": "X509_CRL", "flag": "NONE", "data": other})
            # charon keeps a copy of each list that it has verified, and would go on asking the older one.
            self.call("flush_certs", {"type": "X509_CRL"})
            self._end_revoked(credential.name, x509.load_pem_x509_crl(other.encode()))
        self._credentials[credential.name, credential.own] = credential

    def take_up_lists(self) -> None:
        """Load what has changed of authorities that are loaded; nobody need look at the rest of the machine for it."""
        for credential in [one for one in self._credentials.values() if not one.own]:
            now = self.present(credential)
            if now != credential:
                self.load_credential(now)

    def _load_own(self, name: str, certificate: str, key: str) -> None:
        """A key and its certificate; charon takes the certificate that it has the key for (``load``).

        Former keys go: SAs that they proved stay until they are made anew, at once where that is ours to do.
        """
        before = self._keys.get(name)
        self.call("load_cert", {"type": "X509", "flag": "NONE", "data": certificate})
        now = self._keys[name] = self.call("load_key", {"type": "any", "data": key})["id"].decode()
        for other in self.names("get_keys", "keys") - set(self._keys.values()):
            self.call("unload_key", {"id": other})
        if before not in (None, now):
            for ike in self._loaded.values():
                if any(_started(ike)) and name in json.loads(ike.message)["local"].get("certs", ()):
                    with suppress(CharonError):  # there is no SA: the next has the new key
                        self.call("rekey", {"ike": ike.name, "reauth": "yes"})

    def unload_credential(self, credential: Credential) -> None:
        """Unload a key; authorities go only all at once, when there is none left to keep."""
        self._credentials.pop((credential.name, credential.own), None)
        if credential.own and (key := self._keys.pop(credential.name, None)):
            self.call("unload_key", {"id": key})
        if not self._credentials:
            self.call("clear_creds")
            self.call("flush_certs")
            self._shared.clear()

    def load_shared(self, shared: SharedKey) -> None:
        """Load a shared key, for these two identities only; another version takes the place of the one before."""
        name = f"{shared.local_id} {shared.remote_id}"
        owners = list(shared.owners)
        self.call("load_shared", {"id": name, "type": "IKE", "data": shared.value, "owners": owners})
        self._shared[name] = shared

    def unload_shared(self, shared: SharedKey) -> None:
        """Unload a shared key."""
        name = f"{shared.local_id} {shared.remote_id}"
        self._shared.pop(name, None)
        if name in self.names("get_shared", "keys"):
            self.call("unload_shared", {"id": name})

    def load(self, ike: Ike) -> None:
        """Load a connection. Its SAs stay unless they contradict it."""
        wanted = json.loads(ike.message)
        self._tell(ike)
        # Only now: a peer that is told calls again at once, and must meet what is new.
        for former in self._memory.versions(ike.name):
            if former != wanted:
                self._end_what_contradicts(ike.name, former, wanted)
        self._start()

    def _tell(self, ike: Ike) -> None:
        """Tell charon of a connection, its next SAs to come after all that it has."""
        message = json.loads(ike.message)
        # By identity, not by certificate: a connection that is loaded with another certificate loses its SAs.
        message["local"].pop("certs", None)
        if "cacerts" in message["remote"]:
            authorities = message["remote"]["cacerts"]
            message["remote"]["cacerts"] = [(self._store / f"{name}.pem").read_text() for name in authorities]
        self._memory.add(ike.name, json.loads(ike.message))
        self._succession.tell(ike.name, message, self)
        self._loaded[ike.name] = ike

    def _end_what_contradicts(self, name: str, old: Message, new: Message) -> None:
        """End the SAs that cannot follow a change: all with other ends, else those of changed and former flows.

        With IKEv2 a flow that has got other selectors keeps its SA until another has taken its place.
        """
        if any(old[key] != new[key] for key in _ENDS):
            self._terminate({"ike": name})
            return
        for child, before in old["children"].items():
            now = new["children"].get(child)
            if now is not None and all(before[key] == now[key] for key in _SELECTORS):
                continue
            if now is not None and before["if_id_in"] == now["if_id_in"] and new["version"] == "2":
                self._exchanges.begin(name, child)
            else:
                self._terminate({"ike": name, "child": child})

    def unload(self, ike: Ike) -> None:
        """Unload a connection and end its SAs; the peer is told."""
        self._loaded.pop(ike.name, None)
        self._succession.forget(ike.name)
        if ike.name in self.names("get_conns", "conns"):
            self.call("unload_conn", {"name": ike.name})
        self._terminate({"ike": ike.name})
        self._memory.forget(ike.name)
        if not self._loaded:
            self._end_half_open()

    def _end_half_open(self) -> None:
        """Peers that were told call again at once, and meet a connection that is unloaded a moment later."""
        for sa in self.associations():
            with suppress(CharonError):
                self.call("terminate", {"ike-id": sa["uniqueid"], "timeout": "2000", "force": "yes"})

    def _terminate(self, which: Message) -> None:
        """End SAs; that there are none is no error."""
        with suppress(CharonError):
            self.call("terminate", which | {"timeout": "2000", "force": "yes"})

    def _end_revoked(self, authority: str, crl: x509.CertificateRevocationList) -> None:
        """RFC 5280: a certificate on the list is void now, also for SAs that were authenticated with it before.

        charon does not tell which certificate an SA was made with. A peer that has another by now may have used that:
        then it calls again, and loses no more than that moment. SAs that are younger than an entry are none of its.
        """
        known = (x509.load_der_x509_certificate(one["data"]) for one in self.call("list_certs", {"type": "X509"}))
        names = holders(crl, known, self._memory.revoked(authority))
        for sa in self.associations() if names else ():
            if sa["remote-id"] in names:
                self.call("terminate", {"ike-id": sa["uniqueid"], "timeout": "2000", "force": "yes"})
        self._memory.carry_out(authority, serials(crl))

    def established(self, wanted: Collection[Ike]) -> set[str]:
        """Names of the connections that are established with all their children."""
        if not wanted:
            return set()
        associations = self.associations()
        return {
            ike.name
            for ike in wanted
            if established(json.loads(ike.message)["children"], [sa for sa in associations if sa["name"] == ike.name])
        }

    def keep(self) -> bool:
        """Start what is ours to start and has no SA: traps and retries of charon do not cover a refused attempt.
        Whether there was any."""
        return self._start()

    def line_up(self) -> None:
        """Let the next SAs of a connection come after those that it has got; from a thread of its own."""
        self._succession.line_up(self._aside)

    def _start(self) -> bool:
        """Start what has no SA, and bring exchanges of SAs forward. Whether anything had to be started."""
        missing: set[Key] = set()
        wanted = {(name, child) for name, ike in self._loaded.items() for child in _started(ike)}
        if wanted or self._exchanges:
            associations = self.associations()
            missing = wanted - alive(wanted, associations)
            for name, child in sorted(missing):
                self._initiate(name, child)
            if self._exchanges:
                loaded = {name: json.loads(ike.message)["children"] for name, ike in self._loaded.items()}
                children = {(name, child): wants for name, found in loaded.items() for child, wants in found.items()}
                self._exchanges.go_on(children, associations)
        for name in self._loaded.keys() - self._exchanges.connections:
            self._memory.settle(name, json.loads(self._loaded[name].message))
        return bool(missing)

    def _initiate(self, name: str, child: str) -> None:
        with suppress(CharonError):
            self.call("initiate", {"child": child, "ike": name, "timeout": "-1"})


def alive(wanted: Collection[Key], associations: list[Message]) -> set[Key]:
    """Children that have an SA, or whose connection is being made."""
    found = set()
    for sa in associations:
        name = sa["name"]
        tasks = {*sa.get("tasks-queued", ()), *sa.get("tasks-active", ())}
        if sa["state"] == "CONNECTING" or tasks & _CHILD_TASKS:  # its children follow
            found |= {(name, child) for ours, child in wanted if ours == name}
        found |= {(name, c["name"]) for c in sa.get("child-sas", {}).values() if c["state"] in _LIVING}
    return found


def established(children: Collection[str], associations: list[Message]) -> bool:
    """Whether these SAs of one connection are an IKE SA and all of these children."""
    alive = {sa["state"] for sa in associations} & {"ESTABLISHED", "REKEYING"}
    found = (child for sa in associations for child in sa.get("child-sas", {}).values())
    installed = {child["name"] for child in found if child["state"] in {"INSTALLED", "REKEYING"}}
    return bool(alive) and installed.issuperset(children)


def _started(ike: Ike) -> Iterator[str]:
    """Names of the children that are ours to start."""
    children = json.loads(ike.message)["children"]
    return (name for name, child in children.items() if child["start_action"] != "none")
