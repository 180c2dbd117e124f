"""The factory: at `up` each box gets an identity, made on the host and mounted read-only at /factory.

A lab's directory holds, beside other things:

    authorities/maker/     ca.key ca.pem crl.pem     signs IDevIDs (IEEE 802.1AR); never expires
    authorities/operator/  ca.key ca.pem crl.pem     signs operational and administrators' certificates
    admin/                 id_ed25519 id_ed25519.pub tls.key tls.pem
    boxes/NODE/            what is mounted in NODE:
        identity.json idevid.key idevid.pem maker-ca.pem trust-anchor.pem
        operational/  ca.pem crl.pem netconf.key netconf.pem ike.key ike.pem
                      ssh_host_ed25519_key ssh_host_ed25519_key.pub authorized_keys

The authorities' keys stay in authorities/ (directory 0700, key 0600) and never enter a box. Everything is written whole
and synced, so a cut at any moment leaves either nothing or a complete identity. Keys are on P-256 (RFC 5480) or
Ed25519 for SSH. All certificates are valid from one hour before they were made (clock skew).
"""

from .box import DOMAIN, Identity
from .store import FactoryError
from .works import PERSONALITIES, Admin, Factory

__all__ = ["DOMAIN", "PERSONALITIES", "Admin", "Factory", "FactoryError", "Identity"]
