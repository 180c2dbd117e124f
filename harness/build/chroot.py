"""Running a command in an image's root, in namespaces of its own.

Everything is mounted in a private mount namespace and run in a private process namespace that dies with its parent: a
build that is killed leaves no mount and no process behind. The kernel undoes both; there is no clean-up code to miss.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

from harness.build.errors import BuildError

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PRIVATE = "/run/elasticlab"  # tools of the build inside of the root, on a tmpfs: never part of an image
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
# No feature of overlayfs that needs extended attributes in the layer: hostfs does not carry them to the lab kernel.
OVERLAY_OPTIONS = "redirect_dir=off,metacopy=off,index=off,xino=off"


@dataclass(frozen=True)
class Bind:
    """A file or folder of the machine, seen inside at `target`."""

    source: Path
    target: str
    writable: bool = False


@dataclass(frozen=True)
class Root:
    """Layers (topmost first) as one root; writes go to `upper`, or to memory and are forgotten."""

    layers: tuple[Path, ...]
    upper: Path | None = None
    binds: tuple[Bind, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        base = {"PATH": PATH, "HOME": "/root", "LC_ALL": "C.UTF-8", "TERM": os.environ.get("TERM", "dumb")}
        proxies = {name: os.environ[name] for name in PROXIES if name in os.environ}
        return base | proxies | dict(self.env)


def _script(root: Root, work: Path, argv: Sequence[str], cwd: str, *, private: bool) -> str:
    """The shell script that mounts and enters; `$r` is the root's mount point."""
    lines = ["set -eu", f"w={shlex.quote(str(work))}", "r=$w/root"]
    if not private:
        # In a chroot whose root is no mount point, propagation cannot be cut there; cut it at the work folder.
        lines += ['mount --bind "$w" "$w"', 'mount --make-rprivate "$w"']
    lines += ['mkdir -p "$r"']
    if root.upper is None:
        lines += ['mkdir -p "$w/memory"', 'mount -t tmpfs -o mode=0755 tmpfs "$w/memory"', 'u="$w/memory/upper"']
        lines += ['x="$w/memory/work"', 'mkdir -p "$u" "$x"']
    else:
        # Beside the upper folder: both must be on one mount, and the work folder above is one of its own in a chroot.
        beside = root.upper.with_name(f"{root.upper.name}.work")
        lines += [f"u={shlex.quote(str(root.upper))}", f"x={shlex.quote(str(beside))}", 'mkdir -p "$u" "$x"']
    lower = shlex.quote(":".join(str(layer) for layer in root.layers))
    # mount(8) of Debian 13 passes options one by one, at most 256 bytes each: too few for a list of layers.
    lines += ["export LIBMOUNT_FORCE_MOUNT2=always"]
    lines += [f'mount -t overlay -o lowerdir={lower},upperdir="$u",workdir="$x",{OVERLAY_OPTIONS} overlay "$r"']
    lines += ["unset LIBMOUNT_FORCE_MOUNT2", 'mount -t proc proc "$r/proc"', 'mount -t sysfs -o ro sysfs "$r/sys"']
    lines += ['mount -t tmpfs -o mode=0755 tmpfs "$r/dev"', 'mkdir "$r/dev/pts" "$r/dev/shm" "$r/dev/net"']
    for device in DEVICES:
        lines += [f'touch "$r/dev/{device}"', f'mount --bind /dev/{device} "$r/dev/{device}"']
    lines += [
        'mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts "$r/dev/pts"',
        'ln -s pts/ptmx "$r/dev/ptmx"',
    ]
    lines += ['mount -t tmpfs -o mode=1777 tmpfs "$r/dev/shm"', 'ln -s /proc/self/fd "$r/dev/fd"']
    lines += [f'ln -s /proc/self/fd/{n} "$r/dev/{name}"' for n, name in enumerate(("stdin", "stdout", "stderr"))]
    lines += ['mount -t tmpfs -o mode=0755 tmpfs "$r/run"', f'mkdir -p "$r/run/lock" "$r{PRIVATE}"']
    lines += ['mount -t tmpfs -o mode=1777 tmpfs "$r/tmp"']
    for bind in root.binds:
        lines += _bind(bind)
    inner = f"cd {shlex.quote(cwd)} && exec {shlex.join(argv)}"
    # Not exec: this shell is process 1 in here, reaps orphans and ends the namespace when the command has ended.
    lines += [f'chroot "$r" /bin/sh -c {shlex.quote(inner)}']
    return "\n".join(lines)


def _bind(bind: Bind) -> list[str]:
    source, target = shlex.quote(str(bind.source)), shlex.quote(bind.target)
    if bind.source.is_dir():
        lines = [f'mkdir -p "$r"{target}']
    else:
        lines = [
            f'mkdir -p "$r"{shlex.quote(str(PurePosixPath(bind.target).parent))}',
            f'[ -e "$r"{target} ] || touch "$r"{target}',
        ]
    lines += [f'mount --rbind {source} "$r"{target}']
    if not bind.writable:
        lines += [f'mount -o remount,bind,ro "$r"{target}']
    return lines


def root_is_mount_point() -> bool:
    """Whether `/` is a mount point, as it is everywhere but in a plain chroot."""
    try:
        text = Path("/proc/self/mountinfo").read_text(encoding="utf-8")
    except OSError as error:
        raise BuildError("/proc is not mounted here; run: mount -t proc proc /proc") from error
    return any(line.split(" ", 5)[4] == "/" for line in text.splitlines())


def check_machine() -> None:
    """Fail early, with the remedy, where namespaces and mounts are not to be had."""
    if os.geteuid() != 0:
        raise BuildError("images are built with mounts and chroot: run as root")
    root_is_mount_point()
    for device in DEVICES[:5]:
        if not Path("/dev", device).is_char_device():
            raise BuildError(
                f"/dev/{device} is missing here; run from outside of the chroot: mount --rbind /dev ROOT/dev"
            )
    for tool in ("unshare", "setpriv", "mount", "chroot"):
        if shutil.which(tool, path=PATH) is None:
            raise BuildError(f"the command {tool} is missing; run: apt-get install util-linux mount coreutils")
    probe = subprocess.run(
        ["unshare", "--mount", "--propagation", "unchanged", "--pid", "--fork", "true"],
        capture_output=True,
        text=True,
        check=False,
    )
    if probe.returncode != 0:
        raise BuildError(
            f"no namespaces here ({probe.stderr.strip()}); a container needs --privileged, or use a virtual machine"
        )


def isolated(argv: Sequence[str]) -> list[str]:
    """`argv` in a private mount and process namespace that ends with the calling thread."""
    propagation = "private" if root_is_mount_point() else "unchanged"
    guard = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--propagation", propagation]
    return [*guard, "--pid", "--fork", "--kill-child=KILL", *argv]


def command(root: Root, work: Path, argv: Sequence[str], cwd: str = "/") -> list[str]:
    """The command line that runs `argv` in `root`; `work` is an empty folder for mount points."""
    script = _script(root, work, argv, cwd, private=root_is_mount_point())
    return isolated(["sh", "-c", script])


def run_logged(argv: Sequence[str], env: Mapping[str, str], log: Path, what: str) -> None:
    """Run to the end with all output in `log`.

    Raises:
        BuildError: it failed; names the step, the last lines, and the log.
    """
    with log.open("ab") as stream:
        stream.write(f"\n=== {what}\n".encode())
        stream.flush()
        code = _wait(argv, env, stream)
    if code != 0:
        tail = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()][-6:]
        raise BuildError(f"{what} failed (exit status {code}):\n  " + "\n  ".join(tail) + f"\nthe whole log: {log}")


class _Running:
    """The commands under way in all threads, so that an interrupt ends them at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._stopped = False

    def start(self, argv: Sequence[str], env: Mapping[str, str], output: IO[bytes]) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._stopped:
                raise BuildError("interrupted")
            # A session of its own: Ctrl-C reaches only us, and we end the namespace as a whole.
            process = subprocess.Popen(
                argv, env=dict(env), stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
            self._processes.add(process)
            return process

    def ended(self, process: subprocess.Popen[bytes]) -> None:
        with self._lock:
            self._processes.discard(process)

    def stop(self) -> None:
        with self._lock:
            self._stopped = True
            for process in self._processes:
                process.kill()

    def resume(self) -> None:
        with self._lock:
            self._stopped = False


RUNNING = _Running()


def _wait(argv: Sequence[str], env: Mapping[str, str], output: IO[bytes]) -> int:
    process = RUNNING.start(argv, env, output)
    try:
        return process.wait()
    except BaseException:
        process.kill()
        process.wait()
        raise
    finally:
        RUNNING.ended(process)


def run_in_root(
    root: Root,
    argv: Sequence[str],
    cwd: str = "/",
    stdout: IO[bytes] | int | None = None,
    stdin: IO[bytes] | int = subprocess.DEVNULL,
) -> int:
    """Run `argv` in `root` with our standard output and error; its exit status."""
    check_machine()
    with (
        tempfile.TemporaryDirectory(prefix="elasticlab-root-") as work,
        subprocess.Popen(
            command(root, Path(work), argv, cwd),
            env=root.environment(),
            stdin=stdin,
            stdout=stdout,
        ) as process,
    ):
        try:
            return process.wait()
        except BaseException:
            process.kill()
            raise
