"""How each kind of layer is made: into an empty folder, over finished lower layers."""

from __future__ import annotations

import os
import shutil
import stat
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from harness.build import chroot, digest, overlay
from harness.build.chroot import PRIVATE, Bind, Root
from harness.build.debian import Apt, bootstrap, network_binds, network_env
from harness.build.errors import BuildError, RecipeError
from harness.build.plan import Layer
from harness.build.recipe import PythonSpec
from harness.build.store import Store
from harness.build.uv import uv_binary

EPOCH = 1_735_689_600  # 2025-01-01: the time stamp of copied files, so that equal recipes give equal layers
NPM_SETTINGS = ("npm_config_registry", "NPM_CONFIG_REGISTRY")
GO_SETTINGS = ("GOPROXY", "GOSUMDB", "GONOSUMDB", "GOPRIVATE", "GONOPROXY")
UV_SETTINGS = ("UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX", "UV_HTTP_TIMEOUT")
SELECTION: dict[str, Callable[[str], list[str]]] = {
    "package": lambda value: ["--package", value, "--no-dev", "--no-editable"],
    "group": lambda value: ["--only-group", value],
    "dependencies": lambda _: ["--all-packages", "--all-groups", "--all-extras", "--no-install-workspace"],
}


@dataclass(frozen=True)
class Site:
    """Where a layer is being built."""

    store: Store
    repository: Path
    work: Path
    log: Path

    def path(self, layer: Layer) -> Path:
        found = self.store.lookup(layer.digest)
        if found is None:
            raise BuildError(f"layer {layer.label} has vanished from {self.store.root}; repeat")
        return found / "root"

    def paths(self, layers: tuple[Layer, ...]) -> tuple[Path, ...]:
        return tuple(self.path(layer) for layer in layers)


def make(layer: Layer, site: Site, target: Path) -> dict[str, object]:
    """Make `layer` in the empty folder `target`; returns what is worth recording."""
    target.mkdir(mode=0o755)
    makers: dict[str, Callable[[Layer, Site, Path], dict[str, object]]] = {
        "debian": _debian,
        "packages": _packages,
        "python": _python,
        "npm": _npm,
        "go": _go,
        "files": _files,
    }
    recorded = makers[layer.kind](layer, site, target)
    return {"image": layer.image, "kind": layer.kind, **recorded}


def apt_sources(layers: tuple[Layer, ...], store: Store) -> list[str]:
    """The sources that the first root came from: what is added must fit it."""
    recorded = store.meta(layers[-1].digest).get("sources")
    return [str(line) for line in recorded] if isinstance(recorded, list) else []


def _debian(layer: Layer, site: Site, target: Path) -> dict[str, object]:
    target.rmdir()
    assert layer.recipe.suite is not None
    used = bootstrap(layer.recipe.suite, layer.recipe.packages, target, site.log)
    return {"suite": layer.recipe.suite, "sources": used}


def _packages(layer: Layer, site: Site, target: Path) -> dict[str, object]:
    lowers = site.paths(layer.lower)
    apt = Apt(site.store, apt_sources(layer.lower, site.store), site.work, site.log)
    apt.install(Root(lowers, upper=target), layer.recipe.packages, f"{layer.label}: apt-get install")
    opaque = overlay.normalise(target, lowers)
    return {"packages": list(layer.recipe.packages), "opaque": opaque}


def _python(layer: Layer, site: Site, target: Path) -> dict[str, object]:
    """`uv sync` in the compiler's root, at the path the environment will have, so that its scripts are right."""
    spec = layer.recipe.python
    assert spec is not None
    _parents(target, PurePosixPath("/opt"), ())
    place = f"/opt/{layer.image}"
    home = target / "opt" / layer.image
    home.mkdir()
    _sync(spec, place, home, layer, site)
    for name in (".lock", ".gitignore", "CACHEDIR.TAG"):
        (home / name).unlink(missing_ok=True)
    for stamped in home.glob("lib/python*/site-packages/*.dist-info/uv_cache.json"):
        stamped.unlink()
    return {"python": f"{spec.kind} {spec.value}"}


def _sync(spec: PythonSpec, place: str, home: Path, layer: Layer, site: Site) -> None:
    source = f"{PRIVATE}/source"
    binds = (
        *network_binds(),
        Bind(site.repository, source),
        Bind(uv_binary(site.store), f"{PRIVATE}/bin/uv"),
        Bind(site.store.folder("uv", "cache"), f"{PRIVATE}/uv-cache", writable=True),
        Bind(home, place, writable=True),
    )
    env = {
        **network_env(),
        **_passed(UV_SETTINGS),
        "HOME": "/tmp",
        "UV_CACHE_DIR": f"{PRIVATE}/uv-cache",
        "UV_LINK_MODE": "copy",
        "UV_PROJECT_ENVIRONMENT": place,
        "UV_PYTHON": "/usr/bin/python3",
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_SYSTEM_CERTS": "1",
        "UV_NO_PROGRESS": "1",
        # Byte code is trusted without a look at its source: a start opens half as many files over hostfs.
        "PYC_INVALIDATION_MODE": "UNCHECKED_HASH",
    }
    scratch = site.work / "scratch"
    scratch.mkdir(mode=0o755)
    root = Root(site.paths(layer.builder), upper=scratch, binds=binds, env=env)
    argv = [f"{PRIVATE}/bin/uv", "sync", "--frozen", "--compile-bytecode", *SELECTION[spec.kind](spec.value)]
    argv += [f"--refresh-package={name}" for name in _members(site.repository)]
    mounts = site.work / "mounts"
    mounts.mkdir()
    chroot.run_logged(
        chroot.command(root, mounts, argv, cwd=source), root.environment(), site.log, f"{layer.label}: uv sync"
    )


def _members(repository: Path) -> list[str]:
    """The workspace's packages: uv keeps a wheel of theirs until the project file changes, whatever the code does."""
    workspace = tomllib.loads((repository / "pyproject.toml").read_text())["tool"]["uv"]["workspace"]["members"]
    projects = [tomllib.loads((repository / member / "pyproject.toml").read_text()) for member in workspace]
    return [project["project"]["name"] for project in projects]


def _passed(names: tuple[str, ...]) -> dict[str, str]:
    return {name: os.environ[name] for name in names if name in os.environ}


def _npm(layer: Layer, site: Site, target: Path) -> dict[str, object]:
    """`npm ci` in the image's own root (its packages hold node and npm)."""
    folder = layer.recipe.npm
    assert folder is not None
    _parents(target, PurePosixPath("/opt"), ())
    home = target / "opt" / layer.image
    home.mkdir()
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(folder / name, home / name)
    place = f"/opt/{layer.image}"
    env = {
        **network_env(),
        **_passed(NPM_SETTINGS),
        "HOME": "/tmp",
        "npm_config_cache": f"{PRIVATE}/npm",
        "npm_config_update_notifier": "false",
    }
    binds = (
        *network_binds(),
        Bind(site.store.folder("npm"), f"{PRIVATE}/npm", writable=True),
        Bind(home, place, writable=True),
    )
    scratch, mounts = site.work / "scratch", site.work / "mounts"
    scratch.mkdir(mode=0o755)
    mounts.mkdir()
    root = Root(site.paths(layer.lower), upper=scratch, binds=binds, env=env)
    argv = ["npm", "ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"]
    chroot.run_logged(
        chroot.command(root, mounts, argv, cwd=place), root.environment(), site.log, f"{layer.label}: npm ci"
    )
    (home / "bin").symlink_to("node_modules/.bin")
    return {"npm": True}


def _go(layer: Layer, site: Site, target: Path) -> dict[str, object]:
    """The tools of a Go module, compiled without C. Sources and objects are thrown away: a new version needs others."""
    folder = layer.recipe.go
    assert folder is not None
    _parents(target, PurePosixPath(f"/opt/{layer.image}"), ())
    programs, place = target / "opt" / layer.image / "bin", site.work / "build"
    for made in (programs, place, site.work / "scratch", site.work / "mounts"):
        made.mkdir(mode=0o755)
    for name in ("go.mod", "go.sum"):
        shutil.copyfile(folder / name, place / name)
    env = {
        **network_env(),
        **_passed(GO_SETTINGS),
        "HOME": "/build",
        "PATH": f"{_newest_go(site, layer)}:{chroot.PATH}",
        "CGO_ENABLED": "0",
        "GOFLAGS": "-mod=readonly -trimpath -buildvcs=false -modcacherw",
        "GOPATH": "/build/go",
        "GOTOOLCHAIN": "local",
    }
    binds = (*network_binds(), Bind(place, "/build", writable=True), Bind(programs, "/programs", writable=True))
    root = Root(site.paths(layer.builder), upper=site.work / "scratch", binds=binds, env=env)
    argv = ["nice", "-n10", "go", "build", "-ldflags=-s -w", "-o", "/programs/", "tool"]
    what = f"{layer.label}: go build"
    chroot.run_logged(
        chroot.command(root, site.work / "mounts", argv, cwd="/build"), root.environment(), site.log, what
    )
    return {"go": sorted(program.name for program in programs.iterdir())}


def _newest_go(site: Site, layer: Layer) -> str:
    """Debian installs each version of Go below a folder of its own."""
    found = [path for lower in site.paths(layer.builder) for path in lower.glob("usr/lib/go-*/bin/go")]
    if not found:
        raise BuildError(f"image {layer.builder[0].image} has no /usr/lib/go-VERSION; let it install golang-VERSION-go")
    newest = max(found, key=lambda path: [int(part) for part in path.parts[-3].removeprefix("go-").split(".")])
    return f"/usr/lib/{newest.parts[-3]}/bin"


def _files(layer: Layer, site: Site, target: Path) -> dict[str, object]:
    lowers = site.paths(layer.lower)
    recipe = layer.recipe
    if recipe.files is not None:
        _copy_tree(recipe.files, target, PurePosixPath("/"), lowers, layer)
    for place, source in recipe.copy:
        pure = PurePosixPath(place)
        if source.is_dir():
            _copy_tree(source, target, pure, lowers, layer)
        else:
            _refuse_links(pure.parent, lowers, layer)
            _parents(target, pure.parent, lowers)
            _copy_file(source, target / pure.relative_to("/"))
    for folder, folders, files in os.walk(target):
        for name in (*folders, *files):
            os.utime(Path(folder, name), (EPOCH, EPOCH), follow_symlinks=False)
    return {}


def _copy_tree(source: Path, target: Path, place: PurePosixPath, lowers: tuple[Path, ...], layer: Layer) -> None:
    _refuse_links(place, lowers, layer)
    _parents(target, place, lowers)
    for name, path, status in digest.entries(source):
        inside = place / name
        destination = target / inside.relative_to("/")
        if stat.S_ISDIR(status.st_mode):
            _refuse_links(inside, lowers, layer)
            _parents(target, inside, lowers)
        elif stat.S_ISLNK(status.st_mode):
            destination.symlink_to(os.readlink(path))
        else:
            _copy_file(path, destination)


def _copy_file(source: Path, destination: Path) -> None:
    shutil.copyfile(source, destination)
    destination.chmod(0o755 if source.stat().st_mode & stat.S_IXUSR else 0o644)


def _lower_folder(place: PurePosixPath, lowers: tuple[Path, ...]) -> Path | None:
    for lower in lowers:
        path = lower / place.relative_to("/")
        if path.is_symlink() or path.exists():
            return path
    return None


def _refuse_links(place: PurePosixPath, lowers: tuple[Path, ...], layer: Layer) -> None:
    """A folder laid over a link (`/bin` → `usr/bin`) would hide what is behind the link."""
    for folder in (place, *place.parents):
        below = _lower_folder(folder, lowers)
        if below is not None and below.is_symlink():
            link = os.readlink(below)
            raise RecipeError(
                layer.recipe.path, f"a copied file would replace the link {folder} → {link}", f"put it below /{link}"
            )


def _parents(target: Path, place: PurePosixPath, lowers: tuple[Path, ...]) -> None:
    """Make folder `place` and those above, with the rights that they have in the layers below."""
    for folder in (*reversed(place.parents), place):
        path = target / folder.relative_to("/")
        if not path.is_dir():
            path.mkdir()
            below = _lower_folder(folder, lowers)
            mode = stat.S_IMODE(below.stat().st_mode) if below is not None else 0o755
            path.chmod(mode)
            if below is not None:
                os.chown(path, below.stat().st_uid, below.stat().st_gid)
