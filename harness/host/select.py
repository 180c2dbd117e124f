"""Which kind of lab host a topology gets: this machine's own kernel if it can do what is needed, else a lab kernel."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from harness import build
from harness.build.store import cache_dir
from harness.host import keeper, ssh
from harness.host.base import HostError, LabPlace
from harness.host.common import KeptHost
from harness.host.lab_kernel import SETTINGS, LabKernel
from harness.host.local import Local
from harness.host.rootfs import HOST_IMAGE, Rootfs

HOST_KINDS = ("local", "lab-kernel")
# Every lab needs these of its kernel, whatever the topology asks for.
ALWAYS = frozenset({"bridge", "mirred", "overlayfs"})


def rootfs(image: str, disk: Path | None) -> Rootfs:
    return Rootfs(build.ensure([image])[image].layers, cache_dir() / "layers", image, disk)


def make_host(
    kind: str, place: LabPlace, image: str = HOST_IMAGE, disk: Path | None = None, nodes: int = 0
) -> KeptHost:
    """A lab host of some kind; `image` is its own root file system, `disk` what its disk starts as (else empty). A
    kernel of its own that is started gets memory for so many `nodes`.
    """
    if kind == "local":
        return Local(place, rootfs(image, disk))
    if kind == "lab-kernel":
        return LabKernel(place, rootfs(image, disk), build.kernel(), nodes)
    raise HostError(f"there is no kind of lab host {kind!r}; choose one of {', '.join(HOST_KINDS)}")


def open_host(place: LabPlace) -> KeptHost:
    """The host that a lab was started on, running or not."""
    try:
        known = json.loads((place.folder / "host.json").read_text())
        return make_host(known["kind"], place, known["image"])
    except (FileNotFoundError, KeyError, ValueError) as error:
        raise HostError(f"lab {place.name} has no lab host: it was never started") from error


def end_unknown(place: LabPlace) -> None:
    """End the host of a lab, of whatever kind, that nobody has written down: who started it was killed before."""
    keeper.kill(place.folder)
    ssh.end(place.folder / SETTINGS)


def lacking(capabilities: dict[str, str], required: Iterable[str]) -> dict[str, str]:
    """What of `required` a kernel cannot do, with its reasons (see `harness.agent.probe`)."""
    needed = ALWAYS | set(required)
    return {name: capabilities.get(name, "not probed") or "" for name in sorted(needed) if capabilities.get(name, "-")}


def choose(required: Iterable[str], capabilities: dict[str, str]) -> tuple[str, str]:
    """Kind of host for a topology and the reason, given what this machine's kernel can do."""
    missing = lacking(capabilities, required)
    if missing:
        return "lab-kernel", f"this machine's kernel lacks {', '.join(missing)}"
    return "local", "this machine's kernel can do all that the topology needs"
