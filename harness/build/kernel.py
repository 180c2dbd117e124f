"""The lab kernel: Linux as a program (User-Mode Linux), from Debian's source package and our fragment.

Backports' kernel where it is new enough (its `seccomp` mode makes system calls twice as fast), else the stable one with
the same fragment; which one it became is recorded beside the binary.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

from harness.build import chroot, digest, layers
from harness.build.chroot import Bind, Root
from harness.build.debian import Apt
from harness.build.errors import BuildError
from harness.build.images import Builder, Image
from harness.build.plan import COMPILER, FORMAT
from harness.build.progress import Progress

FRAGMENT = Path("images/kernel/lab-kernel.config")
LABEL = "lab kernel"
# Without these no topology of ours can work; other options may be missing from an older kernel, and are named then.
REQUIRED = frozenset(
    (
        "BINFMT_ELF BRIDGE CGROUPS HOSTFS INET_ESP IPV6 NAMESPACES NET_IPGRE NET_NS NET_SCH_NETEM NET_VRF"
        " NF_CONNTRACK_ZONES NF_TABLES NFT_MASQ OVERLAY_FS PACKET PID_NS TUN UML_NET_VECTOR VETH VLAN_8021Q VXLAN"
        " XFRM_INTERFACE XFRM_USER"
    ).split()
)
BACKPORTS_AT_LEAST = (7, 2)

# Sources and objects lie on /build, a folder of the machine: overlayfs would copy every file that make touches.
UNPACK = """set -e
archive=$(ls /usr/src/linux-source-*.tar.xz)
tar -C /build -xf "$archive"
cd /build/linux-source-*
make ARCH=um defconfig
scripts/kconfig/merge_config.sh -m .config /build/fragment
make ARCH=um olddefconfig
cp .config /build/config
make -s ARCH=um kernelversion > /build/release
"""
COMPILE = """set -e
cd /build/linux-source-*
nice -n 10 make ARCH=um -j"$(nproc)" linux
strip --strip-debug -o /build/linux linux
"""


def options(text: str) -> dict[str, str]:
    """A kernel configuration as option → value; an option that is not set has the value `n`."""
    found = dict.fromkeys(re.findall(r"^# CONFIG_(\w+) is not set$", text, re.MULTILINE), "n")
    found.update(re.findall(r"^CONFIG_(\w+)=(.*)$", text, re.MULTILINE))
    return found


def dropped(fragment: str, config: str) -> list[str]:
    """Options of the fragment that the configuration has not got as asked."""
    got = options(config)
    return sorted(name for name, value in options(fragment).items() if got.get(name, "n") != value)


def kernel_digest(builder: Builder) -> str:
    compiler = [layer.digest for layer in builder.plan([COMPILER]).images[COMPILER]]
    return digest.combine("kernel", FORMAT["kernel"], compiler, digest.file(builder.repository / FRAGMENT))


def ensure_kernel(builder: Builder) -> Path:
    """The kernel's binary, built when there is none for this fragment. `$ELASTICLAB_KERNEL` names one of your own."""
    if chosen := os.environ.get("ELASTICLAB_KERNEL"):
        if not os.access(chosen, os.X_OK):
            raise BuildError(f"ELASTICLAB_KERNEL={chosen} is no executable; unset it to have the lab kernel built")
        return Path(chosen).absolute()
    key = kernel_digest(builder)
    if (found := builder.store.lookup(key)) is not None:
        return found / "linux"
    builder.ensure([COMPILER])
    with builder.store.locked(key, LABEL, builder.progress):
        if (found := builder.store.lookup(key)) is None:
            found = _build(builder, key)
    return found / "linux"


def _build(builder: Builder, key: str) -> Path:
    begun = time.monotonic()
    log = builder.store.log(LABEL, key)
    log.write_text("", encoding="utf-8")
    with builder.store.workspace(key) as work:
        site = layers.Site(builder.store, builder.repository, work, log)
        place, scratch, entry = work / "build", work / "scratch", work / "entry"
        for folder in (place, scratch, entry):
            folder.mkdir(mode=0o755)
        fragment = builder.repository / FRAGMENT
        shutil.copyfile(fragment, place / "fragment")
        pile = builder.plan([COMPILER]).images[COMPILER]
        binds = (Bind(place, "/build", writable=True),)
        root = Root(site.paths(pile), upper=scratch, binds=binds, env={"HOME": "/build"})
        apt = Apt(builder.store, layers.apt_sources(pile, builder.store), work, log)
        package = _fetch(apt, root, builder.progress, builder)
        builder.progress.step(LABEL, f"configuring linux {package}")
        _run(root, work, UNPACK, log, "configuring the lab kernel")
        release = (place / "release").read_text(encoding="utf-8").strip()
        missing = _check(fragment, place / "config")
        builder.progress.step(LABEL, f"compiling linux {release} (6 to 12 minutes on two cores)")
        _run(root, work, COMPILE, log, "compiling the lab kernel")
        for name in ("linux", "config", "release"):
            shutil.move(place / name, entry / name)
        seconds = round(time.monotonic() - begun, 1)
        recorded = {"kind": "kernel", "image": "kernel", "release": release, "package": package}
        found = builder.store.publish(key, entry, {**recorded, "dropped": missing, "seconds": seconds})
    note = f"; options it has not got: {', '.join(missing)}" if missing else ""
    builder.progress.done(LABEL, f"linux {release} built in {seconds:g} s{note}")
    return found


def _fetch(apt: Apt, root: Root, progress: Progress, builder: Builder) -> str:
    """Install the newest fitting source package; returns its version."""
    with builder.store.locked("apt", LABEL, progress):
        progress.step(LABEL, "fetching the kernel's source")
        wanted = ".".join(map(str, BACKPORTS_AT_LEAST))
        newest = apt.script("install --no-install-recommends -t trixie-backports linux-source")
        stable = apt.script("install --no-install-recommends linux-source")
        version = "dpkg-query -W -f '${Version}' linux-source"
        script = (
            f'{{ {newest} && dpkg --compare-versions "$({version})" ge {wanted}; }}'
            f" || {{ echo 'no linux-source >= {wanted} in backports'; apt-get -y purge 'linux-source*'; {stable}; }}"
        )
        apt.run(root, f"{{ {script}; }} && {version} > /build/package", "fetching the kernel's source")
    place = next(bind.source for bind in root.binds if bind.target == "/build")
    return (place / "package").read_text(encoding="utf-8").strip()


def _check(fragment: Path, config: Path) -> list[str]:
    missing = dropped(fragment.read_text(encoding="utf-8"), config.read_text(encoding="utf-8"))
    if fatal := sorted(REQUIRED & set(missing)):
        raise BuildError(f"{fragment}: this kernel has not got {', '.join(fatal)}, which every topology needs")
    return missing


def _run(root: Root, work: Path, script: str, log: Path, what: str) -> None:
    mounts = work / f"mounts-{time.monotonic_ns()}"
    mounts.mkdir()
    chroot.run_logged(chroot.command(root, mounts, ["sh", "-c", script]), root.environment(), log, what)


def kernel(progress: Progress | None = None) -> Path:
    """The lab kernel: an executable that is Linux; built when missing."""
    return ensure_kernel(Builder(progress))


def ensure_lab(names: Sequence[str], progress: Progress | None = None) -> tuple[dict[str, Image], Path]:
    """Images and lab kernel together: the kernel compiles (niced) while the images are installed.

    Raises:
        BuildError: either failed; the other is left to its end, and is kept.
    """
    builder = Builder(progress)
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="lab-kernel") as pool:
        compiling = pool.submit(ensure_kernel, builder)
        try:
            return builder.ensure(names), compiling.result()
        except KeyboardInterrupt:
            chroot.RUNNING.stop()  # else the pool would wait for the compiler
            wait([compiling])
            chroot.RUNNING.resume()
            raise
