"""The keys of a lab's ESP and IKE associations, as Wireshark reads them (tables of its configuration folder).

Those of ESP are read from the boxes' kernels (`ip xfrm state`), which show them to root only. Those of IKE nobody tells
afterwards: charon does while it is asked to (`harness.agent.ike`), when an association is made.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.host.channel import AgentError, AgentLost

if TYPE_CHECKING:
    from harness.lab.lab import Lab

_STATE = re.compile(r"^src \S+ dst \S+\n(?:\s.*\n)*", re.MULTILINE)
_SPI = re.compile(r"proto esp spi (0x[0-9a-f]+)")
_GCM = re.compile(r"aead rfc4106\(gcm\(aes\)\) (0x[0-9a-f]+) 128\b")
_IKE_LOG = "/run/ike-keys/log"
_LINE = re.compile(r"^(\d+)\[(?:IKE|MGR)\] (.*)$", re.MULTILINE)
_SECRET = re.compile(r"Sk_(ai|ei|er) secret => \d+ bytes @ .*")
_OCTETS = re.compile(r" *\d+: ((?:[0-9A-F]{2} ){1,16})")
_DONE = re.compile(r"checkin IKEv2 SA .* with SPIs ([0-9a-f]{16})_i ([0-9a-f]{16})_r")
_BITS = {20: 128, 28: 192, 36: 256}
"""By octets of a key for AES-GCM, with the four that are its salt."""
_PREFERENCES = "esp.enable_encryption_decode: TRUE"


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
    for name in _boxes(lab):
        with contextlib.suppress(AgentError):  # its power went, or it stands still
            found |= set(parse(lab[name].exec("ip", "xfrm", "state")))
    return found


@dataclass(frozen=True)
class IkeKey:
    """One IKEv2 association's: SPIs and keys of initiator and responder, in hexadecimal digits."""

    spi_i: str
    spi_r: str
    key_i: str
    key_r: str

    def row(self) -> str:
        cipher = f"AES-GCM-{_BITS[len(self.key_i) // 2]} with 16 octet ICV [RFC5282]"
        return f'{self.spi_i},{self.spi_r},{self.key_i},{self.key_r},"{cipher}",,,"NONE [RFC4306]"'


@contextlib.contextmanager
def ike_told(lab: Lab) -> Iterator[None]:
    """Boxes tell the IKE keys that they make inside the block. One that loses its power meanwhile tells none after it;
    its peers do.
    """
    boxes = _boxes(lab)
    with contextlib.ExitStack() as told:
        for box in boxes:
            lab.agent.call("ike.tell", node=box)
            told.callback(_hush, lab, box)
        yield


def _hush(lab: Lab, box: str) -> None:
    with contextlib.suppress(AgentError, AgentLost):  # without power it tells nothing; without agent, it has hushed
        lab.agent.call("ike.hush", node=box)


def _boxes(lab: Lab) -> list[str]:
    running = lab.engine.states()
    return [name for name, node in lab.topology.nodes.items() if node.personality and running[name].running]


def ike_keys(lab: Lab) -> set[IkeKey]:
    """Of all boxes with power that tell, up to now."""
    found: set[IkeKey] = set()
    for name in _boxes(lab):
        with contextlib.suppress(AgentError):
            found |= set(parse_ike(lab[name].run("cat", _IKE_LOG).stdout))
    return found


def parse_ike(said: str) -> Iterator[IkeKey]:
    """From charon's log. A thread first makes the keys, then says which association it is done with; associations with
    other ciphers than AES-GCM have keys for integrity too, and are left out.
    """
    making: dict[str, dict[str, str]] = {}
    reading: dict[str, str] = {}
    for line in _LINE.finditer(said):
        thread, text = line.groups()
        keys = making.setdefault(thread, {})
        if secret := _SECRET.fullmatch(text):
            reading[thread] = secret[1]
            keys[secret[1]] = ""
        elif (octets := _OCTETS.match(text)) and thread in reading:
            keys[reading[thread]] += octets[1].replace(" ", "").lower()
        else:
            reading.pop(thread, None)
            if done := _DONE.fullmatch(text):
                if keys.keys() == {"ei", "er"} and len(keys["ei"]) // 2 in _BITS:
                    yield IkeKey(done[1], done[2], keys["ei"], keys["er"])
                making[thread] = {}


def write(esp: Iterable[EspKey], ike: Iterable[IkeKey], folder: Path) -> None:
    """A configuration folder for Wireshark and tshark, for its owner alone."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    rows = [key.row(protocol) for key in sorted(esp, key=lambda key: key.spi) for protocol in ("IPv4", "IPv6")]
    tables = {"esp_sa": rows, "ikev2_decryption_table": sorted(key.row() for key in ike), "preferences": [_PREFERENCES]}
    for name, lines in tables.items():
        (folder / name).unlink(missing_ok=True)
        with open(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write("".join(f"{line}\n" for line in lines))
