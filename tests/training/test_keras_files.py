"""Untrusted `.keras` files: nothing in them runs, and each that cannot be loaded is an error in one line."""

import json
import zipfile

import h5py
import keras
import numpy as np
import pytest
from tiny import make_vae, random_images

from kvae.errors import KvaeError
from kvae.training import keras_files


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """An untrained model as Keras saves it."""
    path = tmp_path_factory.mktemp("saved") / "model.keras"
    make_vae().save(path)
    return path


def members(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(path, contents, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return path


def refused(path, message="cannot load"):
    with pytest.raises(KvaeError, match=message) as caught:
        keras_files.load(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500
    assert path.name in str(caught.value)


def with_config(saved, target, change):
    """A copy of the saved model with a changed config."""
    contents = members(saved)
    config = json.loads(contents["config.json"])
    contents["config.json"] = json.dumps(change(config) or config)
    return write(target, contents)


def layers(value):
    """The layer configs within a config."""
    if isinstance(value, dict):
        if "class_name" in value and "config" in value:
            yield value
        for inner in value.values():
            yield from layers(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from layers(inner)


def test_a_saved_model_is_loaded(saved, tmp_path):
    contents = members(saved)
    again = keras_files.load(write(tmp_path / "again.keras", contents))
    images = random_images(2)
    np.testing.assert_array_equal(again.encoder(images).mean(), keras_files.load(saved).encoder(images).mean())


def test_a_lambda_is_not_run(tmp_path):
    """Its Python code is in the file."""
    end = keras.Input((2,))
    layer = keras.layers.Lambda(lambda x: x + 1, output_shape=(2,), name="evil")
    keras.Model(end, layer(end)).save(tmp_path / "lambda.keras")
    refused(tmp_path / "lambda.keras", "cannot load .*Lambda")


@pytest.mark.parametrize(
    ("place", "module", "name", "message"),
    [
        ("VAE", "kvae.model.vae", "Evil", "Could not locate class 'Evil'"),
        ("Dense", "stranger", "Evil", "Could not locate class 'Evil'"),
        ("Dense", "os", "system", "Could not locate class 'system'"),
        ("Dense", "builtins", "exec", "Could not locate class 'exec'"),
        ("Dense", "keras.layers", "TFSMLayer", "it is disallowed by default|loads an external SavedModel"),
        ("Dense", "keras.src.utils.file_utils", "get_file", "it is not a KerasSaveable"),
    ],
)
def test_unknown_classes_are_refused(saved, tmp_path, place, module, name, message):
    trace = tmp_path / "trace"
    settings = {"command": f"touch {trace}", "filepath": str(trace), "origin": "file:///etc/passwd", "name": "evil"}

    def change(config):
        target = next(item for item in layers(config) if item["class_name"] == place)
        target.update({"module": module, "class_name": name, "registered_name": None, "config": settings})

    refused(with_config(saved, tmp_path / "evil.keras", change), message)
    assert not trace.exists()


@pytest.mark.parametrize("config", ["", "[]", "{}", '{"class_name": 3}', "[" * 100_000, "\xff\xfe"])
def test_an_invalid_config_is_refused(saved, tmp_path, config):
    contents = members(saved) | {"config.json": config.encode("latin-1")}
    refused(write(tmp_path / "bad.keras", contents), "cannot load")


def test_files_that_are_not_models_are_refused(saved, tmp_path):
    content = saved.read_bytes()
    for name, bad in {
        "empty.keras": b"",
        "text.keras": b"hello",
        "zip.keras": b"PK\x05\x06" + bytes(18),
        "model.h5": content,
        "model.bin": content,
        "numbers.keras": np.arange(9).tobytes(),
        **{f"cut{part}.keras": content[: len(content) * part // 10] for part in (1, 5, 9)},
    }.items():
        (tmp_path / name).write_bytes(bad)
        refused(tmp_path / name)


def test_a_model_that_is_not_a_vae_is_refused(tmp_path):
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)]).save(tmp_path / "other.keras")
    refused(tmp_path / "other.keras", "it holds a Sequential; expected .*VAE")


def test_a_legacy_file_is_refused(tmp_path):
    """Keras reads .h5 files too, which kvae never writes, with an older reader."""
    with h5py.File(tmp_path / "old.h5", "w") as file:
        file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": {"layers": []}})
    refused(tmp_path / "old.h5", "expected a .keras file")


def test_damage_to_any_member_is_refused(saved, tmp_path):
    """With one bit of a part of the file flipped, it still loads or is refused in one line."""
    content = saved.read_bytes()
    rng = np.random.default_rng(0)
    outcomes = set()
    for place in np.linspace(0, len(content) - 1, 10).astype(int):
        damaged = bytearray(content)
        damaged[place] ^= 1 << rng.integers(8)
        path = tmp_path / f"{place}.keras"
        path.write_bytes(damaged)
        try:
            keras_files.load(path)
            outcomes.add("loaded")
        except KvaeError as error:
            assert "\n" not in str(error)
            outcomes.add("refused")
    assert "refused" in outcomes


def test_missing_members_are_noticed(saved, tmp_path):
    for name in ("config.json", "model.weights.h5"):
        contents = members(saved)
        del contents[name]
        refused(write(tmp_path / f"{name}.keras", contents), "cannot load")


@pytest.mark.parametrize("name", ["config.json", "model.weights.h5"])
def test_a_zip_bomb_is_not_unpacked(saved, tmp_path, name):
    """A hundred megabytes of zeros in a hundred kilobytes."""
    contents = members(saved) | {name: bytes(10**8)}
    refused(write(tmp_path / "bomb.keras", contents, zipfile.ZIP_DEFLATED), "it would unpack to 100,")


def test_a_model_that_was_compressed_again_is_loaded(saved, tmp_path):
    keras_files.load(write(tmp_path / "small.keras", members(saved), zipfile.ZIP_DEFLATED))


def test_weights_of_another_file_are_not_read(saved, tmp_path):
    """HDF5 can refer to other files, for a data set's numbers or instead of a data set."""
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(10**6))
    for trick in ("numbers", "link"):
        contents = members(saved)
        (tmp_path / "w.h5").write_bytes(contents["model.weights.h5"])
        with h5py.File(tmp_path / "w.h5", "r+") as file:
            names = []
            file.visititems(lambda name, item, names=names: names.append(name) if hasattr(item, "shape") else None)
            name = next(name for name in names if "encoder" in name)
            shape, dtype = file[name].shape, file[name].dtype
            del file[name]
            if trick == "numbers":
                size = int(np.prod(shape)) * dtype.itemsize
                file.create_dataset(name, shape, dtype, external=[(str(secret), 0, size)])
            else:
                file[name] = h5py.ExternalLink(str(secret), "/x")
        contents["model.weights.h5"] = (tmp_path / "w.h5").read_bytes()
        refused(write(tmp_path / "evil.keras", contents), "cannot load")


@pytest.mark.parametrize("name, units", [("units", 2_000_000), ("units", 16_000), ("latent_dim", 10**30)])
def test_a_layer_that_is_described_as_larger_than_its_weights_is_refused_before_it_is_made(
    saved, tmp_path, name, units
):
    """The first layer with the setting; 16,000 outputs of 64 inputs would be 4 MB of weights in a file of 50 kB."""

    def change(config):
        layer = next(layer for layer in layers(config) if name in layer["config"])
        layer["config"][name] = units

    refused(
        with_config(saved, tmp_path / "m.keras", change), "it describes a layer of [0-9,]+ weights, but holds at most"
    )


def test_the_weights_of_a_grouped_convolution_are_counted_by_group():
    described = {"config": {"filters": 64, "groups": 8}, "build_config": {"input_shape": [None, 4, 4, 32]}}
    assert keras_files._largest_layer([{"a": described}]) == 64 * 32 // 8
