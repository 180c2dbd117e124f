"""One node definition as the file has it: an entry of `nodes`, `groups` or `kinds`, or `defaults`.

Fields and their meaning: https://containerlab.dev/manual/nodes/ ; what the lab cannot honour on both engines is
refused with its reason, never ignored.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from collections.abc import Mapping as Table
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import TypeVar

from .document import Scalar, Value, describe
from .labels import LABELS, PREFIX
from .model import Bind
from .problems import Problems, suggest
from .reading import Reader
from .units import octets

FIELDS = frozenset(
    [
        "kind",
        "image",
        "group",
        "env",
        "binds",
        "exec",
        "cmd",
        "entrypoint",
        "sysctls",
        "labels",
        "mgmt-ipv4",
        "mgmt-ipv6",
        "cpu",
        "memory",
        "cap-add",
    ]
)
_OVER_NETCONF = "the orchestrator configures boxes: order it in the topology's orders/"
_ONE_KIND = "only the kind linux is supported and it has no such setting: remove it"
_ENGINE = "the engine decides this for every node: remove it"
UNSUPPORTED: Table[str, str] = {
    "aliases": "name the node itself so",
    "auto-remove": _ENGINE,
    "certificate": "boxes get certificates from the factory: set the label elasticlab.role",
    "components": _ONE_KIND,
    "config": _OVER_NETCONF,
    "cpu-set": "a lab kernel has one processor: limit with cpu",
    "credentials": "the factory makes the administrator's keys: remove it",
    "devices": "nodes share no device of the host: remove it",
    "dns": "there is no resolver on the management network: write /etc/resolv.conf with exec or binds",
    "enforce-startup-config": _OVER_NETCONF,
    "env-files": "write the variables below env",
    "extras": _ONE_KIND,
    "healthcheck": "say when the node is ready with the label elasticlab.ready",
    "image-pull-policy": "images are built by labctl, never pulled: remove it",
    "license": _ONE_KIND,
    "link-apply-mode": _ENGINE,
    "network-mode": "every node has its own namespace and management interface: remove it",
    "password": "the factory makes the administrator's keys: remove it",
    "ports": "reach the node over the management network or with labctl exec",
    "position": "drawings are made from the links: remove it",
    "restart-policy": "runit restarts what runs in the node, and a power cut is a test's: remove it",
    "runtime": "choose the engine with labctl up --engine",
    "shm-size": _ENGINE,
    "stages": "say when the node is ready with the label elasticlab.ready",
    "startup-config": _OVER_NETCONF,
    "startup-delay": "say when the node is ready with the label elasticlab.ready",
    "suppress-startup-config": _OVER_NETCONF,
    "type": _ONE_KIND,
    "user": "processes in a node start as root and drop rights themselves: remove it",
    "username": "the factory makes the administrator's keys: remove it",
}

CAPABILITIES = frozenset(
    [
        "AUDIT_CONTROL",
        "AUDIT_READ",
        "AUDIT_WRITE",
        "BLOCK_SUSPEND",
        "BPF",
        "CHECKPOINT_RESTORE",
        "CHOWN",
        "DAC_OVERRIDE",
        "DAC_READ_SEARCH",
        "FOWNER",
        "FSETID",
        "IPC_LOCK",
        "IPC_OWNER",
        "KILL",
        "LEASE",
        "LINUX_IMMUTABLE",
        "MAC_ADMIN",
        "MAC_OVERRIDE",
        "MKNOD",
        "NET_ADMIN",
        "NET_BIND_SERVICE",
        "NET_BROADCAST",
        "NET_RAW",
        "PERFMON",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYSLOG",
        "SYS_ADMIN",
        "SYS_BOOT",
        "SYS_CHROOT",
        "SYS_MODULE",
        "SYS_NICE",
        "SYS_PACCT",
        "SYS_PTRACE",
        "SYS_RAWIO",
        "SYS_RESOURCE",
        "SYS_TIME",
        "SYS_TTY_CONFIG",
        "WAKE_ALARM",
    ]
)
"""capabilities(7), without the prefix CAP_."""

MIN_CPU = 0.01
MIN_MEMORY = 6 * 2**20
"""What the kernel and Docker refuse to go below."""

_IMAGE = re.compile(r"[a-z0-9]+(?:[._/:-]+[a-zA-Z0-9]+)*(?:@sha256:[0-9a-f]{64})?")
_ENV = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SYSCTL = re.compile(r"net(?:[./][A-Za-z0-9_.-]+)+")
_GROUP = re.compile(r"\S.{0,62}")
_EXAMPLE = {"mgmt-ipv4": "172.20.20.11", "mgmt-ipv6": "3fff:172:20:20::11"}
_RESERVED = ("/proc", "/sys", "/dev", "/factory")


LabelCheck = Callable[[str], str | None]
AnyAddress = TypeVar("AnyAddress", IPv4Address, IPv6Address)


@dataclass
class Definition:
    """A definition's fields, checked one by one, before they are merged."""

    kind: Scalar | None = None
    group: str | None = None
    image: str | None = None
    env: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    sysctls: dict[str, str] = field(default_factory=dict)
    binds: list[Bind] = field(default_factory=list)
    exec: list[str] = field(default_factory=list)
    cap_add: list[str] = field(default_factory=list)
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    cpu: float | None = None
    memory: int | None = None
    mgmt_ipv4: tuple[Scalar, IPv4Address] | None = None
    mgmt_ipv6: tuple[Scalar, IPv6Address] | None = None


class DefinitionReader(Reader):
    """Reads definitions of the topology file that lies in `directory`."""

    def __init__(self, problems: Problems, directory: Path) -> None:
        super().__init__(problems)
        self.directory = directory

    def definition(self, value: Value | None, where: str, *, of_node: bool) -> Definition:
        body = self.mapping(value, where)
        if body is None:
            return Definition()
        known = FIELDS if of_node else FIELDS - {"mgmt-ipv4", "mgmt-ipv6"}
        per_node = "an address belongs to one node: move it there"
        unsupported = UNSUPPORTED if of_node else {**UNSUPPORTED, "mgmt-ipv4": per_node, "mgmt-ipv6": per_node}
        self.fields(body, where, known, unsupported)
        return Definition(
            kind=self.text(body.get("kind"), "kind"),
            group=self.matched(body.get("group"), "group", _GROUP, "write a word of at most 63 characters"),
            image=self.matched(
                body.get("image"), "image", _IMAGE, "write a reference such as elasticlab/element:latest"
            ),
            env=self._env(body.get("env")),
            labels=self.labels(body.get("labels"), LABELS),
            sysctls=self._sysctls(body.get("sysctls")),
            binds=self._binds(body.get("binds")),
            exec=[s.text for s in self.texts(body.get("exec"), "exec") if self._words(s, "exec") is not None],
            cap_add=self._capabilities(body.get("cap-add")),
            entrypoint=self._command(body.get("entrypoint"), "entrypoint"),
            cmd=self._command(body.get("cmd"), "cmd"),
            cpu=self._cpu(body.get("cpu")),
            memory=self._memory(body.get("memory")),
            mgmt_ipv4=self._address(body.get("mgmt-ipv4"), "mgmt-ipv4", IPv4Address) if of_node else None,
            mgmt_ipv6=self._address(body.get("mgmt-ipv6"), "mgmt-ipv6", IPv6Address) if of_node else None,
        )

    def labels(self, value: Value | None, ours: Table[str, LabelCheck]) -> dict[str, str]:
        """Labels, of which those in our namespace must be known and right."""
        found: dict[str, str] = {}
        for key, scalar in self.table(value, "labels"):
            name, text = key.text, scalar.text
            check = ours.get(name)
            if check is None and name.startswith(PREFIX):
                remedy = suggest(name, ours, f"known: {', '.join(ours)}")
                self.problems.add(key, f'unknown label "{name}"', remedy)
            elif check is not None and (remedy_or_none := check(text)) is not None:
                self.problems.add(scalar, f"{name} cannot be {describe(scalar)}", remedy_or_none)
            elif not name or name.startswith(("containerlab", "clab-")):
                self.problems.add(key, f'the label "{name}" is containerlab\'s own', "choose another name")
            else:
                found[name] = text
        return found

    def _env(self, value: Value | None) -> dict[str, str]:
        found: dict[str, str] = {}
        for key, scalar in self.table(value, "env"):
            if key.text == "__IMPORT_ENVS":
                self.problems.add(key, "importing the user's environment is not supported", "write the variables out")
            elif not _ENV.fullmatch(key.text):
                self.problems.add(key, f"{describe(key)} is no name of a variable", "use letters, digits and _")
            else:
                found[key.text] = scalar.text
        return found

    def _sysctls(self, value: Value | None) -> dict[str, str]:
        found: dict[str, str] = {}
        for key, scalar in self.table(value, "sysctls"):
            if _SYSCTL.fullmatch(key.text) and ".." not in key.text:
                found[key.text] = scalar.text
            else:
                self.problems.add(
                    key, f"the sysctl {describe(key)} is not a node's own", "only net.* can be set per node"
                )
        return found

    def _binds(self, value: Value | None) -> list[Bind]:
        found: dict[str, Bind] = {}
        for scalar in self.texts(value, "binds"):
            bind = self._bind(scalar)
            if bind is None:
                continue
            if bind.target in found:
                self.problems.add(scalar, f"two binds on {bind.target}", "remove one")
            found[bind.target] = bind
        return list(found.values())

    def _bind(self, scalar: Scalar) -> Bind | None:
        parts = scalar.text.split(":")
        if len(parts) not in (2, 3) or not all(parts) or "\0" in scalar.text:
            self.problems.add(scalar, f"{describe(scalar)} is no bind", "write SOURCE:TARGET or SOURCE:TARGET:ro")
            return None
        if len(parts) == 3 and parts[2] not in ("ro", "rw"):
            self.problems.add(scalar, f'a bind cannot have the option "{parts[2]}"', "use ro or rw")
            return None
        target = parts[1]
        taken = target.rstrip("/") == "" or any(target == r or target.startswith(r + "/") for r in _RESERVED)
        if not target.startswith("/") or {".", ".."} & set(target.split("/")) or taken:
            remedy = f"write an absolute path outside of {', '.join(_RESERVED)}"
            self.problems.add(scalar, f'a bind cannot have the target "{target}"', remedy)
            return None
        source = self._source(scalar, parts[0])
        return Bind(source, target, read_only=parts[2:] == ["ro"]) if source else None

    def _source(self, scalar: Scalar, text: str) -> Path | None:
        """Relative to the topology file, and then inside its directory: what lies outside is named absolutely."""
        try:
            given = Path(text).expanduser()
            path = (self.directory / given).resolve(strict=True)
        except (OSError, RuntimeError, ValueError):
            self.problems.add(scalar, f'the bind\'s source "{text}" does not exist', "paths are relative to this file")
            return None
        if not given.is_absolute() and not path.is_relative_to(self.directory.resolve()):
            remedy = "write an absolute path if you mean it"
            self.problems.add(scalar, f"the bind's source \"{text}\" leaves the topology's directory", remedy)
            return None
        return path

    def _words(self, scalar: Scalar, what: str) -> tuple[str, ...] | None:
        try:
            words = tuple(shlex.split(scalar.text))
        except ValueError as error:
            self.problems.add(scalar, f"{what} has a command that cannot be split: {error}", "balance the quotes")
            return None
        if not words or "\0" in scalar.text:
            self.problems.add(scalar, f"{what} has an empty command", "remove it")
            return None
        return words

    def _command(self, value: Value | None, what: str) -> tuple[str, ...]:
        scalar = self.text(value, what)
        return (self._words(scalar, what) or ()) if scalar else ()

    def _capabilities(self, value: Value | None) -> list[str]:
        found: list[str] = []
        for scalar in self.texts(value, "cap-add"):
            name = scalar.text.upper().removeprefix("CAP_")
            if name in CAPABILITIES:
                found.append(f"CAP_{name}")
            else:
                remedy = suggest(name.lower(), [c.lower() for c in CAPABILITIES], "see capabilities(7)")
                self.problems.add(scalar, f"{describe(scalar)} is no capability", remedy)
        return found

    def _cpu(self, value: Value | None) -> float | None:
        share = self.number(value, "cpu")
        if share is not None and share < MIN_CPU and value is not None:
            self.problems.add(value, f"cpu cannot be {describe(value)}", f"write at least {MIN_CPU} of a processor")
            return None
        return share

    def _memory(self, value: Value | None) -> int | None:
        scalar = self.text(value, "memory")
        if scalar is None:
            return None
        size = octets(scalar.text)
        if size is not None and size >= MIN_MEMORY:
            return size
        self.problems.add(scalar, f"memory cannot be {describe(scalar)}", "write at least 6MiB, such as 256MiB")
        return None

    def _address(self, value: Value | None, what: str, kind: type[AnyAddress]) -> tuple[Scalar, AnyAddress] | None:
        scalar = self.text(value, what)
        if scalar is None:
            return None
        try:
            return scalar, kind(scalar.text)
        except ValueError:
            remedy = "write an address without prefix length, such as " + _EXAMPLE[what]
            self.problems.add(scalar, f"{what} cannot be {describe(scalar)}", remedy)
            return None
