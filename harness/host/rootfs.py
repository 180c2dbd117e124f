"""What a lab host's root file system is made of: one image for every kind, so that tools are the same everywhere."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.paths import REPOSITORY

HOST_IMAGE = "kernel"
DISK_SIZE = "16G"


@dataclass(frozen=True)
class Rootfs:
    """`layers`: folders of the lab host's image, topmost first; `images`: the cache of images that nodes use;
    `image`: the name of the lab host's, whose Python runs the agent; `disk`: a file of the cache that the lab's disk
    starts as, if it does not start empty.
    """

    layers: tuple[Path, ...]
    images: Path
    image: str = HOST_IMAGE
    disk: Path | None = None

    @property
    def python(self) -> str:
        return f"/opt/{self.image}/bin/python3"

    def environment(self) -> dict[str, str]:
        return {
            "LOWER": ":".join(map(str, self.layers)),
            "IMAGES": str(self.images),
            "HARNESS": str(REPOSITORY),
            "DISK_SIZE": DISK_SIZE,
            "DISK": f"images/{self.disk.relative_to(self.images)}" if self.disk else "",
        }
