"""Child SAs with other selectors: made before the old ones are broken, tried again while the peer has not followed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from element.apply.exchange import PATIENCE, Exchanges

KEY = ("pop", "site")
OLD, NEW = ["10.2.0.0/24"], ["10.2.0.0/24", "10.3.0.0/24"]


@dataclass
class Charon:
    """Child SAs, and what a peer makes of an attempt."""

    remote: list[list[str]] = field(default_factory=lambda: [OLD])
    peer: list[str] = field(default_factory=lambda: NEW)
    number: int = 1
    ended: list[str] = field(default_factory=list)
    at: float = 0.0

    def __post_init__(self) -> None:
        self.sas = {str(n): remote for n, remote in enumerate(self.remote, 1)}
        self.number = len(self.sas)
        self.attempts = 0
        self.exchanges = Exchanges(self.initiate, self.end, lambda: self.at)

    def initiate(self, ike: str, child: str) -> None:
        assert (ike, child) == KEY
        self.attempts += 1
        self.number += 1
        self.sas[str(self.number)] = self.peer

    def end(self, number: str) -> None:
        self.ended.append(number)
        del self.sas[number]

    def look(self, wanted: list[str], start: str = "trap") -> None:
        """One look, with these selectors wanted."""
        child = {"local_ts": ["10.1.0.0/24"], "remote_ts": wanted, "start_action": start}
        associations = [{"name": "pop", "child-sas": {f"site-{n}": sa(n, remote) for n, remote in self.sas.items()}}]
        self.exchanges.go_on({KEY: child}, associations)


def sa(number: str, remote: list[str], state: str = "INSTALLED") -> dict[str, Any]:
    return {"name": "site", "state": state, "uniqueid": number, "local-ts": ["10.1.0.0/24"], "remote-ts": remote}


def test_the_new_one_is_there_before_the_old_one_goes() -> None:
    charon = Charon()
    charon.exchanges.begin(*KEY)
    charon.look(NEW)
    assert (charon.ended, list(charon.sas)) == ([], ["1", "2"])
    charon.look(NEW)
    assert (charon.ended, list(charon.sas)) == (["1"], ["2"])
    assert not charon.exchanges
    charon.look(NEW)
    assert charon.attempts == 1


def test_a_peer_that_knows_the_old_selectors_only_is_tried_again() -> None:
    """There is always one that carries what both have, and never a heap of them."""
    charon = Charon(peer=OLD)
    charon.exchanges.begin(*KEY)
    for _ in range(4):
        charon.look(NEW)
        assert len(charon.sas) <= 2
        assert "1" in charon.sas
    charon.peer = NEW
    charon.look(NEW)
    charon.look(NEW)
    assert list(charon.sas.values()) == [NEW]


def test_a_peer_that_never_follows_keeps_what_both_want() -> None:
    """A gateway may narrow for good: then that is it."""
    charon = Charon(peer=OLD)
    charon.exchanges.begin(*KEY)
    charon.look(NEW)
    charon.at = PATIENCE
    charon.look(NEW)
    assert not charon.exchanges
    assert OLD in charon.sas.values()


def test_what_is_wanted_no_more_ends_whoever_started_it() -> None:
    for start in ("trap", "none"):
        charon = Charon(remote=[NEW], peer=NEW)
        charon.exchanges.begin(*KEY)
        charon.look(OLD, start)
        assert charon.ended == []
        charon.at = PATIENCE
        charon.look(OLD, start)
        assert "1" in charon.ended


def test_who_is_called_waits_for_the_caller() -> None:
    charon = Charon()
    charon.exchanges.begin(*KEY)
    charon.look(NEW, "none")
    assert (charon.attempts, charon.ended) == (0, [])
    charon.initiate(*KEY)
    charon.look(NEW, "none")
    assert charon.ended == []
    charon.end("1")
    charon.look(NEW, "none")
    assert not charon.exchanges


def test_nobody_waits_for_a_flow_that_is_gone() -> None:
    charon = Charon()
    charon.exchanges.begin(*KEY)
    charon.exchanges.go_on({}, [])
    assert not charon.exchanges


def test_prefixes_are_compared_as_prefixes() -> None:
    charon = Charon(remote=[["10.2.0.0/24"]])
    charon.exchanges.begin(*KEY)
    charon.look(["10.2.0.7/24"])
    assert (charon.attempts, bool(charon.exchanges)) == (0, False)


def test_a_peer_may_narrow_to_a_protocol_or_a_range_for_good() -> None:
    """RFC 7296, section 2.9: it is tried for a while, and what is left carries nothing that is not wanted."""
    for narrow in (["10.2.0.0/24[tcp]"], ["10.2.0.16..10.2.0.31"]):
        charon = Charon(remote=[narrow], peer=narrow)
        charon.exchanges.begin(*KEY)
        charon.look(NEW)
        assert charon.attempts == 1
        charon.at = PATIENCE
        charon.look(NEW)
        assert not charon.exchanges
        assert narrow in charon.sas.values()


def test_what_cannot_be_read_is_not_kept() -> None:
    """Nobody knows what it carries."""
    for strange in (["dynamic"], ["10.2.0.0/24[tcp"], ["10.2.0.0..2001:db8::1"]):
        charon = Charon(remote=[strange], peer=NEW)
        charon.exchanges.begin(*KEY)
        charon.look(NEW, "none")
        charon.at = PATIENCE
        charon.look(NEW, "none")
        assert charon.ended == ["1"]
