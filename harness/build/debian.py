"""Debian packages: the first root by mmdebstrap, further layers by apt in a chroot.

Package lists and archives lie in the cache, never in a layer; sources and certificates are lent for the time of the
build. The mirror is the one that this machine's own apt uses.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness.build import chroot
from harness.build.chroot import PRIVATE, Bind, Root
from harness.build.errors import BuildError
from harness.build.store import Store

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
LISTS_FRESH_SECONDS = 6 * 3600
# Documentation is for people, who read it elsewhere; licences stay.
DPKG_OPTIONS = (
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/lintian/*",
)
# Traces of the build, and keys that must not be the same on every machine.
RUBBISH = (
    "/var/log/*.log /var/log/apt /var/log/*/*.log /var/cache/ldconfig/aux-cache /var/cache/debconf/*-old"
    " /var/lib/dpkg/*-old /var/lib/apt/extended_states.old /etc/ssh/ssh_host_* /var/lib/dbus/machine-id"
    " /etc/ssl/private/ssl-cert-snakeoil.key /etc/ssl/certs/ssl-cert-snakeoil.pem"
)


def _os_release() -> dict[str, str]:
    text = Path("/etc/os-release").read_text(encoding="utf-8")
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line)
    return {key: value.strip('"') for key, value in pairs}


def sources(suite: str) -> list[str]:
    """apt source lines for `suite` on the mirrors of this machine; empty where it has no Debian mirror (Ubuntu).

    `$ELASTICLAB_DEBIAN_MIRROR` overrides.
    """
    if chosen := os.environ.get("ELASTICLAB_DEBIAN_MIRROR"):
        return _lines(chosen, None, suite)
    release = _os_release()
    if release.get("ID") != "debian":
        return []
    wanted = "$(CREATED_BY) $(COMPONENT) $(RELEASE) $(REPO_URI)"
    listing = subprocess.run(
        ["apt-get", "indextargets", "--format", wanted], capture_output=True, text=True, check=False
    )
    codename = release.get("VERSION_CODENAME", "")
    main = security = None
    for line in listing.stdout.splitlines():
        kind, component, name, uri = [*line.split(" ", 3), "", "", "", ""][:4]
        if kind != "Packages" or component != "main" or not uri.startswith(("http:", "https:")):
            continue
        if name in (codename, "stable"):
            main = main or uri
        elif name.endswith("-security"):
            security = security or uri
    return _lines(main, security, suite) if main else []


def _lines(main: str, security: str | None, suite: str) -> list[str]:
    signed = f"[signed-by={KEYRING}]"
    lines = [
        f"deb {signed} {main.rstrip('/')} {name} main" for name in (suite, f"{suite}-updates", f"{suite}-backports")
    ]
    if security:
        lines.append(f"deb {signed} {security.rstrip('/')} {suite}-security main")
    return lines


def _proxy_options() -> list[str]:
    """The proxies that this machine's apt is configured with."""
    dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=False).stdout
    kept = []
    for line in dump.splitlines():
        key, _, value = line.partition(" ")
        if key.lower().startswith(("acquire::http::proxy", "acquire::https::proxy")):
            kept.append(f"{key}={value.rstrip(';').strip(chr(34))}")
    return [option for option in kept if not option.endswith("=")]


def bootstrap(suite: str, packages: Sequence[str], root: Path, log: Path) -> list[str]:
    """Make the first root filesystem in `root`; returns the apt sources that it came from."""
    if not KEYRING.is_file():
        raise BuildError(f"{KEYRING} is missing; run: apt-get install debian-archive-keyring")
    if shutil.which("mmdebstrap") is None:
        raise BuildError("mmdebstrap is missing; run: apt-get install mmdebstrap")
    argv = ["mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory", f"--keyring={KEYRING}"]
    argv += [f"--dpkgopt={option}" for option in DPKG_OPTIONS]
    argv += [f"--aptopt={option.replace('=', ' ' + chr(34), 1)}{chr(34)}" for option in _proxy_options()]
    argv += [f"--include={','.join(packages)}"] if packages else []
    argv += [suite, str(root), *sources(suite)]
    environment = {**os.environ, "PATH": chroot.PATH, "LC_ALL": "C.UTF-8"}
    chroot.run_logged(chroot.isolated(argv), environment, log, f"mmdebstrap {suite}")
    listed = root / "etc/apt/sources.list"
    used = (
        [line for line in listed.read_text(encoding="utf-8").splitlines() if line.startswith("deb ")]
        if listed.exists()
        else []
    )
    _finish_bootstrap(root)
    return used or sources(suite)


def _finish_bootstrap(root: Path) -> None:
    """What stays of apt's and the machine's settings: nothing; and mount points that read-only users need."""
    for path in ("etc/apt/sources.list", "etc/machine-id", "etc/resolv.conf", "etc/hostname"):
        (root / path).unlink(missing_ok=True)
    for path in ("etc/apt/sources.list", "etc/machine-id", "etc/resolv.conf"):
        (root / path).touch(0o644)
    for folder in ("var/lib/apt/lists", "var/cache/apt", "var/log"):
        shutil.rmtree(root / folder, ignore_errors=True)
        (root / folder).mkdir()
    (root / "etc/apt/apt.conf.d/99mmdebstrap").unlink(missing_ok=True)
    for pattern in ("var/lib/dpkg/*-old", "var/cache/debconf/*-old", "var/cache/ldconfig/aux-cache"):
        for stale in root.glob(pattern):
            stale.unlink()
    root.chmod(0o755)


def network_binds() -> tuple[Bind, ...]:
    """Name resolution and certificates of this machine, for the time of a build."""
    binds = [Bind(Path("/etc/resolv.conf").resolve(), "/etc/resolv.conf")]
    bundle = Path(os.environ.get("SSL_CERT_FILE") or CERTIFICATES)
    if bundle.is_file():
        binds.append(Bind(bundle.resolve(), f"{PRIVATE}/certificates.pem"))
    return tuple(bind for bind in binds if bind.source.is_file())


def network_env() -> dict[str, str]:
    bundle = f"{PRIVATE}/certificates.pem"
    names = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "CURL_CA_BUNDLE")
    return dict.fromkeys(names, bundle)


class Apt:
    """apt-get in a chroot, with lists and archives of the cache."""

    def __init__(self, store: Store, lines: Sequence[str], work: Path, log: Path) -> None:
        if not lines:
            raise BuildError("no Debian mirror is known; set ELASTICLAB_DEBIAN_MIRROR to the address of one")
        self.store = store
        self.work = work
        self.log = log
        self.sources = work / "sources.list"
        self.sources.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def prepared(self, root: Root) -> Root:
        binds = (
            *root.binds,
            *network_binds(),
            Bind(self.sources, f"{PRIVATE}/sources.list"),
            Bind(self.store.folder("apt", "lists"), "/var/lib/apt/lists", writable=True),
            Bind(self.store.folder("apt", "cache"), "/var/cache/apt", writable=True),
        )
        environment = {"DEBIAN_FRONTEND": "noninteractive", "DEBCONF_NOWARNINGS": "yes", **network_env()}
        return replace(root, binds=binds, env={**environment, **root.env})

    def _options(self) -> list[str]:
        options = [f"Dir::Etc::SourceList={PRIVATE}/sources.list", "Dir::Etc::SourceParts=/dev/null"]
        options += [f"Acquire::https::CAInfo={PRIVATE}/certificates.pem", "Acquire::Retries=3", *_proxy_options()]
        options += ["Dpkg::Options::=--force-confold", "APT::Sandbox::User=root", "Dpkg::Use-Pty=0"]
        options += ["APT::Keep-Downloaded-Packages=true", "Acquire::Languages=none"]
        return [part for option in options for part in ("-o", option)]

    def script(self, arguments: str) -> str:
        """A shell command: `apt-get ARGUMENTS`, after a refresh of the lists when they are old or do not fit."""
        apt = f"apt-get {shlex.join(self._options())}"
        refresh = f"{apt} -q update && cp {PRIVATE}/sources.list /var/lib/apt/lists/.elasticlab-sources"
        stamp = "/var/lib/apt/lists/.elasticlab-sources"
        age = f"$(($(date +%s) - $(stat -c %Y {stamp})))"
        fresh = f"cmp -s {PRIVATE}/sources.list {stamp} && [ {age} -lt {LISTS_FRESH_SECONDS} ]"
        act = f"{apt} -q -y {arguments}"
        return f"({fresh} || ({refresh})) && ({act} || ({refresh} && {act}))"

    def install(self, root: Root, packages: Sequence[str], what: str) -> None:
        """Install into `root.upper` without recommendations, and wipe what a build leaves."""
        act = self.script(f"install --no-install-recommends {shlex.join(packages)}")
        # Programs with alternatives have manuals with alternatives. We leave manuals out, and update-alternatives fails
        # without their folder.
        self.run(root, f"set -e; mkdir -p /usr/share/man/man1; {act}; rm -rf {RUBBISH}; : > /etc/machine-id", what)

    def run(self, root: Root, script: str, what: str) -> None:
        begun = self.work / f"mounts-{time.monotonic_ns()}"
        begun.mkdir()
        prepared = self.prepared(root)
        argv = chroot.command(prepared, begun, ["sh", "-c", script])
        chroot.run_logged(argv, prepared.environment(), self.log, what)
        if root.upper is not None:  # overlayfs' own folder, which lies beside the layer, must not become part of it
            shutil.rmtree(root.upper.with_name(f"{root.upper.name}.work"), ignore_errors=True)
