"""The peer of a site and its POP: the same tunnel by hand, with `ip`, `nft` and `swanctl`, and nothing more.

GRE between loopbacks in IPsec tunnel mode on xfrm interfaces, both ends authenticated by certificates of one CA with a
revocation list that must be there, the same algorithms and MTUs, MSS clamping, and address translation at the POP: what
the product builds for a routed site with Internet access, without tenants, filters and whatever else it does.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from harness.factory.authority import Authority, Subject, key_pem, load_key, new_key, now
from harness.lab import Lab

CONNECTION = "by-hand"
_PLACE = "/etc/swanctl"


@dataclass(frozen=True)
class End:
    """One of the two nodes."""

    node: str
    loopback: str
    address: str

    @property
    def identity(self) -> str:
        return f"{self.node}.by-hand.example"


SITE = End("hand-site", "100.127.9.2", "192.0.2.6")
POP = End("hand-pop", "100.127.9.1", "203.0.113.10")


@dataclass(frozen=True)
class Child:
    """What one SA carries: both ends' selectors, and the xfrm interfaces that lead to it."""

    name: str
    site: str
    pop: str
    interface: int


LOOPBACKS = Child(CONNECTION, f"{SITE.loopback}/32", f"{POP.loopback}/32", 1)


def build(lab: Lab, folder: Path, *more: Child) -> None:
    """Both ends, up to the point where `swanctl --initiate` makes the tunnel. The CA lives in `folder`."""
    authority = Authority.open(folder / "by-hand", "by hand", timedelta(days=1))
    for here, there in ((SITE, POP), (POP, SITE)):
        _credentials(lab, here, authority)
        lab[here.node].sh(_links(here, there))
        lab[here.node].exec(
            "tee", f"{_PLACE}/conf.d/{CONNECTION}.conf", stdin=_connection(here, there, (LOOPBACKS, *more))
        )
        lab[here.node].exec("swanctl", "--load-all", "--noprompt")
    lab[SITE.node].sh("ip route replace 198.51.100.80/32 dev gre1")
    lab[POP.node].sh(
        "ip route replace 10.1.0.0/24 dev gre1; nft add table ip nat;"
        " nft 'add chain ip nat post { type nat hook postrouting priority srcnat; }';"
        " nft add rule ip nat post oifname wan masquerade"
    )


def past_the_tunnel(lab: Lab) -> str:
    """A plain way from the site's host to the Internet, over the same cables and the site's box; a server's address."""
    server = "192.0.2.5"
    lab[SITE.node].exec("ip", "address", "replace", "10.8.0.1/24", "dev", "lan")
    lab["internet"].exec("ip", "route", "replace", "10.8.0.0/24", "via", SITE.address)
    lab["host-2"].sh(
        f"ip address replace 10.8.0.10/24 dev lan; ip route replace {server}/32 via 10.8.0.1 src 10.8.0.10"
    )
    return server


def initiate(lab: Lab, *children: Child) -> None:
    """Bring the tunnel up, as a person would."""
    for child in children or (LOOPBACKS,):
        lab[SITE.node].exec("swanctl", "--initiate", "--child", child.name)


def terminate(lab: Lab) -> None:
    """Take it down."""
    lab[SITE.node].exec("swanctl", "--terminate", "--ike", CONNECTION)


def _credentials(lab: Lab, end: End, authority: Authority) -> None:
    key = new_key()
    certificate = authority.issue(Subject(end.node, dns_names=(end.identity,)), key.public_key())
    files = {
        "x509/own.pem": certificate.decode(),
        "private/own.pem": key_pem(key).decode(),
        "x509ca/ca.pem": authority.certificate_path.read_text(),
        "x509crl/crl.pem": _revocations(authority).decode(),
    }
    lab[end.node].sh(f"mkdir -p {_PLACE}/conf.d {_PLACE}/x509 {_PLACE}/private {_PLACE}/x509ca {_PLACE}/x509crl")
    for name, content in files.items():
        lab[end.node].exec("tee", f"{_PLACE}/{name}", stdin=content)


def _revocations(authority: Authority) -> bytes:
    """An empty list: strict checking wants one."""
    key = load_key(authority.certificate_path.with_name("ca.key"))
    builder = x509.CertificateRevocationListBuilder().issuer_name(authority.certificate.subject)
    return (
        builder.last_update(now() - timedelta(hours=1))
        .next_update(now() + timedelta(days=1))
        .add_extension(x509.CRLNumber(1), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.PEM)
    )


def _links(here: End, there: End) -> str:
    return f"""
ip link add overlay type dummy && ip address add {here.loopback}/32 dev overlay && ip link set overlay up
ip link add ipsec1 type xfrm if_id 1 && ip link set ipsec1 mtu 1438 up
ip route add {there.loopback}/32 dev ipsec1 src {here.loopback}
ip link add gre1 type gre local {here.loopback} remote {there.loopback} dev ipsec1 tos inherit ttl 64
ip link set gre1 mtu 1414 up
nft add table inet clamp
nft 'add chain inet clamp forward {{ type filter hook forward priority mangle; }}'
nft add rule inet clamp forward tcp flags syn tcp option maxseg size set rt mtu
"""


def _connection(here: End, there: End, children: tuple[Child, ...]) -> str:
    return f"""
connections {{
  {CONNECTION} {{
    version = 2
    local_addrs = {here.address}
    remote_addrs = {there.address}
    proposals = aes256gcm16-prfsha384-ecp256
    local {{
      auth = pubkey
      certs = own.pem
      id = {here.identity}
    }}
    remote {{
      auth = pubkey
      cacerts = ca.pem
      id = {there.identity}
      revocation = strict
    }}
    children {{
      {"".join(_child(here, one) for one in children)}
    }}
  }}
}}
"""


def _child(here: End, child: Child) -> str:
    own, other = (child.site, child.pop) if here == SITE else (child.pop, child.site)
    return f"""
      {child.name} {{
        local_ts = {own}
        remote_ts = {other}
        esp_proposals = aes256gcm16-ecp256
        if_id_in = {child.interface}
        if_id_out = {child.interface}
        replay_window = 1024
      }}
"""
