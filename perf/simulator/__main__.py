"""`python -m perf.simulator`: here where libyang is, else in the image that has it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from harness import build
from harness.build.chroot import Bind
from harness.cli.reporter import reporter

_IMAGE = "tools"
_FOLDERS = ("--identities", "--maker", "--startup", "--yang")
_FILES = ("--anchor",)


def placed(arguments: Sequence[str]) -> tuple[list[str], list[Bind]]:
    """The arguments with absolute paths, and what must be seen in the image."""
    words: list[str] = []
    binds: dict[Path, Bind] = {}
    for argument in arguments:
        for word in argument.split("=", 1) if argument.startswith("--") else [argument]:
            option = words[-1] if words else ""
            if option not in (*_FOLDERS, *_FILES):
                words.append(word)
                continue
            path = Path(word).absolute()
            folder = path.parent if option in _FILES else path
            if option in ("--identities", "--startup"):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if folder.is_dir():
                binds[folder] = Bind(folder, str(folder), writable=True)
            words.append(str(path))
    return words, list(binds.values())


def main() -> int:
    if find_spec("_libyang") is not None:
        from perf.simulator import command  # noqa: PLC0415 - it needs libyang

        return command.main()
    words, binds = placed(sys.argv[1:])
    command_line = ["python3", "-m", "perf.simulator", *words]
    with reporter() as progress:
        return build.run_in_image(_IMAGE, command_line, binds=binds, progress=progress, stdin=sys.stdin.buffer)


if __name__ == "__main__":
    sys.exit(main())
