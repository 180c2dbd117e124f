"""The disk that lab hosts with Docker start from: an ext4 file system that holds the daemon's data, images loaded.

Loading takes tens of seconds, so it is done once for all labs, on a lab host of its own; lab kernels read the file
where it lies and keep only what they write. A disk that holds more than is asked for serves as well; a new one starts
as the newest before it, and only what that lacks is loaded.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.build import Image, archive, digest, ensure
from harness.build.progress import Progress
from harness.build.store import Store
from harness.engine.start import START
from harness.host import LabPlace, make_host
from harness.host.lab_kernel import is_free
from harness.host.local import copy_disk
from harness.paths import labs_dir

IMAGE = "containerlab"
KIND = "docker-disk"
FORMAT = 1
LABEL = "docker disk"
KEPT = 3
_FILE = "disk.img"
_SECONDS = 600


@dataclass(frozen=True)
class Disk:
    """A finished one: what was loaded into it (image → digest)."""

    file: Path
    held: Mapping[str, str]
    made: str

    def holds(self, wanted: Mapping[str, str]) -> bool:
        return wanted.items() <= self.held.items()


def ensure_disk(images: Mapping[str, Image], kind: str, progress: Progress) -> Path:
    """The file of a disk that holds `images`, made on a lab host of `kind` when there is none.

    Raises:
        BuildError, HostError: it could not be made.
    """
    store = Store()
    # What loads it, and how the images in it start.
    host = digest.combine(FORMAT, ensure([IMAGE], progress)[IMAGE].digest, dataclasses.asdict(START))
    wanted = {image.name: image.digest for image in images.values()}
    if (found := _find(store, host, wanted)) is not None:
        return found
    with store.locked(KIND, LABEL, progress):
        return _find(store, host, wanted) or _make(store, host, images, wanted, kind, progress)


def _find(store: Store, host: str, wanted: Mapping[str, str]) -> Path | None:
    return next((disk.file for disk in _disks(store, host) if disk.holds(wanted)), None)


def _disks(store: Store, host: str) -> list[Disk]:
    """The finished ones of this kind of lab host, newest first."""
    found = []
    for file in store.folder("layers").glob(f"*/{_FILE}"):
        with contextlib.suppress(FileNotFoundError):  # it goes at this moment
            meta = json.loads(file.with_name("meta.json").read_text(encoding="utf-8"))
            if meta["host"] == host:
                found.append(Disk(file, meta["images"], meta["made"]))
    return sorted(found, key=lambda disk: disk.made, reverse=True)


def prune(store: Store) -> None:
    """Remove disks that later ones replaced; those that labs started from stay, for these keep what differs only."""
    made = sorted(store.folder("layers").glob(f"*/{_FILE}"), key=lambda file: file.stat().st_mtime, reverse=True)
    used = _used()
    for file in made[KEPT:]:
        if str(file) not in used and is_free(file):
            shutil.rmtree(file.parent)


def _used() -> set[str]:
    found = set()
    for record in labs_dir().glob("*/host.json"):
        with contextlib.suppress(FileNotFoundError, ValueError):  # the lab goes, or comes, at this moment
            found.add(str(json.loads(record.read_text()).get("disk")))
    return found


def _make(
    store: Store, host: str, images: Mapping[str, Image], wanted: Mapping[str, str], kind: str, progress: Progress
) -> Path:
    begun = time.monotonic()
    before = next(iter(_disks(store, host)), None)
    held = {**(before.held if before else {}), **wanted}
    missing = [image for image in images.values() if not before or not before.holds({image.name: image.digest})]
    key = digest.combine(KIND, host, sorted(held.items()))
    # Whoever has the lock owns this lab host; one that is there was left by a build that died.
    place = LabPlace(KIND, labs_dir() / f".{KIND}")
    machine = make_host(kind, place, IMAGE)
    machine.remove()
    place.folder.mkdir(mode=0o700, parents=True)
    try:
        if before is not None:
            copy_disk(before.file, place.folder / _FILE)
        progress.step(LABEL, f"packing {', '.join(image.name for image in missing)}")
        archive.write(missing, START, place.folder / "images.tar")
        progress.step(LABEL, "loading them into Docker")
        machine.start()
        agent = machine.agent()
        try:
            agent.call("docker.load", _SECONDS, file="/lab/images.tar")
            agent.call("docker.leave_disk", _SECONDS)
        finally:
            agent.close()
        machine.stop()
        seconds = round(time.monotonic() - begun, 1)
        with store.workspace(key) as work:
            entry = work / "entry"
            entry.mkdir()
            shutil.move(place.folder / _FILE, entry / _FILE)
            meta = {"kind": KIND, "image": IMAGE, "host": host, "images": held, "seconds": seconds}
            found = store.publish(key, entry, meta)
        prune(store)
    finally:
        machine.remove()
    progress.done(LABEL, f"{len(missing)} images loaded in {seconds:g} s")
    return found / _FILE
