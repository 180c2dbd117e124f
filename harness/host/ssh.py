"""SSH to a lab kernel: keys made for one lab, pinned both ways, one shared connection."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

from harness.wait import DeadlineError, wait_for

ALIAS = "lab"
_END_SECONDS = 2


def _key_pair(file: Path) -> str:
    """Make an OpenSSH key file unless it is there; return the public key's line."""
    public = file.with_suffix(".pub")
    if not public.is_file():
        # Imported here, because every command reads this module and only `up` makes keys.
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415
        from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415
            Encoding,
            NoEncryption,
            PrivateFormat,
            PublicFormat,
        )

        key = Ed25519PrivateKey.generate()
        file.touch(mode=0o600)
        file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
        public.write_bytes(key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH))
    return public.read_text().strip()


def prepare(folder: Path, address: str) -> Path:
    """Write the server's and the client's settings into `folder`; return the client's configuration file."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    user = _key_pair(folder / "user")
    host = _key_pair(folder / "host")
    (folder / "authorized_keys").write_text(user + "\n")
    (folder / "known_hosts").write_text(f"{address} {host}\n")
    (folder / "sshd_config").write_text(
        f"ListenAddress {address}\n"
        "HostKey /lab/ssh/host\n"
        "AuthorizedKeysFile /lab/ssh/authorized_keys\n"
        "PermitRootLogin prohibit-password\n"
        "PasswordAuthentication no\n"
        "KbdInteractiveAuthentication no\n"
        "UsePAM no\n"
        "StrictModes no\n"
        "MaxSessions 64\n"
        "MaxStartups 64\n"
    )
    # What travels to a lab kernel stays on this machine: its key exchange need not outlast quantum computers. One that
    # does takes as long as the rest of a connection.
    # A control socket's path must fit into 108 bytes, so it is relative to ssh's working directory.
    config = folder / "config"
    config.write_text(
        f"Host {ALIAS}\n"
        f"  HostName {address}\n"
        "  User root\n"
        f"  IdentityFile {folder / 'user'}\n"
        "  IdentitiesOnly yes\n"
        f"  UserKnownHostsFile {folder / 'known_hosts'}\n"
        "  StrictHostKeyChecking yes\n"
        "  KexAlgorithms curve25519-sha256\n"
        "  BatchMode yes\n"
        "  LogLevel ERROR\n"
        "  ConnectTimeout 10\n"
        "  ServerAliveInterval 15\n"
        "  ControlMaster auto\n"
        f"  ControlPath {_control_path(folder)}\n"
        "  ControlPersist 600\n"
    )
    return config


def _control_path(folder: Path) -> str:
    """Unix socket paths end at 108 bytes, and ssh adds 17 of its own while it makes one."""
    path = str(folder / "control")
    return path if len(path) < 90 else "none"


def clients(folder: Path) -> list[int]:
    """Processes that talk to the lab kernel of these settings, or try to. The shared connection calls itself after its
    socket, every other has the settings as an argument.
    """
    settings, shared = os.fsencode(folder / "config"), os.fsencode(f"ssh: {folder / 'control'} [mux]")
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            told = (entry / "cmdline").read_bytes()
            if (entry / "comm").read_text() == "ssh\n" and (settings in told.split(b"\0") or told.startswith(shared)):
                found.append(int(entry.name))
    return found


def end(folder: Path) -> None:
    """End them: what they talk to is gone, and by themselves some would notice after most of a minute."""
    # Asked first, for a terminal's sake; one that still waits for an answer does not listen.
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in clients(folder):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        with contextlib.suppress(DeadlineError):
            wait_for(f"every ssh of {folder} to end", lambda: not clients(folder), _END_SECONDS, interval=0.01)
            return
