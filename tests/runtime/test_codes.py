"""Codes in files: they equal the bundle's posteriors, and decode to the bundle's reconstructions."""

import numpy as np
import pytest
from tiny import DATASET, make_vae, random_images

from kvae.bundle import binarization
from kvae.data import images
from kvae.errors import DataError, KvaeError
from kvae.export.bundles import export
from kvae.runtime import codes
from kvae.runtime.bundle import Bundle

IMAGES = random_images(30)


@pytest.fixture
def source(tmp_path, monkeypatch):
    monkeypatch.setattr("kvae.data.image_files.BATCH", 8)
    np.save(tmp_path / "images.npy", IMAGES)
    return images.open_images([tmp_path / "images.npy"], (8, 8, 1))


def test_codes_are_the_posteriors_with_names(bundle_path, source, tmp_path):
    bundle = Bundle.open(bundle_path)
    codes.write(bundle, source, source.batches(), tmp_path / "codes.npz")
    posterior = bundle.encode(IMAGES)
    with np.load(tmp_path / "codes.npz") as found:
        assert set(found) == {"loc", "scale", "names"}
        np.testing.assert_allclose(found["loc"], posterior.loc, atol=1e-6)
        np.testing.assert_allclose(found["scale"], posterior.scale, atol=1e-6)
        assert found["names"].tolist() == [f"{tmp_path / 'images.npy'}[{index}]" for index in range(30)]


def test_decoded_codes_are_the_reconstructions(bundle_path, source, tmp_path, monkeypatch):
    monkeypatch.setattr(codes, "ROWS", 7)
    bundle = Bundle.open(bundle_path)
    codes.write(bundle, source, source.batches(), tmp_path / "codes.npz")
    found = codes.open_codes(tmp_path / "codes.npz", 3)
    decoded = np.concatenate(list(codes.decode(bundle, found)))
    np.testing.assert_allclose(decoded, bundle.reconstruct(IMAGES), atol=1e-6)
    pairs = list(codes.reconstruct(bundle, source.batches()))
    np.testing.assert_allclose(np.concatenate([pair[1] for pair in pairs]), decoded, atol=1e-6)
    np.testing.assert_array_equal(np.concatenate([pair[0] for pair in pairs]), IMAGES)


def test_a_model_of_bits_gets_bits(source, tmp_path):
    path = export(make_vae(), tmp_path / "b", dataset=DATASET, binarize="dynamic").path
    bundle = Bundle.open(path)
    bits = binarization.as_encoded(bundle.manifest, IMAGES)
    codes.write(bundle, source, source.batches(), tmp_path / "codes.npz")
    np.testing.assert_allclose(np.load(tmp_path / "codes.npz")["loc"], bundle.encode(bits).loc, atol=1e-6)
    originals = np.concatenate([pair[0] for pair in codes.reconstruct(bundle, source.batches())])
    np.testing.assert_array_equal(originals, bits)


def test_the_user_s_own_codes_take_precedence_over_means(tmp_path):
    z = np.ones((2, 3))
    np.savez(tmp_path / "a.npz", loc=np.zeros((2, 3)), z=z)
    np.save(tmp_path / "a.npy", z)
    for name in ("a.npz", "a.npy"):
        np.testing.assert_array_equal(next(codes.open_codes(tmp_path / name, 3).rows(10)), z)


def test_the_error_names_a_file_that_does_not_hold_codes(bundle_path, source, tmp_path):
    np.save(tmp_path / "integers.npy", np.ones((2, 3), int))
    np.save(tmp_path / "long.npy", np.ones((2, 4)))
    np.save(tmp_path / "flat.npy", np.ones(3))
    for name, message in {
        "integers.npy": r"holds int64 of shape \(2, 3\); expected floating-point codes \(n, 3\)",
        "long.npy": r"shape \(2, 4\); expected",
        "flat.npy": r"shape \(3,\); expected",
        "codes.txt": "codes are read from .npy or .npz",
        "missing.npz": "No such file",
    }.items():
        with pytest.raises(DataError, match=message):
            codes.open_codes(tmp_path / name, 3)
    with pytest.raises(KvaeError, match="must end in .npz"):
        codes.write(Bundle.open(bundle_path), source, source.batches(), tmp_path / "codes.npy")
