"""Images as OCI archives: whole, the same for the same content, and what overlayfs hides stays hidden."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from pathlib import Path

import pytest

from harness.build import archive
from harness.build.archive import Start
from harness.build.images import Image

START = Start(["/bin/sh"], ["/usr/bin/runsvdir", "-P", "/etc/service"], {"PATH": "/bin"}, "SIGHUP")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="whiteouts are devices: run `labctl test` as root")


def _layer(root: Path, **files: str) -> Path:
    for name, text in files.items():
        path = root / "etc" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        os.utime(path, (1_700_000_000, 1_700_000_000))
    return root


@pytest.fixture
def images(tmp_path: Path) -> list[Image]:
    base = _layer(tmp_path / "base", issue="base", motd="hello")
    top, other = _layer(tmp_path / "top", issue="top"), _layer(tmp_path / "other", hosts="x")
    return [Image("one", "d1", (top, base)), Image("two", "d2", (other, base))]


def _read(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as tar:
        return {entry.name: tar.extractfile(entry).read() for entry in tar}  # type: ignore[union-attr]


def test_every_blob_is_what_its_name_says_and_shared_layers_are_there_once(images: list[Image], tmp_path: Path) -> None:
    digests = archive.write(images, START, tmp_path / "out.tar")
    held = _read(tmp_path / "out.tar")
    blobs = {name.rpartition("/")[2]: data for name, data in held.items() if name.startswith("blobs/")}
    assert all(hashlib.sha256(data).hexdigest() == name for name, data in blobs.items())
    index = json.loads(held["index.json"])
    assert [entry["digest"] for entry in index["manifests"]] == list(digests.values())
    piles = []
    for name, entry, legacy in zip(digests, index["manifests"], json.loads(held["manifest.json"]), strict=True):
        manifest = json.loads(blobs[entry["digest"].partition(":")[2]])
        config = json.loads(blobs[manifest["config"]["digest"].partition(":")[2]])
        pile = [layer["digest"] for layer in manifest["layers"]]
        assert config["rootfs"]["diff_ids"] == pile, "layers are not compressed"
        assert legacy["RepoTags"] == [f"elasticlab/{name}:latest"]
        assert [layer.rpartition("/")[2] for layer in legacy["Layers"]] == [layer.partition(":")[2] for layer in pile]
        assert config["config"]["Cmd"] == START.command
        assert config["config"]["StopSignal"] == "SIGHUP"
        piles.append(pile)
    assert piles[0][0] == piles[1][0]
    assert len({*piles[0], *piles[1]}) == 3
    with tarfile.open(fileobj=io.BytesIO(blobs[piles[0][0].partition(":")[2]])) as lowest:
        assert lowest.getnames() == ["etc", "etc/issue", "etc/motd"]


def test_the_same_content_has_the_same_bytes_whenever_it_was_written(images: list[Image], tmp_path: Path) -> None:
    first = archive.write(images, START, tmp_path / "first.tar")
    for layer in images[0].layers:
        os.utime(layer / "etc", (1, 1))
    assert archive.write(images, START, tmp_path / "second.tar") == first
    assert (tmp_path / "first.tar").read_bytes() == (tmp_path / "second.tar").read_bytes()
    (images[0].layers[0] / "etc/issue").write_text("TOP")
    changed = archive.write(images, START, tmp_path / "third.tar")
    assert changed["one"] != first["one"]
    assert changed["two"] == first["two"]


def test_the_date_is_the_one_that_the_caller_asks_for(
    images: list[Image], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = archive.write(images, START, tmp_path / "plain.tar")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")
    assert archive.created() == "2001-09-09T01:46:40Z"
    assert archive.write(images, START, tmp_path / "dated.tar") != plain


@as_root
def test_what_a_layer_hides_stays_hidden_and_links_stay_links(tmp_path: Path) -> None:
    layer = _layer(tmp_path / "layer", real="x")
    os.mknod(layer / "etc/gone", 0o020000, 0)
    (layer / "etc/soft").symlink_to("real")
    os.link(layer / "etc/real", layer / "etc/twin")
    (layer / "etc/real").chmod(0o4755)
    os.setxattr(layer / "etc/real", "security.capability", bytes.fromhex("0100000200200000000000000000000000000000"))
    archive.write([Image("one", "d", (layer,))], START, tmp_path / "out.tar")
    held = _read(tmp_path / "out.tar")
    config = json.loads(held[json.loads(held["manifest.json"])[0]["Config"]])
    blob = held["blobs/sha256/" + config["rootfs"]["diff_ids"][0].partition(":")[2]]
    with tarfile.open(fileobj=io.BytesIO(blob)) as tar:
        found = {entry.name: entry for entry in tar}
    assert "etc/gone" not in found
    assert found["etc/.wh.gone"].isreg()
    assert found["etc/soft"].linkname == "real"
    assert found["etc/twin"].linkname == "etc/real"
    assert found["etc/real"].mode == 0o4755
    assert "SCHILY.xattr.security.capability" in found["etc/real"].pax_headers


def test_a_failure_leaves_no_half_archive(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        archive.write([Image("one", "d", (tmp_path / "missing",))], START, tmp_path / "out.tar")
    assert list(tmp_path.iterdir()) == []
