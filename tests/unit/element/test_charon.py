"""What becomes of SAs when connections change while this program comes and goes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from element.apply.daemon import CharonError, CharonGoneError, Message
from element.apply.ipsec import Charon
from element.apply.memory import Memory
from element.plan.resources import Credential, Ike
from element.revocation import Revocations

from tests.unit.element.conftest import pem_of

OLD, NEW = ["10.2.0.0/24"], ["10.3.0.0/24"]


class Killed(BaseException):
    """kill -9 of the program."""


class Peer:
    """charon and its peers: they agree to everything. ``dies`` names the command during which the program is killed."""

    def __init__(self) -> None:
        self.connections: dict[str, Message] = {}
        self.sas: dict[str, Message] = {}
        self.certificates: list[bytes] = []
        self.number = 0
        self.dies = ""

    def __call__(self, command: str, message: Message | None = None) -> Any:
        if command == self.dies:
            raise Killed(command)
        return getattr(self, command)(**{key.replace("-", "_"): value for key, value in (message or {}).items()})

    def _next(self) -> str:
        self.number += 1
        return str(self.number)

    def load_conn(self, **connections: Message) -> None:
        self.connections |= json.loads(json.dumps(connections))

    def unload_conn(self, name: str) -> None:
        if name not in self.connections:
            raise CharonError(f"connection '{name}' not found")
        del self.connections[name]

    def get_conns(self) -> Message:
        return {"conns": [name.encode() for name in self.connections]}

    def get_shared(self) -> Message:
        return {}

    def initiate(self, child: str, ike: str, timeout: str) -> None:
        connection = self.connections[ike]
        found = [sa for sa in self.sas.values() if sa["name"] == ike]
        sa = found[0] if found else self.establish(ike, connection["remote"]["id"])
        wanted = connection["children"][child]
        one = {"name": child, "state": "INSTALLED", "uniqueid": self._next()}
        sa["child-sas"][f"{child}-{one['uniqueid']}"] = one | {
            f"{end}-ts": wanted[f"{end}_ts"] for end in ("local", "remote")
        }

    def establish(self, name: str, identity: str) -> Message:
        sa = {"name": name, "uniqueid": self._next(), "state": "ESTABLISHED", "remote-id": identity, "child-sas": {}}
        self.sas[sa["uniqueid"]] = sa
        return sa

    def list_sas(self) -> list[Message]:
        def octets(value: Any) -> Any:
            if isinstance(value, dict):
                return {key: octets(one) for key, one in value.items()}
            return [octets(one) for one in value] if isinstance(value, list) else value.encode()

        return [{sa["name"]: octets({k: v for k, v in sa.items() if k != "name"})} for sa in self.sas.values()]

    def terminate(
        self, timeout: str, force: str, ike: str = "", ike_id: str = "", child: str = "", child_id: str = ""
    ) -> None:
        for number, sa in list(self.sas.items()):
            if child or child_id:
                for key, one in list(sa["child-sas"].items()):
                    if child_id == one["uniqueid"] or (child == one["name"] and ike == sa["name"]):
                        del sa["child-sas"][key]
            elif number == ike_id or sa["name"] == ike:
                del self.sas[number]

    def load_cert(self, type: str, flag: str, data: str) -> None:
        pass

    def flush_certs(self, type: str) -> None:
        pass

    def list_certs(self, type: str) -> list[Message]:
        return [{"data": data} for data in self.certificates]

    @property
    def remote(self) -> list[list[str]]:
        """What each child SA carries."""
        return [child["remote-ts"] for sa in self.sas.values() for child in sa["child-sas"].values()]

    @property
    def identities(self) -> list[str]:
        return [sa["remote-id"] for sa in self.sas.values()]


class Talking(Charon):
    """The session is the peer itself."""

    peer: Peer

    def call(self, command: str, message: Message | None = None) -> Any:
        return self.peer(command, message)


@pytest.fixture
def peer() -> Peer:
    return Peer()


@pytest.fixture
def start(peer: Peer, tmp_path: Path) -> Callable[[], Charon]:
    """A new life of the program: charon and the machine's memory are as they were."""

    def begin() -> Charon:
        revocations = Revocations(tmp_path / "ca.pem", tmp_path / "crl.pem", tmp_path / "installed.pem")
        charon = Talking(tmp_path / "vici", tmp_path, revocations, Memory(tmp_path / "run" / "charon.json"))
        charon.peer = peer
        return charon

    return begin


def ike(remote: list[str] = OLD, identity: str = "pop.example", *children: str, name: str = "pop") -> Ike:
    child = {"local_ts": ["10.1.0.0/24"], "remote_ts": remote, "if_id_in": "1", "start_action": "trap"}
    message = {
        "version": "2",
        "unique": "replace",
        "local_addrs": ["%any"],
        "remote_addrs": ["192.0.2.1"],
        "local": {"id": "site.example"},
        "remote": {"id": identity},
        "children": dict.fromkeys(children or ("site",), child),
    }
    return Ike(name, json.dumps(message))


def killed(charon: Charon, peer: Peer, during: str, what: Callable[[], None]) -> None:
    peer.dies = during
    with pytest.raises(Killed):
        what()
    peer.dies = ""


class TestAKillDuringAChange:
    @pytest.mark.parametrize("during", ["load_conn", "list_sas", "initiate"])
    def test_selectors_are_exchanged_by_the_next_life(
        self, start: Callable[[], Charon], peer: Peer, during: str
    ) -> None:
        first = start()
        first.load(ike(OLD))
        assert peer.remote == [OLD]
        killed(first, peer, during, lambda: (first.load(ike(NEW)), first.keep()))
        again = start()
        again.load(ike(NEW))
        again.keep()
        assert peer.remote == [NEW]

    def test_it_may_be_killed_again(self, start: Callable[[], Charon], peer: Peer) -> None:
        start().load(ike(OLD))
        for _ in range(3):
            charon = start()
            killed(charon, peer, "initiate", lambda charon=charon: charon.load(ike(NEW)))
        last = start()
        last.load(ike(NEW))
        last.keep()
        assert peer.remote == [NEW]

    def test_another_peer_of_the_same_name_does_not_stay(self, start: Callable[[], Charon], peer: Peer) -> None:
        """A commit was to be confirmed, and the box starts with what it had before."""
        charon = start()
        charon.load(ike(identity="pop.example"))
        charon.load(ike(identity="stranger.example"))
        assert peer.identities == ["stranger.example"]
        start().load(ike(identity="pop.example"))
        assert peer.identities == ["pop.example"]

    def test_a_flow_that_is_wanted_no_more_does_not_stay(self, start: Callable[[], Charon], peer: Peer) -> None:
        both = ike(OLD, "pop.example", "site", "other")
        charon = start()
        charon.load(both)
        assert len(peer.remote) == 2
        killed(charon, peer, "terminate", lambda: charon.load(ike()))
        start().load(ike())
        assert len(peer.remote) == 1

    def test_a_connection_that_is_wanted_no_more_does_not_stay(self, start: Callable[[], Charon], peer: Peer) -> None:
        charon = start()
        charon.load(ike())
        killed(charon, peer, "terminate", lambda: charon.unload(ike()))
        assert (peer.connections, peer.identities) == ({}, ["pop.example"])
        again = start()
        (left,) = [one for one in again.read() if isinstance(one, Ike)]
        assert left.name == "pop"
        again.unload(left)
        assert peer.sas == {}
        assert list(start().read()) == []

    def test_what_has_not_changed_keeps_its_sas(self, start: Callable[[], Charon], peer: Peer) -> None:
        start().load(ike())
        before = list(peer.sas), peer.number
        again = start()
        again.load(ike())
        again.keep()
        assert (list(peer.sas), peer.number) == before

    def test_charon_gone_in_the_middle_is_no_different(
        self, start: Callable[[], Charon], peer: Peer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It did not answer in time: the session is another one, the SAs are the same."""
        charon = start()
        charon.load(ike(OLD))

        def gone(**_: str) -> None:
            charon.close()
            raise CharonGoneError

        with monkeypatch.context() as patch:
            patch.setattr(peer, "initiate", gone)
            with pytest.raises(CharonGoneError):
                charon.load(ike(NEW))
        charon.load(ike(NEW))
        charon.keep()
        assert peer.remote == [NEW]


def test_a_memory_that_is_of_no_use_is_told_and_begun_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "charon.json").write_text("half of")
    memory = Memory(tmp_path / "charon.json")
    assert "of no use" in caplog.text
    memory.add("pop", {"version": "2"})
    assert Memory(tmp_path / "charon.json").versions("pop") == ({"version": "2"},)
    memory.carry_out("ca", [1])
    memory.forget("pop")
    assert not (tmp_path / "charon.json").exists()


def test_a_memory_that_cannot_be_written_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "run").write_text("not a folder")
    memory = Memory(tmp_path / "none" / "charon.json")
    (tmp_path / "none").write_text("not a folder")
    memory.add("pop", {"version": "2"})
    assert memory.versions("pop") == ({"version": "2"},)
    assert "cannot be written" in caplog.text


class TestRevocation:
    """A certificate is on the list; its holder has got another since."""

    @pytest.fixture
    def ca(self, authority: Callable[[str], Any], tmp_path: Path) -> Any:
        made = authority("operator")
        (tmp_path / "ca.pem").write_bytes(made.pem)
        return made

    def issued(self, ca: Any, peer: Peer, name: str) -> x509.Certificate:
        certificate: x509.Certificate = ca.issue(x509.Name([]), ca.key.public_key(), x509.DNSName(name))
        peer.certificates.append(certificate.public_bytes(Encoding.DER))
        return certificate

    def revoke(self, ca: Any, charon: Charon, tmp_path: Path, *revoked: x509.Certificate) -> None:
        (tmp_path / "crl.pem").write_bytes(pem_of(ca.crl(1, *revoked)))
        charon.load_credential(Credential("ca", own=False))

    def test_a_copy_with_the_old_one_is_ended_though_the_box_has_a_new_one(
        self, start: Callable[[], Charon], peer: Peer, ca: Any, tmp_path: Path
    ) -> None:
        old, _ = self.issued(ca, peer, "site.example"), self.issued(ca, peer, "site.example")
        self.issued(ca, peer, "other.example")
        peer.establish("site", "site.example")
        peer.establish("other", "other.example")
        self.revoke(ca, start(), tmp_path, old)
        assert peer.identities == ["other.example"]

    def test_who_came_back_is_not_ended_again(
        self, start: Callable[[], Charon], peer: Peer, ca: Any, tmp_path: Path
    ) -> None:
        """It is on the list as before, and whoever has an SA was let in by that list."""
        old, _ = self.issued(ca, peer, "site.example"), self.issued(ca, peer, "site.example")
        first = start()
        self.revoke(ca, first, tmp_path, old)
        peer.establish("site", "site.example")
        another = self.issued(ca, peer, "other.example")
        for charon in (first, start()):
            self.revoke(ca, charon, tmp_path, old, another)
        assert peer.identities == ["site.example"]

    def test_a_kill_before_the_end_is_made_up_for(
        self, start: Callable[[], Charon], peer: Peer, ca: Any, tmp_path: Path
    ) -> None:
        old = self.issued(ca, peer, "site.example")
        peer.establish("site", "site.example")
        charon = start()
        killed(charon, peer, "terminate", lambda: self.revoke(ca, charon, tmp_path, old))
        self.revoke(ca, start(), tmp_path, old)
        assert peer.identities == []
