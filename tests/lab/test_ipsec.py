"""IPsec between boxes: tenants with equal prefixes on one gateway, IKEv1, shared keys, several flows, both families.

box-1 calls, box-2 is the gateway with an address a tenant. host-1 and host-3 are acme's, host-2 and host-4 beta's, and
both tenants have 10.1.0.0/24 here and 10.9.0.0/24 there.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from harness.lab import Lab
from harness.wait import wait_for
from tests.lab.directly import Tree, configuration, counted, ethernet, of, pings_heard, static
from tests.lab.living import Living, Refused, living
from tests.scenarios.flows import echoes

pytestmark = pytest.mark.topology("boxes")

TENANTS = {"acme": 1, "beta": 2}
GATEWAY = {"acme": "192.0.2.65", "beta": "192.0.2.66"}
KEYS = {"acme": "the-key-of-acme-and-no-others", "beta": "the-key-of-beta-and-no-others"}
HERE, THERE = "10.1.0.0/24", "10.9.0.0/24"
FAR_HOST = "10.9.0.10"
HOSTS = {"host-1": "10.1.0", "host-2": "10.1.0", "host-3": "10.9.0", "host-4": "10.9.0"}
_VICI = "import socket, vici; s = socket.socket(socket.AF_UNIX); s.connect('/run/charon.vici'); v = vici.Session(s)"
INNER = "net 10.0.0.0/8 or net 2001:db8:10::/44"


def tunnel(tenant: str, number: int = 0, **more: Any) -> Tree:
    """The tunnel interface of a tenant."""
    if_id = TENANTS[tenant] + 10 * number
    return {
        "name": f"ipsec-{tenant}" + (f"-{number}" if number else ""),
        "type": "elasticlab-ipsec:ipsec-tunnel",
        "elasticlab-interface:mtu": 1400,
        "elasticlab-ipsec:ipsec-tunnel": {"if-id": if_id},
        "ietf-ip:ipv4": {"forwarding": True},
        "ietf-ip:ipv6": {"forwarding": True},
        **of(tenant),
        **more,
    }


def flow(tenant: str, local: list[str], remote: list[str], number: int = 0) -> Tree:
    name = tunnel(tenant, number)["name"]
    return {"name": f"flow-{number}", "interface": name, "local-prefix": local, "remote-prefix": remote}


def caller(tenant: str, **more: Any) -> Tree:
    """The connection at box-1."""
    return {
        "name": tenant,
        "autostartup": "start",
        "unique": "never",
        "local": {"local-pad-entry-name": "self"},
        "remote": {"remote-pad-entry-name": f"gateway-{tenant}", "address": GATEWAY[tenant]},
        "spd": {"spd-entry": [flow(tenant, [HERE], [THERE])]},
        **more,
    }


def responder(tenant: str, **more: Any) -> Tree:
    """The connection at box-2: told from the other tenant's by the address that is called."""
    return {
        "name": tenant,
        "unique": "never",
        "local": {"local-pad-entry-name": f"self-{tenant}", "address": GATEWAY[tenant]},
        "remote": {"remote-pad-entry-name": f"caller-{tenant}"},
        "spd": {"spd-entry": [flow(tenant, [THERE], [HERE])]},
        **more,
    }


def box_1(*connections: Tree, tunnels: list[Tree] | None = None, keys: dict[str, str] | None = None) -> Tree:
    lans = [ethernet("lan1", "10.1.0.1/24", **of("acme")), ethernet("lan2", "10.1.0.1/24", **of("beta"))]
    wan = ethernet("wan", "192.0.2.2/30")
    known = [
        {"name": f"gateway-{t}", "identity": GATEWAY[t], "pre-shared": {"secret": key}}
        for t, key in (keys or KEYS).items()
    ]
    pad = [{"name": "self", "identity": "pop.example"}, *known]
    return _box([wan, *lans], "192.0.2.1", connections, tunnels, pad)


def box_2(*connections: Tree, tunnels: list[Tree] | None = None, keys: dict[str, str] | None = None) -> Tree:
    lans = [ethernet("lan1", "10.9.0.1/24", **of("acme")), ethernet("lan2", "10.9.0.1/24", **of("beta"))]
    wan = ethernet("wan", "192.0.2.6/30", *(f"{address}/32" for address in GATEWAY.values()))
    pad = [{"name": f"self-{t}", "identity": GATEWAY[t]} for t in TENANTS]
    pad += [
        {"name": f"caller-{t}", "identity": "pop.example", "pre-shared": {"secret": key}}
        for t, key in (keys or KEYS).items()
    ]
    return _box([wan, *lans], "192.0.2.5", connections, tunnels, pad)


def _box(ports: list[Tree], router: str, connections: Any, tunnels: list[Tree] | None, pad: list[Tree]) -> Tree:
    made = [tunnel(c["name"]) for c in connections] if tunnels is None else tunnels
    routes = [static("underlay", ("0.0.0.0/0", {"next-hop-address": router}))]
    tree = configuration([*ports, *made], routes, list(TENANTS), [])
    return tree | {"elasticlab-ipsec:ipsec": {"pad": {"pad-entry": pad}, "conn-entry": list(connections)}}


Boxes = tuple[Living, Living]


@pytest.fixture
def boxes(lab: Lab) -> Iterator[Boxes]:
    """Both boxes alive and bare; hosts of two tenants with the same addresses."""
    with ExitStack() as stack:
        for host, net in HOSTS.items():
            lab[host].sh(f"ip address replace {net}.10/24 dev lan; ip route replace default via {net}.1")
            stack.callback(_restore, lab, host, net)
        one, two = stack.enter_context(living(lab["box-1"], lab["box-2"]))
        yield one, two


def _restore(lab: Lab, host: str, net: str) -> None:
    own = f"10.{host[-1]}.0"
    lab[host].sh(f"[ {net} = {own} ] || ip address del {net}.10/24 dev lan; ip route replace default via {own}.1")


def up(boxes: Boxes, *names: str, seconds: float = 15) -> None:
    for name in names:
        wait_for(f"connection {name} is established", lambda name=name: boxes[0].established(name), seconds)


class TestTwoTenantsOnOneGateway:
    @pytest.fixture
    def both(self, boxes: Boxes) -> Boxes:
        boxes[1].configure(box_2(responder("acme"), responder("beta")))
        boxes[0].configure(box_1(caller("acme"), caller("beta")))
        up(boxes, "acme", "beta")
        return boxes

    def test_each_reaches_its_own(self, lab: Lab, both: Boxes) -> None:
        with lab.capture("internet:access-1") as wire:
            for near, far, other in (("host-1", "host-3", "host-4"), ("host-2", "host-4", "host-3")):
                before, elsewhere = pings_heard(lab, far), pings_heard(lab, other)
                lab[near].must_reach(FAR_HOST)
                assert pings_heard(lab, far) > before
                assert pings_heard(lab, other) == elsewhere
        assert wire.count("udp port 4500 or esp") > 0
        assert wire.count(INNER) == 0

    def test_what_one_has_the_other_does_not(self, lab: Lab, both: Boxes) -> None:
        lab["host-4"].sh("ip address add 10.9.0.20/24 dev lan")
        try:
            lab["host-2"].must_reach("10.9.0.20")
            lab["host-1"].must_not_reach("10.9.0.20")
        finally:
            lab["host-4"].sh("ip address del 10.9.0.20/24 dev lan")

    def test_a_foreign_source_does_not_pass_nor_leave_in_clear(self, lab: Lab, both: Boxes) -> None:
        lab["host-1"].sh("ip address add 10.1.9.10/32 dev lan")
        try:
            with lab.capture("internet:access-1") as wire:
                heard = pings_heard(lab, "host-3")
                assert not lab["host-1"].reaches(FAR_HOST, source="10.1.9.10")
                assert pings_heard(lab, "host-3") == heard
        finally:
            lab["host-1"].sh("ip address del 10.1.9.10/32 dev lan")
        assert wire.count(INNER) == 0

    def test_without_charon_nothing_leaves(self, lab: Lab, both: Boxes) -> None:
        with lab.capture("internet:access-1") as wire:
            lab["box-1"].sh("sv -w 15 down charon; ip xfrm state flush; ip xfrm policy flush")
            try:
                lab["host-1"].must_not_reach(FAR_HOST)
            finally:
                lab["box-1"].sh("sv up charon")
        assert wire.count(INNER) == 0
        lab["host-1"].must_reach(FAR_HOST, 20)

    def test_without_its_interface_a_flow_goes_nowhere(self, lab: Lab, both: Boxes) -> None:
        """The blackhole behind the route; the box's life would mend it, so it is stopped for the while."""
        both[0].stop()
        lab["box-1"].sh("ip link del ipsec-acme; ip route add default vrf acme via 192.0.2.1 dev wan onlink")
        with lab.capture("internet:access-1") as wire:
            lab["host-1"].must_not_reach(FAR_HOST)
        # And without the blackhole the filter.
        leaks = counted(lab["box-1"], "overlay-leak")
        lab["box-1"].sh("ip route del blackhole 10.9.0.0/24 vrf acme")
        with lab.capture("internet:access-1") as again:
            lab["host-1"].must_not_reach(FAR_HOST)
        lab["box-1"].sh("ip route del default vrf acme via 192.0.2.1")
        assert (wire.count(INNER), again.count(INNER)) == (0, 0)
        assert counted(lab["box-1"], "overlay-leak") > leaks
        both[0].start()
        both[0].configure(box_1(caller("acme"), caller("beta")))
        lab["host-1"].must_reach(FAR_HOST, 20)

    def test_a_flow_more_leaves_the_others_alone(self, lab: Lab, both: Boxes) -> None:
        """A second child with an interface of its own; the SAs that were there stay."""
        before = {sa["unique-id"] for sa in both[0].connection("acme")["ike-sa"]}
        more, flows = ["10.1.64.0/24", "10.9.64.0/24"], ([HERE], [THERE])
        near, far = caller("acme"), responder("acme")
        near["spd"] = {"spd-entry": [flow("acme", *flows), flow("acme", more[:1], more[1:], 1)]}
        far["spd"] = {"spd-entry": [flow("acme", *flows[::-1]), flow("acme", more[1:], more[:1], 1)]}
        tunnels = [tunnel("acme"), tunnel("beta"), tunnel("acme", 1)]
        both[1].configure(box_2(far, responder("beta"), tunnels=tunnels))
        both[0].configure(box_1(near, caller("beta"), tunnels=tunnels))
        up(both, "acme")
        state = both[0].connection("acme")
        assert {child["spd-entry"] for child in state["child-sa"]} == {"flow-0", "flow-1"}
        assert {sa["unique-id"] for sa in state["ike-sa"]} == before
        # And one less ends its own SA only.
        both[0].configure(box_1(caller("acme"), caller("beta")))
        flows_now = lambda: {child["spd-entry"] for child in both[0].connection("acme")["child-sa"]}  # noqa: E731
        wait_for("the second flow is gone", lambda: flows_now() == {"flow-0"}, 10)
        assert {sa["unique-id"] for sa in both[0].connection("acme")["ike-sa"]} == before
        lab["host-1"].must_reach(FAR_HOST)

    @pytest.mark.parametrize("first", ["caller", "responder"])
    def test_a_prefix_more_costs_the_others_nothing(self, lab: Lab, both: Boxes, first: str) -> None:
        """The flow's next SA is there before its last one goes, whichever box is told first; so again for one less."""
        near, far = caller("acme"), responder("acme")
        near["spd"] = {"spd-entry": [flow("acme", [HERE], [THERE, "10.9.64.0/24"])]}
        far["spd"] = {"spd-entry": [flow("acme", [THERE, "10.9.64.0/24"], [HERE])]}
        lab["host-1"].must_reach(FAR_HOST)
        before = {sa["unique-id"] for sa in both[0].connection("acme")["ike-sa"]}
        with echoes(lab["host-1"], FAR_HOST, 0.01) as seen:
            for connections in ((near, far), (caller("acme"), responder("acme"))):
                old = {child["unique-id"] for child in both[0].connection("acme")["child-sa"]}
                orders = [lambda c=connections: both[0].configure(box_1(c[0], caller("beta")))]
                orders.insert(
                    first == "caller", lambda c=connections: both[1].configure(box_2(c[1], responder("beta")))
                )
                for order in orders:
                    order()
                wait_for("another SA alone", lambda old=old: _only_others(both[0], old), 40)
        assert seen.steady, seen
        assert seen.lost <= 5, seen
        assert {sa["unique-id"] for sa in both[0].connection("acme")["ike-sa"]} == before


def _only_others(box: Living, old: set[int]) -> bool:
    now = {child["unique-id"] for child in box.connection("acme")["child-sa"]}
    return len(now) == 1 and not now & old


IKEV1 = {
    "ikev1-main": {"ike-mode": "ikev1-main"},
    "ikev1-aggressive": {"ike-mode": "ikev1-aggressive", "allow-insecure-aggressive": True},
}


@pytest.mark.parametrize("mode", IKEV1)
def test_ikev1_with_a_child_a_pair_of_prefixes(lab: Lab, boxes: Boxes, mode: str) -> None:
    near, far = caller("acme", **IKEV1[mode]), responder("acme", **IKEV1[mode])
    here, there = [HERE, "10.1.64.0/24"], [THERE, "10.9.64.0/24"]
    near["spd"], far["spd"] = ({"spd-entry": [flow("acme", *ends)]} for ends in ((here, there), (there, here)))
    boxes[1].configure(box_2(far))
    with lab.capture("internet:access-1") as wire:
        boxes[0].configure(box_1(near))
        up(boxes, "acme")
        lab["host-1"].must_reach(FAR_HOST)
    state = boxes[0].connection("acme")
    assert len(state["child-sa"]) == 4
    assert {child["spd-entry"] for child in state["child-sa"]} == {"flow-0"}
    assert wire.count(INNER) == 0
    # Byte 18 of ISAKMP: the exchange type, 2 of main mode and 4 of aggressive (RFC 2408, section 3.1).
    exchange = {"ikev1-main": 2, "ikev1-aggressive": 4}
    assert wire.count(f"udp port 500 and udp[26] = {exchange[mode]}") > 0


@pytest.mark.parametrize("modes", [("ikev1-aggressive", "ikev1-main"), ("ikev1-main", "ikev1-aggressive")])
def test_another_mode_is_not_answered(lab: Lab, boxes: Boxes, modes: tuple[str, str]) -> None:
    boxes[1].configure(box_2(responder("acme", **IKEV1[modes[1]])))
    with refused(boxes[0], "AUTHENTICATION_FAILED"):
        boxes[0].configure(box_1(caller("acme", **IKEV1[modes[0]])))
    lab["host-1"].must_not_reach(FAR_HOST)
    assert not boxes[0].established("acme")


@contextmanager
def refused(box: Living, reason: str) -> Iterator[None]:
    """What a box asks of its peer in the block, the peer refuses for this reason, as charon has heard."""
    heard = f"grep -c {reason} /var/log/charon/current || true"
    before = int(box.node.sh(heard))
    yield
    wait_for(f"the peer to say {reason}", lambda: int(box.node.sh(heard)) > before, 15)


def test_both_families_inside_and_outside(lab: Lab, boxes: Boxes) -> None:
    """One child with prefixes of both; IKE and ESP over IPv6."""
    near, far = caller("acme"), responder("acme")
    near["remote"]["address"] = "2001:db8:f2::2"
    far["local"]["address"] = "2001:db8:f2::2"
    here, there = [HERE, "2001:db8:11::/64"], [THERE, "2001:db8:19::/64"]
    near["spd"], far["spd"] = ({"spd-entry": [flow("acme", *ends)]} for ends in ((here, there), (there, here)))
    trees = box_1(near), box_2(far)
    for number, (tree, net) in enumerate(zip(trees, ("11", "19"), strict=True), 1):
        wan, lan = tree["ietf-interfaces:interfaces"]["interface"][:2]
        wan |= ethernet("wan", f"2001:db8:f{number}::2/64")
        lan |= ethernet("lan1", f"2001:db8:{net}::1/64")
        routes = tree["ietf-routing:routing"]["control-plane-protocols"]["control-plane-protocol"]
        routes.append(static("underlay6", ("::/0", {"next-hop-address": f"2001:db8:f{number}::1"})))
    lab["host-1"].sh("ip -6 address add 2001:db8:11::10/64 dev lan nodad")
    lab["host-1"].sh("ip -6 route replace 2001:db8:19::/64 via 2001:db8:11::1")
    lab["host-3"].sh("ip -6 address add 2001:db8:19::10/64 dev lan nodad")
    lab["host-3"].sh("ip -6 route replace 2001:db8:11::/64 via 2001:db8:19::1")
    try:
        boxes[1].configure(trees[1])
        boxes[0].configure(trees[0])
        up(boxes, "acme")
        with lab.capture("internet:access-1") as wire:
            lab["host-1"].must_reach(FAR_HOST)
            lab["host-1"].must_reach("2001:db8:19::10")
        assert wire.count("ip6 and (esp or udp port 4500)") > 0
        assert wire.count(f"({INNER}) or (ip and esp)") == 0
    finally:
        for host, net in (("host-1", "11"), ("host-3", "19")):
            lab[host].sh(f"ip -6 address del 2001:db8:{net}::10/64 dev lan")
            lab[host].sh("ip -6 route flush 2001:db8:10::/44 root 2001:db8:10::/44 2>/dev/null || true")


class TestSharedKeys:
    def test_a_wrong_key_opens_nothing_and_a_right_one_does(self, lab: Lab, boxes: Boxes) -> None:
        boxes[1].configure(box_2(responder("acme")))
        with refused(boxes[0], "AUTHENTICATION_FAILED"):
            boxes[0].configure(box_1(caller("acme"), keys=KEYS | {"acme": KEYS["beta"]}))
        lab["host-1"].must_not_reach(FAR_HOST)
        assert not boxes[0].established("acme")
        boxes[0].configure(box_1(caller("acme")))
        up(boxes, "acme")

    @pytest.fixture(autouse=True)
    def quiet(self, lab: Lab) -> None:
        """What was refused before is not counted again."""
        for box in ("box-1", "box-2"):
            lab[box].sh(": > /var/log/charon/current")

    def test_a_key_proves_its_own_peer_only(self, lab: Lab, boxes: Boxes) -> None:
        """Who is one tenant's peer, with that tenant's key, calls as the other's: both are ``pop.example``."""
        boxes[1].configure(box_2(responder("acme"), responder("beta")))
        boxes[0].configure(box_1(caller("acme"), caller("beta"), keys=dict.fromkeys(TENANTS, KEYS["acme"])))
        up(boxes, "acme")
        wait_for("box-2 refuses the key", lambda: mismatches(lab, "box-2") > 0, 10)
        assert not boxes[0].established("beta")
        assert not boxes[1].established("beta")
        boxes[0].configure(box_1(caller("acme"), caller("beta")))
        up(boxes, "acme", "beta")

    def test_no_gateway_passes_for_another(self, lab: Lab, boxes: Boxes) -> None:
        """Where beta's gateway is called, somebody answers with acme's key, whom beta's own caller convinces."""
        boxes[1].configure(box_2(responder("acme"), responder("beta")))
        boxes[1].stop()
        load = (
            f"{_VICI}\n"
            "def load(name, key, *owners): v.load_shared(dict(id=name, type='IKE', data=key, owners=list(owners)))\n"
            f"load('{GATEWAY['beta']} pop.example', '{KEYS['acme']}', '{GATEWAY['beta']}', 'pop.example')\n"
            f"load('nobody pop.example', '{KEYS['beta']}', 'pop.example')"
        )
        lab["box-2"].exec("/opt/element/bin/python", "-c", load)
        try:
            boxes[0].configure(box_1(caller("acme"), caller("beta")))
            wait_for("box-1 refuses the key", lambda: mismatches(lab, "box-1") > 0, 10)
            assert not boxes[0].established("beta")
        finally:
            boxes[1].start()

    def test_a_key_is_told_to_charon_and_nobody_else(self, lab: Lab, boxes: Boxes) -> None:
        boxes[1].configure(box_2(responder("acme"), responder("beta")))
        boxes[0].configure(box_1(caller("acme"), caller("beta")))
        up(boxes, "acme", "beta")
        for box in boxes:
            said = box.log() + box.node.sh(
                "cat /var/log/charon/current /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '"
            )
            assert not [key for key in KEYS.values() if key in said]
            assert "acme" in said
        assert len(shared(boxes[0])) == 2

    def test_what_is_not_used_is_unloaded(self, lab: Lab, boxes: Boxes) -> None:
        """After a restart of the backend, too, which knows nothing of what it loaded before."""
        boxes[0].configure(box_1(caller("acme"), caller("beta")))
        assert shared(boxes[0]) == ["pop.example 192.0.2.65", "pop.example 192.0.2.66"]
        boxes[0].configure(box_1(caller("beta")))
        assert shared(boxes[0]) == ["pop.example 192.0.2.66"]
        boxes[0].stop()
        boxes[0].start()
        boxes[0].configure(box_1())
        assert shared(boxes[0]) == []

    def test_two_keys_of_two_identities_are_refused(self, boxes: Boxes) -> None:
        tree = copy.deepcopy(box_1(caller("acme"), caller("beta")))
        for entry in tree["elasticlab-ipsec:ipsec"]["pad"]["pad-entry"][1:]:
            entry["identity"] = "gateway.example"
        with pytest.raises(Refused, match="two shared keys") as refusal:
            boxes[0].configure(tree)
        assert not [key for key in KEYS.values() if key in str(refusal.value)]


def mismatches(lab: Lab, box: str) -> int:
    """How often charon has refused a peer's proof since it was started."""
    return int(lab[box].sh("grep -c 'MAC mismatched' /var/log/charon/current || true"))


def shared(box: Living) -> list[str]:
    """The shared keys that charon has, by the names that they were given."""
    script = f"{_VICI}; print(*(k.decode() for k in v.get_shared().get('keys', ())), sep='\\n')"
    said = box.node.exec("/opt/element/bin/python", "-c", script)
    return sorted(line for line in said.splitlines() if line)
