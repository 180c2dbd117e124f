"""Images and the lab kernel: content-hashed recipes, built once into a cache outside the repository.

`ensure(names, progress)` gives root filesystems as lower directories for overlayfs, `kernel(progress)` the lab kernel's
binary, `ensure_lab(names, progress)` both at once, `run_in_image()` a command's run in an image.
"""

from __future__ import annotations

from harness.build.chroot import Bind
from harness.build.errors import BuildError, RecipeError
from harness.build.images import Builder, Image, ensure
from harness.build.kernel import ensure_lab, kernel
from harness.build.run import run_in_image

__all__ = ["Bind", "BuildError", "Builder", "Image", "RecipeError", "ensure", "ensure_lab", "kernel", "run_in_image"]
