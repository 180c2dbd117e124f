"""Layers must mean the same where extended attributes are not seen (hostfs in the lab kernel).

overlayfs marks a folder that replaces one of a lower layer with `trusted.overlay.opaque`; without it the old content
would shine through. Such folders are rewritten with plain whiteouts (character device 0:0), which every kernel
understands; whatever else would be needed to read the layer is refused.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from harness.build.errors import BuildError

PREFIXES = ("trusted.overlay.", "user.overlay.")
HARMLESS = frozenset({"origin", "impure", "nlink", "upper", "uuid", "protattr"})


def is_whiteout(status: os.stat_result) -> bool:
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def merged_names(lowers: tuple[Path, ...], relative: Path) -> set[str]:
    """Names that the lower layers (topmost first) show together in folder `relative`."""
    names: set[str] = set()
    hidden: set[str] = set()
    for lower in lowers:
        folder = lower / relative
        if folder.is_symlink() or not folder.is_dir():
            if folder.exists() or folder.is_symlink():
                break  # a file here hides all below
            continue
        for item in os.scandir(folder):
            if is_whiteout(item.stat(follow_symlinks=False)):
                hidden.add(item.name)
            elif item.name not in hidden:
                names.add(item.name)
        hidden |= names
    return names


def normalise(upper: Path, lowers: tuple[Path, ...]) -> int:
    """Free a fresh upper layer of overlayfs' attributes; returns how many folders were opaque.

    Raises:
        BuildError: the layer holds a redirect or metacopy, whose content lies elsewhere.
    """
    opaque = 0
    for folder, folders, files in os.walk(upper):
        for name in ("", *folders, *files):
            path = Path(folder, name)
            if name and path.is_dir() and not path.is_symlink():
                continue  # comes as a folder of its own
            opaque += _plain(path, upper, lowers)
    return opaque


def _plain(path: Path, upper: Path, lowers: tuple[Path, ...]) -> int:
    found = 0
    for attribute in os.listxattr(path, follow_symlinks=False):
        prefix = next((known for known in PREFIXES if attribute.startswith(known)), None)
        if prefix is None:
            continue
        kind = attribute.removeprefix(prefix)
        if kind == "opaque":
            relative = path.relative_to(upper)
            for name in merged_names(lowers, relative) - set(os.listdir(path)):
                os.mknod(path / name, stat.S_IFCHR | 0o000, 0)
            found = 1
        elif kind not in HARMLESS:
            raise BuildError(f"layer file {path} carries {attribute}, which the lab kernel cannot see")
        os.removexattr(path, attribute, follow_symlinks=False)
    return found
