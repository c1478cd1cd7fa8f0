"""Bundles opened from anything but a folder: all give the same numbers, and strangers' zips are refused in one line."""

import importlib.resources
import io
import random
import stat
import struct
import warnings
import zipfile

import numpy as np
import pytest
from click.testing import CliRunner
from tiny import random_images

from kvae.bundle.locate import locate
from kvae.cli.main import main
from kvae.errors import BundleError, KvaeError
from kvae.explorer import page
from kvae.files import zips
from kvae.runtime.bundle import Bundle


def zipped(folder, path, prefix="", compression=zipfile.ZIP_DEFLATED):
    """A zip of the files in a folder."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, prefix + file.name)
    return path


@pytest.fixture
def archive(bundle_path, tmp_path):
    return zipped(bundle_path, tmp_path / "bundle.zip")


@pytest.fixture(params=["path", "bytes", "bytearray", "file object", "BytesIO", "zipfile.Path", "nested", "stored"])
def opened(request, bundle_path, archive, tmp_path):
    """The bundle, opened in every way that a zip of it can be."""
    nested = zipped(bundle_path, tmp_path / "nested.zip", "tiny/")
    with archive.open("rb") as file:
        source = {
            "path": archive,
            "bytes": archive.read_bytes(),
            "bytearray": bytearray(archive.read_bytes()),
            "file object": file,
            "BytesIO": io.BytesIO(archive.read_bytes()),
            "zipfile.Path": zipfile.Path(nested) / "tiny",
            "nested": str(nested),
            "stored": zipped(bundle_path, tmp_path / "stored.zip", compression=zipfile.ZIP_STORED),
        }[request.param]
        return Bundle.open(source)


def test_a_zip_is_the_bundle_in_it(opened, bundle_path):
    bundle, images = Bundle.open(bundle_path), random_images(3)
    assert opened.manifest == bundle.manifest
    np.testing.assert_array_equal(opened.sample(5, seed=1), bundle.sample(5, seed=1))
    np.testing.assert_array_equal(opened.encode(images).loc, bundle.encode(images).loc)


def test_the_resources_of_a_package_are_opened():
    z = np.random.default_rng(0).normal(size=(2, 12)).astype(np.float32)
    resource = importlib.resources.files("kvae.exported") / "fashion_mnist_small"
    expected = Bundle.open(locate("fashion_mnist_small")).decode(z)
    for source in (resource, resource / "decoder.onnx"):
        np.testing.assert_array_equal(Bundle.open(source).decode(z), expected)


@pytest.mark.parametrize("name", ["decoder.onnx", "encoder.onnx"])
def test_the_bytes_of_a_lone_graph_are_opened(bundle_path, name):
    content = (bundle_path / name).read_bytes()
    for source in (content, memoryview(content), io.BytesIO(content)):
        lone = Bundle.open(source)
        assert list(lone.graphs) == [name.removesuffix(".onnx")]
    if "decoder" in lone.graphs:
        np.testing.assert_array_equal(lone.sample(2), Bundle.open(bundle_path).sample(2))


def test_a_file_is_read_from_where_it_is(bundle_path):
    content = (bundle_path / "decoder.onnx").read_bytes()
    file = io.BytesIO(b"header" + content)
    file.seek(6)
    assert Bundle.open(file).sample(1).shape == (1, 8, 8, 1)


def test_an_ort_graph_is_recognised_by_its_bytes(bundle_path):
    with pytest.raises(BundleError, match="graph.ort in the given bytes"):
        Bundle.open(b"\x20\0\0\0ORTM" + bytes(60))


def test_a_page_is_made_of_a_bundle_in_memory(archive, bundle_path):
    assert page(Bundle.open(archive.read_bytes()), "tiny") == page(Bundle.open(bundle_path), "tiny")


def test_a_text_file_and_other_things_are_refused(archive):
    with archive.open(encoding="latin-1") as file, pytest.raises(KvaeError, match="mode 'rb'"):
        Bundle.open(file)
    for source in (io.StringIO("x"), 3, None, [b"x"], {"decoder": b"x"}):
        with pytest.raises(KvaeError):
            Bundle.open(source)
    with zipfile.ZipFile(archive) as opened, pytest.raises(KvaeError, match="got a ZipFile"):
        Bundle.open(opened)  # it has a method `read`, but of another meaning


def test_a_file_that_cannot_be_read_is_an_error_in_one_line():
    class Broken(io.RawIOBase):
        name = "broken"

        def readable(self):
            return True

        def readinto(self, buffer):
            raise OSError(5, "Input/output error")

    with pytest.raises(BundleError, match="cannot read broken: Input/output error"):
        Bundle.open(Broken())


@pytest.mark.parametrize("content", [b"", b"x", b"PK\x03\x04", b"PK\x05\x06" + bytes(18), bytes(100)])
def test_bytes_that_are_not_a_bundle_are_refused(content):
    with pytest.raises(BundleError, match="the given bytes"):
        Bundle.open(content)


# Strangers' zips


def made(path, members, **changes):
    """A zip of members, by name, each with changed fields of its ZipInfo."""
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        warnings.simplefilter("ignore", UserWarning)  # duplicate names
        for name, content in members:
            entry = zipfile.ZipInfo(name)
            entry.compress_type = zipfile.ZIP_DEFLATED
            for field, value in changes.items():
                setattr(entry, field, value)
            archive.writestr(entry, content)
    return path


def members(folder):
    return [(path.name, path.read_bytes()) for path in sorted(folder.iterdir())]


@pytest.mark.parametrize(
    "name", ["../evil", "/etc/passwd", "a/../../evil", "..\\evil", "C:\\evil", "C:evil", "a\\b", "..", "x/.."]
)
def test_a_name_outside_of_the_zip_s_folder_is_refused(bundle_path, tmp_path, name):
    with pytest.raises(BundleError, match="outside of its folder"):
        Bundle.open(made(tmp_path / "z.zip", [*members(bundle_path), (name, b"x")]))


def test_a_name_with_a_null_is_refused(bundle_path, tmp_path):
    path = made(tmp_path / "z.zip", [*members(bundle_path), ("manifest.jsonXevil", b"x")])
    path.write_bytes(path.read_bytes().replace(b"manifest.jsonXevil", b"manifest.json\0evil"))
    with pytest.raises(BundleError, match="named 'manifest.json.evil'"):
        Bundle.open(path)


@pytest.mark.parametrize("name", ["manifest.json", "decoder.onnx", "README.md"])
def test_two_files_of_one_name_are_refused(bundle_path, tmp_path, name):
    with pytest.raises(BundleError, match=f"two files named '{name}'"):
        Bundle.open(made(tmp_path / "z.zip", [*members(bundle_path), (name, b"x")]))


def test_two_bundles_in_a_zip_are_refused(bundle_path, tmp_path):
    both = [(f"{folder}/{name}", content) for folder in "ab" for name, content in members(bundle_path)]
    with pytest.raises(BundleError, match=r"2 files named manifest\.json"):
        Bundle.open(made(tmp_path / "z.zip", both))


def test_too_many_files_are_refused(bundle_path, tmp_path):
    many = [(f"{index}", b"") for index in range(zips.MAX_MEMBERS)]
    with pytest.raises(BundleError, match="expected at most 1,000"):
        Bundle.open(made(tmp_path / "z.zip", [*members(bundle_path), *many]))


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFDIR, stat.S_IFCHR])
def test_members_that_are_not_files_are_refused(bundle_path, tmp_path, kind):
    path = made(tmp_path / "z.zip", members(bundle_path), external_attr=(kind | 0o644) << 16)
    with pytest.raises(BundleError, match="not a regular file"):
        Bundle.open(path)


def test_an_encrypted_zip_is_refused(archive):
    content = bytearray(archive.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = content.find(signature)
        while start >= 0:
            content[start + offset] |= 1
            start = content.find(signature, start + 1)
    with pytest.raises(BundleError, match="encrypted"):
        Bundle.open(bytes(content))


def test_a_zip_bomb_is_refused_before_it_is_unpacked(bundle_path, tmp_path):
    files = [(name, content) for name, content in members(bundle_path) if name != "decoder.onnx"]
    path = made(tmp_path / "z.zip", [*files, ("decoder.onnx", bytes(2 * zips.FREE_BYTES))])
    with pytest.raises(BundleError, match="a bundle's files do not compress"):
        Bundle.open(path)


def test_a_manifest_that_is_too_large_is_refused(bundle_path, tmp_path):
    files = [(name, content) for name, content in members(bundle_path) if name != "manifest.json"]
    path = made(tmp_path / "z.zip", [*files, ("manifest.json", b" " * (8 * 2**20 + 1))])
    with pytest.raises(BundleError, match="expected at most 8,388,608"):
        Bundle.open(path)


def test_a_member_that_claims_to_be_smaller_gives_no_more_than_that(archive):
    """The size in the directory is what counts; the rest of the member is not read, and its hash is wrong then."""
    content = bytearray(archive.read_bytes())
    start = content.find(b"PK\x01\x02")
    while b"decoder.onnx" not in content[start : start + 60]:
        start = content.find(b"PK\x01\x02", start + 1)
    content[start + 24 : start + 28] = struct.pack("<I", 10)
    with pytest.raises(BundleError):
        Bundle.open(bytes(content))


@pytest.mark.parametrize("missing", ["manifest.json", "decoder.onnx", "encoder.onnx"])
def test_a_missing_member_is_named(bundle_path, tmp_path, missing):
    path = made(tmp_path / "z.zip", [item for item in members(bundle_path) if item[0] != missing])
    with pytest.raises(BundleError, match=missing):
        Bundle.open(path)


def test_a_changed_member_is_refused_by_its_hash(bundle_path, tmp_path):
    files = [(name, content + b"x" * (name == "encoder.onnx")) for name, content in members(bundle_path)]
    with pytest.raises(BundleError, match="encoder.onnx in .*z.zip has sha256"):
        Bundle.open(made(tmp_path / "z.zip", files))


def test_a_keras_file_is_named_as_one(tmp_path):
    path = made(tmp_path / "model.keras", [(name, b"x") for name in ("config.json", "model.weights.h5")])
    with pytest.raises(BundleError, match=r"model\.keras is a Keras model.*kvae export"):
        Bundle.open(path)


def test_a_resource_that_is_not_there_or_not_whole(bundle_path, tmp_path):
    path = zipped(bundle_path, tmp_path / "z.zip", "tiny/")
    with pytest.raises(BundleError, match="does not exist"):
        Bundle.open(zipfile.Path(path) / "other")
    part = made(tmp_path / "part.zip", [("tiny/manifest.json", (bundle_path / "manifest.json").read_bytes())])
    with pytest.raises(BundleError, match="does not hold a decoder.onnx"):
        Bundle.open(zipfile.Path(part) / "tiny")


def test_damaged_zips_are_errors_in_one_line(archive):
    """Bytes changed at random: it opens, with the same images, or it is a BundleError."""
    content, expected = archive.read_bytes(), Bundle.open(archive).sample(1)
    source = random.Random(0)
    for _ in range(300):
        damaged = bytearray(content)
        for _ in range(source.choice([1, 3, 30])):
            first = source.choice([0, len(damaged) - 600])  # most of what matters is in the directory, at the end
            damaged[source.randrange(first, len(damaged))] = source.randrange(256)
        del damaged[source.choice([len(damaged), source.randrange(len(damaged))]) :]
        try:
            found = Bundle.open(bytes(damaged)).sample(1)
        except BundleError as error:
            assert "\n" not in str(error)
        else:
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("command", ["verify {}", "export {} --out out --precision float16"])
def test_the_verbs_that_need_the_files_say_so(archive, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, command.format(archive).split())
    assert (result.exit_code, result.stdout) == (1, "")
    assert "is a zip. Unpack it" in result.stderr
    assert result.stderr.count("\n") == 1


def test_the_command_line_samples_from_a_zip(archive, bundle_path, tmp_path):
    result = CliRunner().invoke(
        main, ["sample", "--model", str(archive), "--n", "3", "--out", str(tmp_path / "samples.npy")]
    )
    assert result.exit_code == 0, result.stderr
    np.testing.assert_array_equal(np.load(tmp_path / "samples.npy"), Bundle.open(bundle_path).sample(3))
