"""EV-14: Local Internet access.

"The uCPE accesses the Internet locally: it does NAT on its own WAN interface, and what goes there does not enter the
tunnel to the vMSR." (Elastic VPN, section 2.2.3, told shortly)

Which connections leave here is said by rules (prefix, DSCP, five-tuple); everything else stays in the tunnel.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from harness.lab import Lab
from harness.lab.capture import Capture
from harness.wait import wait_for
from tests.scenarios import forgery
from tests.scenarios.buying import Json, Shop, service
from tests.scenarios.hops import overheard
from tests.scenarios.speaking import does_not_come_in

pytestmark = pytest.mark.topology("scenarios")

SERVER, OTHER = "198.51.100.80", "198.51.100.81"
BOX, POP = "192.0.2.10", "203.0.113.2"
HOST, OTHER_HOST, GATEWAY = "10.5.0.10", "10.5.0.11", "10.5.0.1"
_ANSWER = """
import socket, sys
answering = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
answering.bind((sys.argv[1], 80))
while True:
    answering.sendto(b"the Internet", answering.recvfrom(100)[1])
"""
# The server's other services: at another port, and by another protocol.
SERVING = (
    ("socat", f"TCP-LISTEN:8080,bind={SERVER},fork,reuseaddr", f"TCP:{SERVER}:80"),
    ("python3", "-c", _ANSWER, SERVER),
)


@pytest.fixture
def acme(shop: Shop) -> Iterator[Shop]:
    """Box 3 is acme's; its host has a second address, and the Internet a second server, for the test."""
    shop.give("acme", "ucpe-3")
    host, internet = shop.lab["host-3"], shop.lab["internet"]
    with ExitStack() as stack:
        for node, address, device in ((internet, f"{OTHER}/32", "lo"), (host, f"{OTHER_HOST}/24", "lan")):
            node.exec("ip", "address", "replace", address, "dev", device)
            stack.callback(node.exec, "ip", "address", "del", address, "dev", device)
        for serve in SERVING:
            group = internet.sh(f"setsid {shlex.join(serve)} </dev/null >/dev/null 2>&1 & echo $!").strip()
            stack.callback(internet.sh, f"kill -- -{group}")
        for listening in ("-Hnlt", "sport = :8080"), ("-Hnlu", "sport = :80"):
            wait_for("the server", lambda words=listening: internet.exec("ss", *words), 5)
        yield shop


def with_local_internet(shop: Shop, default: str, *rules: Json) -> Json:
    """A routed site that leaves here as the rules say."""
    named = [{"name": f"rule-{n}", **rule} for n, rule in enumerate(rules, 1)]
    local: Json = {"default": default} | ({"rules": named} if named else {})
    return service("site-to-internet", site=shop.routed("ucpe-3", f"{GATEWAY}/24", localInternet=local))


@dataclass(frozen=True)
class Question:
    """What the host asks in the Internet, and by which five-tuple."""

    server: str = SERVER
    port: int = 80
    options: tuple[str, ...] = ()
    """Of curl."""

    protocol = "tcp"

    def ask(self, lab: Lab) -> str:
        return lab["host-3"].exec(
            "curl", "-sS", "--max-time", "10", *self.options, f"http://{self.server}:{self.port}/"
        )


_ASK = """
import socket, sys
asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
asking.settimeout(10)
asking.bind(("", 6000))
asking.connect((sys.argv[1], int(sys.argv[2])))
asking.send(b"what is there?")
print(asking.recv(100).decode())
"""


@dataclass(frozen=True)
class Datagram(Question):
    """The same without a connection."""

    protocol = "udp"

    def ask(self, lab: Lab) -> str:
        return lab["host-3"].exec("python3", "-c", _ASK, self.server, str(self.port))


def went(lab: Lab, question: Question) -> dict[str, bool]:
    """Which way a question and its answer went, seen on both sides of the box and at the POP."""
    with (
        overheard(lab, "ucpe-3", "ipsec-vmsr-1") as tunnel,
        lab.capture("ucpe-3:wan") as wan,
        lab.capture("internet:pop") as pop,
    ):
        assert "Internet" in question.ask(lab)
    assert wan.count("net 10.0.0.0/8") == 0, "a packet left untranslated"
    server = question.server
    here = _both(wan, f"host {BOX} and host {server}", question)
    there = _both(pop, f"host {POP} and host {server}", question)
    asked, answered = (tunnel.count(f"ip proto gre and ip[{n}:4] = {_number(server)}") for n in (40, 36))
    assert here != there, "it went both ways, or none"
    assert there == (asked > 0) == (answered > 0), "what entered the tunnel is not what came out"
    if here:
        assert tunnel.count("ip proto gre") == 0, "something of it is in the tunnel"
    return {"local": here, "tunnel": there}


def _both(wire: Capture, ends: str, question: Question) -> bool:
    """Whether a question and its answer are on a wire; one without the other is an error."""
    asked, answered = (
        wire.count(f"{ends} and {question.protocol} {way} port {question.port}") for way in ("dst", "src")
    )
    assert (asked > 0) == (answered > 0), f"{asked} packets there and {answered} back"
    return asked > 0


def _number(address: str) -> str:
    return "0x" + "".join(f"{int(part):02x}" for part in address.split("."))


LOCAL, TUNNEL = {"local": True, "tunnel": False}, {"local": False, "tunnel": True}
FIVE = {
    "source": f"{HOST}/32",
    "destination": f"{SERVER}/32",
    "protocol": "tcp",
    "sourcePort": "6000-6099",
    "destinationPort": "80",
    "action": "local",
}
PORTS = ("--local-port", "6000-6099")
# A rule, what it is for, and what it is not for: of the five-tuple each that differs in one.
SPLITS: dict[str, tuple[Json, Question, Sequence[Question]]] = {
    "by prefix": ({"destination": f"{SERVER}/32", "action": "local"}, Question(), [Question(OTHER)]),
    "by DSCP": ({"dscp": 46, "action": "local"}, Question(options=("--ip-tos", "184")), [Question()]),
    "by five-tuple": (
        FIVE,
        Question(options=PORTS),
        [
            Question(options=(*PORTS, "--interface", OTHER_HOST)),
            Question(OTHER, options=PORTS),
            Datagram(),
            Question(options=("--local-port", "6100-6199")),
            Question(port=8080, options=PORTS),
        ],
    ),
}


def test_everything_leaves_here_and_nothing_enters_the_tunnel(lab: Lab, acme: Shop) -> None:
    with acme.bought("acme", with_local_internet(acme, "local")):
        for question in (Question(), Question(OTHER), Datagram()):
            assert went(lab, question) == LOCAL


def test_a_site_does_not_go_on_where_one_before_it_ended(lab: Lab, acme: Shop) -> None:
    """The box knows the same five-tuple still, of a tenant with the same number: it has left with the tenant."""
    with acme.bought("acme", with_local_internet(acme, "local")):
        assert went(lab, Datagram()) == LOCAL
    with acme.bought("acme", with_local_internet(acme, "pop")):
        assert went(lab, Datagram()) == TUNNEL


@pytest.mark.parametrize("split", SPLITS)
def test_what_a_rule_says_leaves_here_and_the_rest_stays_in_the_tunnel(lab: Lab, acme: Shop, split: str) -> None:
    rule, here, there = SPLITS[split]
    with acme.bought("acme", with_local_internet(acme, "pop", rule)):
        assert went(lab, here) == LOCAL
        for question in there:
            assert went(lab, question) == TUNNEL, question


def test_the_first_rule_decides(lab: Lab, acme: Shop) -> None:
    rules = ({"destination": f"{OTHER}/32", "action": "pop"}, {"destination": "198.51.100.0/24", "action": "local"})
    with acme.bought("acme", with_local_internet(acme, "pop", *rules)):
        assert went(lab, Question()) == LOCAL
        assert went(lab, Question(OTHER)) == TUNNEL


def test_nothing_comes_in_and_the_end_is_the_end(lab: Lab, acme: Shop) -> None:
    with acme.bought("acme", with_local_internet(acme, "local")):
        lab["host-3"].must_reach(SERVER)
        does_not_come_in(lab, HOST, wire="host-3:lan", box="ucpe-3", via=BOX)
    with lab.capture("ucpe-3:wan") as wan:
        lab["host-3"].must_not_reach(SERVER)
    assert wan.count(f"host {SERVER} or net 10.0.0.0/8") == 0


def test_nothing_leaves_whose_answers_would_be_the_tunnels(lab: Lab, acme: Shop) -> None:
    """ESP has no ports: conntrack, which forgets a silent tunnel, could not tell answers to it from the tunnel."""
    box = lab["ucpe-3"]
    esp = forgery.packet(lab, "host-3", f"IP(src={HOST!r}, dst={POP!r}, proto=50) / Raw(b'of the host')")
    with acme.bought("acme", with_local_internet(acme, "local")):
        before = forgery.dropped(lab, "ucpe-3", "breakout-unanswerable")
        with lab.capture("ucpe-3:wan") as wan:
            box.run("conntrack", "-D", "-d", POP)
            forgery.send_by(lab["host-3"], "lan", POP, esp)
            wait_for(
                "the box to refuse",
                lambda: forgery.dropped(lab, "ucpe-3", "breakout-unanswerable") == before + forgery.COUNT,
                10,
            )
        assert not wan.contains(b"of the host")
        lab["host-3"].must_reach(SERVER)
