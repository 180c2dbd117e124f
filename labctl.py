#!/usr/bin/python3
"""elasticlab's command line: prepares the machine and its own environment, then hands over to `harness.cli`.

Standard library only, for it runs before anything else is there. What it makes sure of, in this order: a supported
machine, the Debian packages that the harness calls, `uv` (pinned by hash, in the cache), and `.venv` out of `uv.lock`.
When all is in place this takes a few milliseconds. It can be interrupted, repeated, and started twice at once.
"""

# Imports in functions, and os.path: pathlib and what only a first start needs would take longer than all else here.

from __future__ import annotations

import hashlib
import os
import sys

REPOSITORY = os.path.dirname(os.path.abspath(__file__))
PYTHON_AT_LEAST = (3, 11)
UV_VERSION = "0.13.8"
UV_SHA256 = "e18a57b8b352eb7c8feb317b9f6f533c8f0ad9673fd6cf34bbe3cf1a9f6a8984"
SUPPORTED = "Debian 12 or 13, or Ubuntu 24.04 or later, on x86-64"
COMMAND_FOLDERS = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
# What the harness calls on the machine itself → the Debian package that brings it.
COMMANDS = {
    "crun": "crun",
    "ip": "iproute2",
    "mkfs.ext4": "e2fsprogs",
    "mmdebstrap": "mmdebstrap",
    "mount": "mount",
    "ssh": "openssh-client",
    "tcpdump": "tcpdump",
    "unshare": "util-linux",
}
FILES = {
    "/etc/ssl/certs/ca-certificates.crt": "ca-certificates",
    "/usr/lib/x86_64-linux-gnu/libatomic.so.1": "libatomic1",  # Node.js, which drives the browser of the portal's tests
    "/usr/share/keyrings/debian-archive-keyring.gpg": "debian-archive-keyring",
}
WITHOUT_ROOT = ("validate", "completion", "spec", "--help", "-h", "--version")


class Refusal(Exception):
    """The machine cannot be used as it is; the message says why and what to do."""


def say(text: str) -> None:
    print(f"labctl: {text}", file=sys.stderr, flush=True)


def cache_dir() -> str:
    """The same folder as `harness.build.store.cache_dir`."""
    chosen = os.environ.get("ELASTICLAB_CACHE")
    if chosen:
        return os.path.abspath(chosen)
    base = os.environ.get("XDG_CACHE_HOME", "")
    return os.path.join(base if base.startswith("/") else os.path.expanduser("~/.cache"), "elasticlab")


def read_os_release(path: str) -> dict[str, str]:
    try:
        with open(path, encoding="utf-8") as stream:
            pairs = [line.strip().split("=", 1) for line in stream if "=" in line]
    except OSError:
        return {}
    return {key: value.strip("\"'") for key, value in pairs}


def check_python(version: tuple[int, ...]) -> None:
    if version < PYTHON_AT_LEAST:
        found, needed = ".".join(map(str, version[:3])), ".".join(map(str, PYTHON_AT_LEAST))
        raise Refusal(
            f"Python {found} is too old; start labctl.py with Python {needed} or later: /usr/bin/python3 labctl.py"
        )


def check_system(release: dict[str, str], machine: str) -> None:
    name = release.get("PRETTY_NAME") or release.get("ID") or "this system"
    digits = (release.get("VERSION_ID") or "0").split(".")
    version = tuple(int(part) if part.isdigit() else 0 for part in digits)
    supported = {"debian": version[:1] in ((12,), (13,)), "ubuntu": version >= (24, 4)}.get(
        release.get("ID", ""), False
    )
    if not supported:
        raise Refusal(f"{name} is not supported; use {SUPPORTED} (a virtual machine or a chroot of one will do)")
    if machine != "x86_64":
        raise Refusal(f"this machine's processor is {machine}; use {SUPPORTED}")


def check_root(euid: int, arguments: list[str]) -> None:
    harmless = not arguments or arguments[0] in WITHOUT_ROOT or "--help" in arguments
    if euid != 0 and not harmless:
        raise Refusal(
            f"`{arguments[0]}` works on network namespaces and mounts and needs root; repeat as root: su, or sudo"
        )


def has_command(name: str) -> bool:
    return any(os.access(f"{folder}/{name}", os.X_OK) for folder in COMMAND_FOLDERS)


def missing_packages() -> list[str]:
    """Debian packages to install; those that other means have provided are not asked for."""
    missing = [package for name, package in COMMANDS.items() if not has_command(name)]
    missing += [package for path, package in FILES.items() if not os.path.exists(path)]
    return missing


def run(command: list[str], log: str, environment: dict[str, str], what: str) -> None:
    """Run with all output in `log`; a failure shows its end."""
    import subprocess

    os.makedirs(os.path.dirname(log), exist_ok=True)
    with open(log, "ab") as stream:
        start = stream.tell()
        code = subprocess.call(command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, env=environment)
    if code != 0:
        with open(log, "rb") as stream:
            stream.seek(start)
            tail = stream.read().decode(errors="replace").strip().splitlines()[-8:]
        raise Refusal("\n  ".join([f"{what} failed (exit status {code}):", *tail]) + f"\nthe whole log: {log}")


def install_packages(packages: list[str]) -> None:
    if os.geteuid() != 0:
        raise Refusal(f"Debian packages are missing; install them as root: apt-get install {' '.join(packages)}")
    say(f"installing Debian packages: {' '.join(packages)}")
    log = os.path.join(cache_dir(), "logs", "labctl-apt.log")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    environment["PATH"] = os.environ.get("PATH", "") + ":" + ":".join(COMMAND_FOLDERS)
    apt = ["apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=300"]
    run(["dpkg", "--configure", "-a"], log, environment, "dpkg --configure -a")  # an interrupted run's remains
    run([*apt, "update"], log, environment, "apt-get update")
    run([*apt, "install", "--no-install-recommends", *packages], log, environment, "apt-get install")


def uv_path() -> str:
    return os.path.join(cache_dir(), "uv", f"{UV_VERSION}-{UV_SHA256[:8]}", "bin", "uv")


def index_address() -> str:
    """The package index: the one that pip or uv is told to use, else the one that uv.lock was made from."""
    for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"):
        if os.environ.get(name):
            return os.environ[name].rstrip("/")
    with open(os.path.join(REPOSITORY, "uv.lock"), encoding="utf-8") as stream:
        for line in stream:
            if line.startswith('source = { registry = "'):
                return line.split('"')[1].rstrip("/")
    raise Refusal("uv.lock names no package index; restore it from the repository")


def download(address: str, accept: str) -> bytes:
    import ssl
    import urllib.request

    bundle = os.environ.get("SSL_CERT_FILE") or next(iter(FILES))
    context = ssl.create_default_context(cafile=bundle)
    request = urllib.request.Request(address, headers={"Accept": accept, "User-Agent": "elasticlab-labctl"})  # noqa: S310
    with urllib.request.urlopen(request, context=context, timeout=120) as answer:  # noqa: S310 (https, or as the user set)
        content: bytes = answer.read()
    return content


def fetch_uv() -> bytes:
    """The program out of uv's wheel, whose hash is pinned above.

    Neither pip nor venv: Debian's python3-venv would bring ca-certificates, which rewrites the machine's certificates.
    """
    import io
    import re
    import urllib.parse
    import zipfile

    page = f"{index_address()}/uv/"
    listing = download(page, "text/html").decode("utf-8")
    link = re.search(rf'href="([^"#]+)#sha256={UV_SHA256}"', listing)
    if link is None:
        raise Refusal(f"{page} has no uv {UV_VERSION} with the pinned hash; set UV_DEFAULT_INDEX to an index that has")
    wheel = download(urllib.parse.urljoin(page, link[1]), "*/*")
    if hashlib.sha256(wheel).hexdigest() != UV_SHA256:
        raise Refusal(f"the wheel of uv {UV_VERSION} came with a wrong hash; something on the way has changed it")
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        return archive.read(f"uv-{UV_VERSION}.data/scripts/uv")


def install_uv() -> None:
    """Put uv in its place in the cache when it is whole."""
    say(f"fetching uv {UV_VERSION}")
    target = uv_path()
    os.makedirs(os.path.dirname(target), exist_ok=True)
    new = f"{target}.new"  # the one writer holds labctl's lock
    with open(new, "wb") as stream:
        stream.write(fetch_uv())
        os.fchmod(stream.fileno(), 0o755)
        os.fsync(stream.fileno())
    os.replace(new, target)


def environment_digest() -> str:
    """What `.venv` depends on: the lock, the project files, uv, and the interpreter that it was made with."""
    total = hashlib.sha256(f"2 {UV_VERSION} {os.path.realpath(venv_python())}".encode())
    with open(os.path.join(REPOSITORY, "uv.lock"), "rb") as stream:
        lock = stream.read()
    total.update(lock)
    mark = b'source = { editable = "'
    for line in lock.splitlines():
        if line.startswith(mark):
            member = line[len(mark) :].split(b'"', 1)[0].decode()
            with open(os.path.join(REPOSITORY, member, "pyproject.toml"), "rb") as stream:
                total.update(stream.read())
    return total.hexdigest()


def venv_python() -> str:
    return os.path.join(REPOSITORY, ".venv", "bin", "python")


def stamp_path() -> str:
    return os.path.join(REPOSITORY, ".venv", "elasticlab-stamp")


def environment_ready() -> bool:
    try:
        with open(stamp_path(), encoding="utf-8") as stream:
            return stream.read() == environment_digest() and os.access(venv_python(), os.X_OK)
    except OSError:
        return False


def make_environment() -> None:
    import contextlib

    say("making the Python environment .venv from uv.lock")
    variables = {
        key: value for key, value in os.environ.items() if key not in ("VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT")
    }
    variables.update(UV_SYSTEM_CERTS="1", UV_CACHE_DIR=os.path.join(cache_dir(), "uv", "cache"), UV_NO_PROGRESS="1")
    # Compiled here: where Python is told to write no bytecode, as in containers, every start would compile it all.
    command = [uv_path(), "sync", "--frozen", "--no-python-downloads", "--compile-bytecode", "--directory", REPOSITORY]
    if not os.access(venv_python(), os.X_OK):
        command += ["--python", sys.executable]
    log = os.path.join(cache_dir(), "logs", "labctl-uv.log")
    run(command, log, variables, "uv sync")
    ours = [os.path.join(REPOSITORY, folder) for folder in ("harness", "kits", "perf")]
    with contextlib.suppress(Refusal):  # what cannot be compiled says so where it is imported
        run([venv_python(), "-m", "compileall", "-q", *ours], log, variables, "compiling the harness")
    temporary = f"{stamp_path()}.{os.getpid()}"
    with open(temporary, "w", encoding="utf-8") as stream:
        stream.write(environment_digest())
    os.replace(temporary, stamp_path())


def prepare() -> None:
    """Make what is missing, one process at a time."""
    import fcntl

    locks = os.path.join(cache_dir(), "locks")
    os.makedirs(locks, exist_ok=True)
    descriptor = os.open(os.path.join(locks, "labctl.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another labctl is preparing; waiting for it")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        packages = missing_packages()
        if packages:
            install_packages(packages)
        if not os.path.exists(uv_path()):
            install_uv()
        if not environment_ready():
            make_environment()
    finally:
        os.close(descriptor)


def main(arguments: list[str]) -> int:
    try:
        check_python(sys.version_info[:3])
        check_system(read_os_release("/etc/os-release"), os.uname().machine)
        check_root(os.geteuid(), arguments)
        if not environment_ready() or missing_packages():
            if "_LABCTL_COMPLETE" in os.environ:  # somebody pressed Tab: nothing is installed for that
                return 0
            prepare()
    except Refusal as refusal:
        say(str(refusal))
        return 3
    except KeyboardInterrupt:
        say("interrupted; start again to go on from here")
        return 130
    except OSError as error:
        say(f"{error}; is {cache_dir()} writable, and its disk not full? (ELASTICLAB_CACHE names another folder)")
        return 3
    # -P: a folder named like one of our packages in the current folder must not get in the way.
    return os.execv(venv_python(), [venv_python(), "-P", "-m", "harness.cli", *arguments])  # noqa: S606


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
