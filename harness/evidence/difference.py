"""What of a lab is not as it was when it was ready: the lines that came and went, node by node.

Only what stays by itself is compared: no counters, no times, no numbers that the next start gives anew.
"""

from __future__ import annotations

import difflib
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from harness.host.channel import AgentError, AgentLost
from harness.lab import Lab, Node, attach

State = Mapping[str, tuple[str, ...]]
"""Of a node: its lines by what they are about."""
Baseline = Mapping[str, State]
"""By node."""

_AT_ONCE = 4
_MARK = "=== "
_OUTPUT = 400
"""Lines that the difference has at most: whoever looks for a cause reads no more."""


@dataclass(frozen=True)
class Look:
    """A command, which of its lines say nothing, and what in the others does not. Where one program answers for several
    looks, the lines that are `own` are this one's, and those of no other are the last one's.
    """

    command: str
    lines: str = "$^"
    parts: str = "$^"
    own: str = ""


_IN_BOXES = "[ ! -S /run/charon.vici ] ||"
_LOOKS = {
    # Links that a box makes anew get other addresses, and other numbers in what is derived of them.
    "links": Look(
        "ip -d -o link",
        parts=r"^\d+: |@if\d+| link-netns(id)? \S+| numtxqueues .*| mode DEFAULT|\\|"
        r" (qlen|brd|promiscuity|allmulti|minmtu|maxmtu|mcast_\w+|nf_call_\w+|vlan_stats\w+|fdb_\w+|port_id|"
        r"port_no|designated_\w+|root_\w+|bridge_id|topology_change\w*|config_pending|group_fwd_\w+) \S+|"
        r" link/ether \S+(?=.* (vxlan id|vrf table|dummy) )|"
        r" (hello|tcn|topology_change|gc|hold|message_age|forward_delay)_timer +\S+",
    ),
    "addresses": Look("address show scope global", parts=r"^\d+: |\\.*", own=r"^\d+: \S+ +inet6? "),
    "rules": Look("rule", own=r"^\d+:\t"),
    "neighbours": Look("neigh show nud permanent", own=r" PERMANENT *$"),
    "routes": Look(
        "route show table all", lines=r"fe80|ff00::|table local|expires", parts=r" pref medium| metric 1024"
    ),
    "policies": Look(f"{_IN_BOXES} ip xfrm policy list nosock", lines=r"^\s+(tmpl|proto|mark)", parts=r" priority \d+"),
    "associations": Look(f"{_IN_BOXES} ip xfrm state list nokeys", lines=r"^\s"),
    "filter": Look("nft -s list ruleset", parts=r" (expires|timeout) \w+"),
    "bridges": Look(
        "for one in /sys/class/net/*/bridge; do [ ! -d $one ] || { "
        "bridge -force -batch - <<.\nvlan show\nlink show\n.\nbreak; }; done",
        parts=r"^\d+: |@if\d+",
    ),
    "queues": Look("tc qdisc show", parts=r" [0-9a-f]+:| refcnt \d+"),
    "settings": Look(
        "grep -s . /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding "
        "/proc/sys/net/ipv4/conf/*/rp_filter /proc/sys/net/ipv6/conf/*/disable_ipv6",
        parts=r"^/proc/sys/net/",
    ),
    "services": Look("sv status /etc/service/*", parts=r"\(pid \d+\) |\d+s|; run: log.*|/etc/service/"),
    "programs": Look(
        "ps axo stat,args", lines=r"^(Z|\S+ +(\[|ps |/bin/sh -c\b|runsv|svlogd|STAT))", parts=r"^[^T]\S* +|\b\d{2,}\b"
    ),
    "sockets": Look("ss -Hltun", lines=r":[3-6]\d{4} ", parts=r"(UNCONN|LISTEN) +\d+ +\d+ +|  .*"),
    "names": Look("cat /etc/resolv.conf /etc/hosts"),
    "clock": Look("date +%s"),
    "disk": Look("df -P /", lines="^Filesystem"),
}
# A start of ip(8) costs ten times what it is asked.
_TOGETHER = ("addresses", "rules", "neighbours", "routes")
_TWICE = ("rules", "routes")
"""Of those, what says nothing of IPv6 unless it is asked for that."""
_ANY_ORDER = ("policies", "associations", "programs", "sockets", "settings", "neighbours")


def _script() -> str:
    """One program, because entering a node costs more than most of what is looked at."""
    batch = "ip {} -o -force -batch - <<.\n{}\n."
    every, again = ("\n".join(_LOOKS[what].command for what in some) for some in (_TOGETHER, _TWICE))
    alone = {what: look.command for what, look in _LOOKS.items() if what not in _TOGETHER}
    together = {_TOGETHER[-1]: f"{batch.format('', every)}\n{batch.format('-6', again)}"}
    return "\n".join(f"echo '{_MARK}{what}'\n{command}" for what, command in (alone | together).items())


_SCRIPT = _script()
_SLACK = 5.0
_FULL = 99


def taken(lab: Lab) -> Baseline:
    """What is there now. A node that cannot be asked says so."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return dict(zip(lab.nodes, pool.map(_state, lab.nodes.values()), strict=True))


def begun(name: str) -> Future[Baseline]:
    """`taken` of a lab by its name, with an agent of its own, beside whatever the caller does meanwhile."""

    def look() -> Baseline:
        with attach(name) as lab:
            return taken(lab)

    with_one = ThreadPoolExecutor(1, thread_name_prefix="look")
    try:
        return with_one.submit(look)
    finally:
        with_one.shutdown(wait=False)


def _state(node: Node) -> State:
    try:
        done = node.run("/bin/sh", "-c", f"exec 2>/dev/null\n{_SCRIPT}", timeout=20)
    except (AgentError, AgentLost, OSError, TimeoutError) as error:
        return {"power": (f"no answer: {error}",)}
    if not done.stdout:  # it could not be entered
        return {"power": (f"no answer: {done.stderr.strip()}",)}
    return read(done.stdout, time.time())


def read(said: str, asked: float) -> State:
    """What a node said, without what is never twice the same. `asked` is when, by the clock of whoever did."""
    parts = (part.partition("\n") for part in said.removeprefix(_MARK).split(f"\n{_MARK}"))
    lines = {what: text.splitlines() for what, _, text in parts}
    lines |= _apart(lines.pop(_TOGETHER[-1], []))
    found = {what: tuple(_kept(_LOOKS[what], said)) for what, said in lines.items()}
    found |= {what: tuple(sorted(set(found[what]))) for what in _ANY_ORDER if what in found}
    found["clock"] = tuple(_clock(float(line) - asked) for line in found.get("clock", ()))
    found["disk"] = tuple("full" if _used(line) >= _FULL else "has room" for line in found.get("disk", ()))
    return found


def _apart(lines: Iterable[str]) -> dict[str, list[str]]:
    """Lines that one program said, by what they are about."""
    found: dict[str, list[str]] = {what: [] for what in _TOGETHER}
    for line in lines:
        whose = (what for what in _TOGETHER if _LOOKS[what].own and re.search(_LOOKS[what].own, line))
        found[next(whose, _TOGETHER[-1])].append(line)
    return found


def _kept(look: Look, lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        if line.strip() and not re.search(look.lines, line):
            yield re.sub(" +", " ", re.sub(look.parts, "", line)).rstrip()


def _clock(off: float) -> str:
    return "right" if abs(off) < _SLACK else f"wrong by about {round(off, -1):g} s"


def _used(line: str) -> int:
    """Percent, by df."""
    return int(line.split()[4].rstrip("%"))


def told(before: Baseline, now: Baseline) -> str:
    """The lines that went (-) and came (+), with the node and what they are about; empty when nothing did."""
    found = list(lines(before, now))
    more = [f"… and {len(found) - _OUTPUT} lines more"] if len(found) > _OUTPUT else []
    return "".join(f"{line}\n" for line in (*found[:_OUTPUT], *more))


def lines(before: Baseline, now: Baseline) -> Iterator[str]:
    """All of them: a head for each node and matter, then what went and what came."""
    for node, state in now.items():
        if "power" in state:
            yield from (f"{_MARK}{node}", *(f"+ {line}" for line in state["power"]))
            continue
        for what, said in state.items():
            was = before.get(node, {}).get(what, ())
            changed = [line for line in difflib.ndiff(was, said) if line[0] in "+-"]
            if changed:
                yield from (f"{_MARK}{node} {what}", *changed)
