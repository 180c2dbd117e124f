"""What both kinds of lab host on this machine do alike: slot, keeper, waiting, and proving the end."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from abc import ABC, abstractmethod
from dataclasses import replace
from pathlib import Path

from harness.host import cable, keeper, slot
from harness.host.base import HostError, LabPlace
from harness.host.channel import Agent
from harness.host.rootfs import Rootfs
from harness.host.slot import Slot
from harness.paths import REPOSITORY
from harness.wait import DeadlineError, wait_for

READY_SECONDS = 20
_VANISH_SECONDS = 3
_DISK_SECONDS = 20
DISK = "disk.img"
DIFFERENCES = "disk.cow"
"""In a lab's folder: what its disk has other than the one that it started as (see `keeper.sh`)."""


class KeptHost(ABC):
    """A lab host that is a keeper process on this machine; `lab-kernel` and `local` differ in how it is reached."""

    kind = ""

    def __init__(self, place: LabPlace, rootfs: Rootfs) -> None:
        self.place = place
        self.rootfs = rootfs

    @property
    def _record(self) -> Path:
        return self.place.folder / "host.json"

    @property
    def slot(self) -> Slot:
        try:
            return Slot(json.loads(self._record.read_text())["slot"])
        except (FileNotFoundError, KeyError, ValueError) as error:
            raise HostError(f"lab {self.place.name} has no lab host: it was never started") from error

    def running(self) -> bool:
        return keeper.find(self.place.folder) is not None

    @property
    def _starting(self) -> Path:
        """There as long as a start is not through: it may have been killed."""
        return self.place.folder / "host.starting"

    def start(self) -> None:
        if self.running():
            if not self._starting.exists():
                return
            self.stop()  # nothing is on it yet, and nobody waited until it can be reached
        self.place.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.rootfs = replace(self.rootfs, disk=self.first_disk())
        taken, holder = slot.take()
        with contextlib.ExitStack() as ours:
            ours.callback(holder.close)
            disk = str(self.rootfs.disk) if self.rootfs.disk else None
            known = {"kind": self.kind, "slot": taken.index, "image": self.rootfs.image, "disk": disk}
            self._write(known)
            self._starting.touch()
            # A host that was killed lets go of its disk a moment later; two at once would break it.
            wait_for(f"the last host of {self.place.name} to leave its disk", self.disk_is_free, _DISK_SECONDS)
            (self.place.folder / "host.ready").unlink(missing_ok=True)
            self.place.log.unlink(missing_ok=True)
            inherited = self._prepare(taken)
            for handle in inherited:
                ours.callback(os.close, handle)
            environment = {**self._environment(taken), "HANDLES": " ".join(map(str, inherited))}
            process = keeper.spawn(self.place, self._namespaces(), environment, [holder.fileno(), *inherited])
        try:
            boot = f"lab host of {self.place.name} to boot"
            wait_for(boot, lambda: self._booted(process), READY_SECONDS, interval=0.005)
            self._connect(taken)
            self._starting.unlink()
        except (DeadlineError, HostError) as error:
            self.stop()
            raise HostError(f"the lab host of {self.place.name} did not come up: {error}\n{self._said()}") from error

    def _write(self, known: dict[str, object]) -> None:
        """Whole or not at all: whoever starts it may be killed here."""
        fresh = self._record.with_suffix(".new")
        fresh.write_text(json.dumps(known))
        fresh.rename(self._record)

    def first_disk(self) -> Path | None:
        """What the lab's disk starts as; once it keeps only what differs from that, it stays with it."""
        if not (self.place.folder / DIFFERENCES).exists():
            return self.rootfs.disk
        first = Path(json.loads(self._record.read_text())["disk"])
        if not first.is_file():
            raise HostError(
                f"the disk of lab {self.place.name} needs {first}, which is gone from the cache; "
                f"end the lab with `labctl down {self.place.name}`"
            )
        return first

    def _booted(self, process: subprocess.Popen[bytes]) -> bool:
        if process.poll() is not None:
            raise HostError("it ended while it booted")
        return (self.place.folder / "host.ready").exists()

    def _said(self) -> str:
        lines = self.place.log.read_text(errors="replace").splitlines() if self.place.log.exists() else []
        return "\n".join([f"last lines of {self.place.log}:", *lines[-15:]])

    @abstractmethod
    def agent(self) -> Agent: ...

    @abstractmethod
    def command(self, *argv: str, terminal: bool = False) -> list[str]: ...

    def _environment(self, taken: Slot) -> dict[str, str]:
        return {"KIND": self.kind, **self.rootfs.environment()}

    @abstractmethod
    def _prepare(self, taken: Slot) -> list[int]:
        """Make what has to be there before the keeper starts; the open files that the keeper shall have."""

    def _namespaces(self) -> list[str]:
        return []

    @abstractmethod
    def disk_is_free(self) -> bool:
        """Whether nobody writes to the lab's disk, as a host does that is not dead yet."""

    @abstractmethod
    def _connect(self, taken: Slot) -> None:
        """Make the management network reach the lab host."""

    def stop(self) -> None:
        # The cable goes first, while the slot is still this lab's: afterwards the name may be another's.
        if self.running() and self._record.exists():
            cable.remove(self.slot.device)
        keeper.kill(self.place.folder)

    def remove(self) -> None:
        """Stop it and remove its folder."""
        self.stop()
        shutil.rmtree(self.place.folder, ignore_errors=True)

    def seen(self, path: Path) -> str:
        """A path of this machine as the lab host has it: the lab's folder, the images, the repository."""
        known = {self.place.folder: "/lab", self.rootfs.images: "/images", REPOSITORY: "/opt/elasticlab"}
        for here, there in known.items():
            if path.is_relative_to(here):
                return str(Path(there) / path.relative_to(here))
        raise HostError(
            f"{path} is not seen by the lab host, which has only the repository, the images and the lab's own folder; "
            "copy it beside the topology file"
        )

    def leftovers(self) -> list[str]:
        """The kernel takes namespaces, mounts and loop devices apart some moments after their last process."""
        with contextlib.suppress(DeadlineError):
            wait_for("nothing to be left", lambda: not self._left(), _VANISH_SECONDS)
        return self._left()

    def _left(self) -> list[str]:
        found = []
        if self.running():
            found.append(f"lab host process {keeper.find(self.place.folder)}")
        if self._record.exists() and slot.abandoned(self.slot):
            found.append(f"interface {self.slot.device}")
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            if str(self.place.folder) in line:
                found.append(f"mount {line.split()[4]}")
        found += [f"loop device {name}" for name in self._loops()]
        return found

    def _loops(self) -> list[str]:
        """Loop devices over the lab's disk. Not by its path: the kernel tells that as the lab host has it."""
        disk = self.place.folder / DISK
        if not disk.exists():
            return []
        argv = ["losetup", "--associated", str(disk), "--output", "NAME", "--noheadings"]
        done = subprocess.run(argv, capture_output=True, text=True, check=True)
        return [Path(name).name for name in done.stdout.split()]
