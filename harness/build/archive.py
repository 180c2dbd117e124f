"""Images as archives that foreign tools load: OCI image layout 1.1 in a tar, with the index that `docker load` wants.

Equal layers give equal bytes: names are sorted, owners are numbers, and only files keep their time stamps (byte code is
checked against them). Layers that images share are in an archive once.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from harness.build.images import Image
from harness.build.layers import EPOCH
from harness.build.overlay import is_whiteout

REGISTRY = "elasticlab"
_CAPABILITY = "security.capability"
_BLOCK = 1 << 20
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_INDEX = "application/vnd.oci.image.index.v1+json"


@dataclass(frozen=True)
class Start:
    """How a container of an image starts: `command` when nothing else is said, by `entrypoint` in any case."""

    entrypoint: Sequence[str]
    command: Sequence[str]
    env: Mapping[str, str]
    stop_signal: str = ""


@dataclass(frozen=True)
class _Blob:
    digest: str
    size: int

    @property
    def name(self) -> str:
        return f"blobs/sha256/{self.digest}"

    def descriptor(self, kind: str) -> dict[str, Any]:
        return {"mediaType": kind, "digest": f"sha256:{self.digest}", "size": self.size}


def reference(name: str) -> str:
    """What topologies call an image."""
    return f"{REGISTRY}/{name}:latest"


def write(images: Sequence[Image], start: Start, output: Path) -> dict[str, str]:
    """Write an archive of `images`; the digest of each one's manifest, by name.

    It is there whole or not at all.
    """
    fresh = output.with_name(f".{output.name}.{os.getpid()}")
    try:
        with tarfile.open(fresh, "w", format=tarfile.PAX_FORMAT) as archive:
            found = _Writer(archive, fresh.parent).write(images, start)
        fresh.replace(output)
    finally:
        fresh.unlink(missing_ok=True)
    return found


def created() -> str:
    """The date in the archive: `$SOURCE_DATE_EPOCH` (reproducible-builds.org), or always the same."""
    seconds = int(os.environ.get("SOURCE_DATE_EPOCH") or EPOCH)
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


class _Writer:
    def __init__(self, archive: tarfile.TarFile, scratch: Path) -> None:
        self._archive = archive
        self._scratch = scratch
        self._layers: dict[Path, _Blob] = {}
        self._names: set[str] = set()

    def write(self, images: Sequence[Image], start: Start) -> dict[str, str]:
        manifests: list[dict[str, Any]] = []
        loaded = []
        for image in images:
            layers = [self._layer(layer) for layer in reversed(image.layers)]
            config = self._json(_config(image, layers, start))
            manifest = self._json(
                {
                    "schemaVersion": 2,
                    "mediaType": _MANIFEST,
                    "config": config.descriptor(_CONFIG),
                    "layers": [layer.descriptor(_LAYER) for layer in layers],
                }
            )
            tags = {
                "io.containerd.image.name": f"docker.io/{reference(image.name)}",
                "org.opencontainers.image.ref.name": "latest",
            }
            manifests.append({**manifest.descriptor(_MANIFEST), "annotations": tags})
            names = [layer.name for layer in layers]
            loaded.append({"Config": config.name, "RepoTags": [reference(image.name)], "Layers": names})
        index = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": manifests}
        for name, content in (
            ("index.json", index), ("manifest.json", loaded), ("oci-layout", {"imageLayoutVersion": "1.0.0"})
        ):  # fmt: skip
            self._add(name, io.BytesIO(_encoded(content)))
        return {image.name: entry["digest"] for image, entry in zip(images, manifests, strict=True)}

    def _layer(self, root: Path) -> _Blob:
        if root not in self._layers:
            with tempfile.TemporaryFile(dir=self._scratch) as scratch:
                with tarfile.open(fileobj=scratch, mode="w", format=tarfile.PAX_FORMAT) as layer:
                    for name, path, status in _tree(root):
                        _pack(layer, name, path, status)
                self._layers[root] = self._blob(scratch)
        return self._layers[root]

    def _json(self, content: object) -> _Blob:
        return self._blob(io.BytesIO(_encoded(content)))

    def _blob(self, content: IO[bytes]) -> _Blob:
        total, size = hashlib.sha256(), content.seek(0, os.SEEK_END)
        content.seek(0)
        while block := content.read(_BLOCK):
            total.update(block)
        blob = _Blob(total.hexdigest(), size)
        self._add(blob.name, content)
        return blob

    def _add(self, name: str, content: IO[bytes]) -> None:
        if name not in self._names:
            self._names.add(name)
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime = content.seek(0, os.SEEK_END), EPOCH
            content.seek(0)
            self._archive.addfile(entry, content)


def _encoded(content: object) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def _config(image: Image, layers: Sequence[_Blob], start: Start) -> dict[str, Any]:
    run: dict[str, Any] = {
        "Entrypoint": list(start.entrypoint),
        "Cmd": list(start.command),
        "Env": [f"{key}={value}" for key, value in start.env.items()],
        "WorkingDir": "/",
        "Labels": {"org.opencontainers.image.title": image.name, "elasticlab.digest": image.digest},
    }
    if start.stop_signal:
        run["StopSignal"] = start.stop_signal
    return {
        "architecture": "amd64",
        "os": "linux",
        "created": created(),
        "config": run,
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer.digest}" for layer in layers]},
        "history": [{"created": created(), "created_by": "elasticlab", "comment": layer.digest} for layer in layers],
    }


def _tree(root: Path, prefix: str = "") -> Iterator[tuple[str, Path, os.stat_result]]:
    """All below `root` by name, folders before what is in them."""
    with os.scandir(root) as items:
        entries = sorted(items, key=lambda item: item.name)
    for item in entries:
        status = item.stat(follow_symlinks=False)
        yield prefix + item.name, Path(item.path), status
        if stat.S_ISDIR(status.st_mode):
            yield from _tree(Path(item.path), f"{prefix}{item.name}/")


def _pack(layer: tarfile.TarFile, name: str, path: Path, status: os.stat_result) -> None:
    if is_whiteout(status):
        folder, _, hidden = name.rpartition("/")
        entry = tarfile.TarInfo(f"{folder}/.wh.{hidden}" if folder else f".wh.{hidden}")
        entry.mtime = EPOCH
        layer.addfile(entry)
        return
    entry = layer.gettarinfo(path, arcname=name)
    entry.uname = entry.gname = ""
    entry.mtime = int(status.st_mtime) if stat.S_ISREG(status.st_mode) else EPOCH
    if not entry.isreg():
        layer.addfile(entry)
        return
    if _CAPABILITY in os.listxattr(path, follow_symlinks=False):
        raw = os.getxattr(path, _CAPABILITY, follow_symlinks=False)
        entry.pax_headers = {f"SCHILY.xattr.{_CAPABILITY}": raw.decode("utf-8", "surrogateescape")}
    with path.open("rb") as content:
        layer.addfile(entry, content)
