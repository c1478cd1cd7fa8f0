"""The files besides the graphs: their hashes, the pictures, and what may be replaced."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny import DATASET, make_vae, random_images

from kvae.bundle import folder as bundle_files
from kvae.bundle.manifest import Manifest, sha256
from kvae.export.bundles import export
from kvae.runtime import previews
from kvae.runtime.bundle import Bundle


@pytest.fixture
def folder(bundle_path, tmp_path):
    """A copy of the tiny bundle, which the tests may change."""
    shutil.copytree(bundle_path, tmp_path / "b")
    return tmp_path / "b"


def test_the_manifest_holds_the_hash_of_every_other_file(folder):
    (folder / "added.txt").write_text("new")
    before = Manifest.read(folder)
    written = bundle_files.write_manifest(folder, before)
    names = {path.name for path in folder.iterdir()} - {"manifest.json"}
    assert written.files == {name: sha256(folder / name) for name in names}
    assert Manifest.read(folder) == written
    was, now = (json.loads(each.to_json()) for each in (before, written))
    assert {key for key in was if was[key] != now[key]} == {"files"}


def test_a_bundle_without_other_files_may_be_replaced(folder, tmp_path):
    assert bundle_files.is_bundle(folder)
    (folder / "notes.txt").write_text("mine")
    assert not bundle_files.is_bundle(folder)
    (folder / "notes.txt").unlink()
    (folder / "preview.png").unlink()  # a bundle with a missing file holds no other files either
    assert bundle_files.is_bundle(folder)
    (folder / "manifest.json").write_text("{}")
    assert not bundle_files.is_bundle(folder)
    assert not bundle_files.is_bundle(tmp_path)


CHANGES = {
    "notes in the README": lambda folder: (folder / "README.md").write_text("my notes"),
    "another preview": lambda folder: (folder / "preview.png").write_bytes(b"mine"),
    "a hidden file": lambda folder: (folder / ".notes").touch(),
    "a folder": lambda folder: (folder / "notes").mkdir(),
    "a link": lambda folder: (folder / "link").symlink_to("README.md"),
    "a link for a file": lambda folder: (
        (folder / "README.md").unlink(),
        (folder / "README.md").symlink_to("/dev/null"),
    ),
    "a note in the manifest": lambda folder: edit(folder, notes="mine"),
    "a field of the manifest": lambda folder: edit(folder, kvae_version="9"),
    "a file that it lists": lambda folder: list_thesis(folder),
}


def edit(folder, **fields):
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields, indent=2) + "\n")


def list_thesis(folder):
    """A user's file that the manifest lists, by its name but with another hash."""
    (folder / "thesis.txt").write_text("years of work")
    edit(folder, files=json.loads((folder / "manifest.json").read_text())["files"] | {"thesis.txt": "0" * 64})


@pytest.mark.parametrize("change", CHANGES)
def test_a_bundle_with_any_change_may_not_be_replaced(change, folder):
    assert bundle_files.is_bundle(folder)
    CHANGES[change](folder)
    assert not bundle_files.is_bundle(folder)


def test_bundles_of_an_earlier_kvae_may_be_replaced():
    root = Path(__file__).parent.parent.parent
    assert all(
        map(bundle_files.is_bundle, (root / "exported" / "fashion_mnist", root / "tests" / "old" / "whole" / "bundle"))
    )


def test_pictures_are_drawn_by_the_model(bundle_path, tmp_path):
    """Samples, and reconstructions only if there are images."""
    bundle = Bundle.open(bundle_path, device="cpu")
    assert previews.draw_pictures(bundle, None, tmp_path) == ["preview.png"]
    images = np.rint(random_images(40) * 255).astype(np.uint8)
    assert previews.draw_pictures(bundle, images, tmp_path) == ["preview.png", "reconstructions.png"]
    assert {path.name for path in tmp_path.iterdir()} == {"preview.png", "reconstructions.png"}
    with Image.open(tmp_path / "reconstructions.png") as picture:
        pixels = np.asarray(picture)
    factor = 14  # an image of 8 pixels is enlarged to 112, 2 pixels of white around it
    first = pixels[2 * factor : 10 * factor : factor, 2 * factor : 10 * factor : factor]
    np.testing.assert_array_equal(first, images[0, ..., 0])


def test_images_that_are_neither_grey_nor_rgb_are_not_drawn(tmp_path):
    path = export(make_vae((4, 4, 2)), tmp_path / "b", dataset=DATASET).path
    assert previews.draw_pictures(Bundle.open(path, device="cpu"), None, tmp_path) == []
    assert [entry.name for entry in tmp_path.iterdir()] == ["b"]
