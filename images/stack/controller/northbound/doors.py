"""The doors in the north: RESTCONF with access tokens, NETCONF over SSH and TLS for administrators."""

from __future__ import annotations

from collections.abc import Mapping

import asyncssh
from stackkit.files import write_durably
from stackkit.restconf import ADMIN, Verify, authenticator
from stackkit.server import StartError
from yangkit import Datastores, NameRule, NetconfServer, Schema, Tree
from yangkit.operations import Handler
from yangkit.restconf import RestconfApp

from controller.northbound.backend import IntentBackend
from controller.service.intent import INTERNET, MODULES, VPC
from controller.settings import Settings

#: The component that orders; everybody else but administrators may only read (RFC 8341, write-default deny).
ORDERS = "service:gro"
#: Whoever orders has them; nobody needs them from us.
SECRETS = ("elasticlab-access:shared-key",)
#: The operator's own, there before anybody orders and after: rights, and the clouds that services may ask for (RFC
#: 8299, section 6.2.2). Were it an order's, who would take it away while others use it?
_FIRST: Tree = {
    "ietf-l3vpn-svc:l3vpn-svc": {
        "vpn-profiles": {"valid-provider-identifiers": {"cloud-identifier": [{"id": INTERNET}, {"id": VPC}]}},
    },
    "ietf-netconf-acm:nacm": {
        "groups": {"group": [{"name": "orders", "user-name": [ORDERS]}]},
        "rule-list": [
            {
                "name": "orders",
                "group": ["orders"],
                "rule": [
                    {"name": name, "module-name": module, "access-operations": "*", "action": "permit"}
                    for name, module in (("services", "ietf-l3vpn-svc"), ("access", "elasticlab-access"))
                ],
            }
        ],
    },
}


def datastores(configuration: Settings, backend: IntentBackend) -> Datastores:
    """Running is the intent."""
    schema = Schema(configuration.yang, MODULES)
    startup = configuration.data / "startup.xml"
    return Datastores(schema, backend, startup, _FIRST, check=backend.check, many_edits=True)


def netconf(stores: Datastores, handlers: Mapping[str, Handler]) -> NetconfServer:
    """The server behind all doors."""
    return NetconfServer(stores, rpcs=handlers, recovery_users=(ADMIN,), write_only=SECRETS)


def restconf(server: NetconfServer, verify: Verify) -> RestconfApp:
    """RFC 8040."""
    forbidden = "The network's services are for administrators and components: order at the GRO"
    return RestconfApp(server, authenticate=authenticator(verify, forbidden))


async def open_netconf(server: NetconfServer, configuration: Settings) -> None:
    """Listen for administrators."""
    host_key = configuration.data / "ssh_host_ed25519_key"
    if not host_key.exists():
        write_durably(host_key, asyncssh.generate_private_key("ssh-ed25519").export_private_key())
    keys = {configuration.admin_user: configuration.admin_keys}
    certificate, key, ca = configuration.certificate, configuration.key, configuration.service_ca
    names, users = [NameRule("common-name")], [configuration.admin_user]
    for host in configuration.listen:
        try:
            await server.listen_ssh(host, configuration.ssh_port, host_key=host_key, authorized_keys=keys)
            await server.listen_tls(
                host, configuration.tls_port, cert=certificate, key=key, ca=ca, names=names, users=users
            )
        except OSError as error:
            ports = f"{configuration.ssh_port} and {configuration.tls_port}"
            raise StartError(f"cannot listen on {host} ports {ports} for NETCONF: {error}") from None
