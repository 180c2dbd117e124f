"""The factory: at `up` each box gets an identity, made on the host and mounted read-only at /factory.

A lab's directory holds, beside other things:

    authorities/maker/     ca.key ca.pem   signs IDevIDs (IEEE 802.1AR); never expires
    authorities/anchor/    ca.key ca.pem   signs bootstrap servers, whom the maker's boxes trust (RFC 8572)
    authorities/service/   ca.key ca.pem   signs the orchestrator's components and people
    admin/                 id_ed25519 id_ed25519.pub tls.key tls.pem
    people/USER-password   of who logs in at the portal
    boxes/NODE/            what is mounted in NODE:
        identity.json idevid.key idevid.pem maker-ca.pem trust-anchor.pem day0.json
    stacks/NODE/           what is mounted in the orchestrator's node:
        stack.json service-ca.pem maker-ca.pem authorized_keys admin-password labctl-secret
        COMPONENT.key COMPONENT.pem of each component; bootstrap.key bootstrap.pem of the anchor

What a box needs of its operator it gets by enrolment. The authorities' keys stay in authorities/ (directory 0700, key
0600) and never enter a node. Everything is written whole and synced, so a cut at any moment leaves either nothing or a
complete identity. Keys are on P-256 (RFC 5480) or Ed25519 for SSH. All certificates are valid from one hour before they
were made (clock skew).
"""

from .box import DOMAIN, Identity
from .day0 import Day0, Wan
from .stack import COMPONENTS
from .store import FactoryError
from .works import PERSONALITIES, Admin, Factory

__all__ = ["COMPONENTS", "DOMAIN", "PERSONALITIES", "Admin", "Day0", "Factory", "FactoryError", "Identity", "Wan"]
