"""Making sure that images are there: the way in for everyone else."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.build import chroot, layers
from harness.build.plan import Layer, LockDigests, Plan, Planner
from harness.build.progress import Progress, Silent
from harness.build.store import Store
from harness.paths import REPOSITORY


@dataclass(frozen=True)
class Image:
    """A finished root filesystem: lower directories for overlayfs, topmost first."""

    name: str
    digest: str
    layers: tuple[Path, ...]


class Builder:
    """Builds what is missing of the images of one repository into one store."""

    def __init__(
        self, progress: Progress | None = None, repository: Path = REPOSITORY, store: Store | None = None
    ) -> None:
        self.progress: Progress = progress or Silent()
        self.repository = repository
        self.store = store or Store()

    def plan(self, names: Sequence[str]) -> Plan:
        locks = LockDigests(self.repository / "uv.lock", self.store.root / "locked")
        return Planner(self.repository, locks).plan(list(dict.fromkeys(names)))

    def ensure(self, names: Sequence[str]) -> dict[str, Image]:
        """All images of `names`, built where the cache has not got them."""
        plan = self.plan(names)
        missing = self._missing(plan)
        if missing:
            chroot.check_machine()
            self.store.prune()
            for layer in missing:
                self._ensure(layer)
        return {name: self._image(name, plan) for name in plan.images}

    def _missing(self, plan: Plan) -> list[Layer]:
        """Layers to build, in order; those that only build other layers count when such a layer is missing."""
        needed: dict[str, Layer] = {}

        def need(layer: Layer) -> None:
            if layer.digest in needed or self.store.lookup(layer.digest) is not None:
                return
            for other in (*reversed(layer.lower), *reversed(layer.builder)):
                need(other)
            needed[layer.digest] = layer

        for pile in plan.images.values():
            for layer in reversed(pile):
                need(layer)
        return list(needed.values())

    def _image(self, name: str, plan: Plan) -> Image:
        paths = tuple(self.store.root / "layers" / layer.digest / "root" for layer in plan.images[name])
        return Image(name, plan.digest_of(name), paths)

    def _ensure(self, layer: Layer) -> None:
        with self.store.locked(layer.digest, layer.label, self.progress):
            if self.store.lookup(layer.digest) is not None:
                self.progress.done(layer.label, "built by another process")
                return
            begun = time.monotonic()
            self.progress.step(layer.label, "building")
            log = self.store.log(layer.label, layer.digest)
            log.write_text("", encoding="utf-8")
            with self.store.workspace(layer.digest) as work:
                entry = work / "entry"
                entry.mkdir()
                recorded = self._make(layer, layers.Site(self.store, self.repository, work, log), entry / "root")
                seconds = round(time.monotonic() - begun, 1)
                self.store.publish(layer.digest, entry, {**recorded, "seconds": seconds})
            self.progress.done(layer.label, f"built in {seconds:g} s")

    def _make(self, layer: Layer, site: layers.Site, target: Path) -> dict[str, object]:
        if layer.kind != "packages":
            return layers.make(layer, site, target)
        # apt's lists and archives are one folder for all builds.
        with self.store.locked("apt", layer.label, self.progress):
            self.progress.step(layer.label, "installing Debian packages")
            return layers.make(layer, site, target)


def ensure(names: Sequence[str], progress: Progress | None = None) -> dict[str, Image]:
    """Images by name, built where they are missing or their recipe changed.

    Raises:
        RecipeError: a recipe is wrong.
        BuildError: a build failed; names step and log.
    """
    return Builder(progress).ensure(names)
