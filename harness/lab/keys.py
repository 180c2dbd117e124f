"""The keys of a lab's ESP associations, as Wireshark reads them (table `esp_sa` of its configuration folder).

They are read from the boxes' kernels (`ip xfrm state`), which shows them to root only.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.host.channel import AgentError

if TYPE_CHECKING:
    from harness.lab.lab import Lab

_STATE = re.compile(r"^src \S+ dst \S+\n(?:\s.*\n)*", re.MULTILINE)
_SPI = re.compile(r"proto esp spi (0x[0-9a-f]+)")
_GCM = re.compile(r"aead rfc4106\(gcm\(aes\)\) (0x[0-9a-f]+) 128\b")
_PREFERENCES = "esp.enable_encryption_decode: TRUE\n"


@dataclass(frozen=True)
class EspKey:
    """One association's; a NAT changes addresses on the way, so it is known by its SPI alone."""

    spi: str
    key: str

    def row(self, protocol: str) -> str:
        cells = [
            protocol,
            "*",
            "*",
            self.spi,
            "AES-GCM with 16 octet ICV [RFC4106]",
            self.key,
            "NULL",
            "",
            "32-bit",
            "",
        ]
        return ",".join(f'"{cell}"' for cell in cells)


def parse(said: str) -> Iterator[EspKey]:
    """From what `ip xfrm state` says; associations with other ciphers than AES-GCM are left out."""
    for state in _STATE.findall(said + "\n"):
        spi, key = _SPI.search(state), _GCM.search(state)
        if spi and key:
            yield EspKey(spi[1], key[1])


def esp_keys(lab: Lab) -> set[EspKey]:
    """Of all boxes with power, now."""
    found: set[EspKey] = set()
    running = lab.engine.states()
    for name, node in lab.topology.nodes.items():
        if node.personality and running[name].running:
            try:
                found |= set(parse(lab[name].exec("ip", "xfrm", "state")))
            except AgentError:  # its power went, or it stands still
                continue
    return found


def write(keys: Iterable[EspKey], folder: Path) -> None:
    """A configuration folder for Wireshark and tshark, for its owner alone."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    rows = [key.row(protocol) for key in sorted(keys, key=lambda key: key.spi) for protocol in ("IPv4", "IPv6")]
    for name, content in (("esp_sa", "".join(f"{row}\n" for row in rows)), ("preferences", _PREFERENCES)):
        (folder / name).unlink(missing_ok=True)
        with open(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(content)
