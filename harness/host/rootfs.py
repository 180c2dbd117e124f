"""What a lab host's root file system is made of: one image for every kind, so that tools are the same everywhere."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.paths import REPOSITORY

PYTHON = "/opt/kernel/bin/python3"
DISK_SIZE = "16G"


@dataclass(frozen=True)
class Rootfs:
    """`layers`: folders of the lab host's image, topmost first; `images`: the cache of images that nodes use."""

    layers: tuple[Path, ...]
    images: Path

    def environment(self) -> dict[str, str]:
        return {
            "LOWER": ":".join(map(str, self.layers)),
            "IMAGES": str(self.images),
            "HARNESS": str(REPOSITORY),
            "DISK_SIZE": DISK_SIZE,
        }
