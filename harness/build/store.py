"""The cache: finished entries by content digest, built aside, made durable, renamed into place.

`$ELASTICLAB_CACHE`, else `$XDG_CACHE_HOME/elasticlab`, else `~/.cache/elasticlab`:
`layers/DIGEST/{root,meta.json}`, `tmp/DIGEST.XXXX` (being built), `locks/`, `logs/`, `apt/`, `uv/`.
Whoever holds the lock of a digest owns its folders in `tmp/`: the kernel drops the lock with its holder, so what lies
there without one was left by a build that died.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from harness.build.errors import BuildError
from harness.build.progress import Progress


def cache_dir() -> Path:
    """Where images live, outside of the repository."""
    if chosen := os.environ.get("ELASTICLAB_CACHE"):
        return Path(chosen).absolute()
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".cache") / "elasticlab"


class Store:
    """Entries, locks and logs below one folder."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or cache_dir()
        if any(character in str(self.root) for character in ":,\\\n"):
            raise BuildError(
                f"the cache {self.root} has a ':' or ',' in its path; set ELASTICLAB_CACHE to another folder"
            )

    def folder(self, *names: str) -> Path:
        """A folder of the cache, made when missing."""
        path = self.root.joinpath(*names)
        path.mkdir(parents=True, exist_ok=True)
        return path

    def lookup(self, digest: str) -> Path | None:
        """The finished entry, or None."""
        path = self.root / "layers" / digest
        return path if path.is_dir() else None

    def meta(self, digest: str) -> dict[str, object]:
        """What was recorded about a finished entry."""
        found = json.loads((self.root / "layers" / digest / "meta.json").read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise BuildError(f"{self.root}/layers/{digest}/meta.json is damaged; remove that folder and repeat")
        return found

    def log(self, label: str, digest: str) -> Path:
        return self.folder("logs") / f"{label.replace(' ', '-')}-{digest[:12]}.log"

    @contextmanager
    def locked(self, key: str, label: str, progress: Progress) -> Iterator[None]:
        """Hold the lock `key`; say so when another process has it."""
        path = self.folder("locks") / f"{key}.lock"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip() or "?"
                other = "another step of this build" if holder == str(os.getpid()) else f"process {holder}"
                progress.step(label, f"waiting for {other}, which is at it already")
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def workspace(self, digest: str) -> Iterator[Path]:
        """An empty folder to build `digest` in; removed afterwards whatever happens. Hold the lock of `digest`."""
        self._sweep(digest)
        path = Path(tempfile.mkdtemp(prefix=f"{digest}.", dir=self.folder("tmp")))
        path.chmod(0o755)
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def publish(self, digest: str, entry: Path, meta: Mapping[str, object]) -> Path:
        """Make `entry` durable and put it in its place in one step."""
        record = {**meta, "digest": digest, "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
        (entry / "meta.json").write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        entry.chmod(0o755)
        subprocess.run(["sync", "--file-system", str(entry)], check=True)
        target = self.folder("layers") / digest
        entry.rename(target)
        parent = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(parent)
        finally:
            os.close(parent)
        return target

    def _sweep(self, digest: str) -> int:
        count = 0
        for stale in self.folder("tmp").glob(f"{digest}.*"):
            shutil.rmtree(stale, ignore_errors=True)
            count += 1
        return count

    def prune(self) -> int:
        """Remove what builds left behind that were killed; builds under way keep theirs. Returns how many went."""
        count = 0
        for digest in {path.name.split(".", 1)[0] for path in self.folder("tmp").iterdir()}:
            path = self.folder("locks") / f"{digest}.lock"
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                count += self._sweep(digest)
            except BlockingIOError:
                continue
            finally:
                os.close(descriptor)
        return count
