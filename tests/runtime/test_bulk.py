"""Made shard by shard, the numbers equal those of one call, whatever files hold the images.

They have the same bits if a shard is a whole number of batches, which is so unless a test says otherwise; else
onnxruntime may add up the last few in another order, which changes the last bit of a float32.
"""

import csv
import gzip

import numpy as np
import pytest
from PIL import Image
from tiny import random_images

from kvae.data.images import open_images
from kvae.errors import DataError, KvaeError
from kvae.files import idx
from kvae.runtime import bulk, codes, scores
from kvae.runtime.bundle import Bundle

IMAGES = np.rint(random_images(40) * 255).astype(np.uint8)


@pytest.fixture
def paths(tmp_path, monkeypatch):
    """40 images: a folder of 10 pictures, then 8 in a .npy, 9 in a .npz and 13 in an idx.gz; as relative paths."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pictures").mkdir()
    for index, image in enumerate(IMAGES[:10]):
        Image.fromarray(image[..., 0]).save(tmp_path / "pictures" / f"{index}.png")
    np.save("a.npy", IMAGES[10:18])
    np.savez_compressed("b.npz", images=IMAGES[18:27])
    (tmp_path / "c-ubyte.gz").write_bytes(gzip.compress(idx.to_bytes(IMAGES[27:, ..., 0])))
    return [tmp_path.relative_to(tmp_path) / name for name in ("pictures", "a.npy", "b.npz", "c-ubyte.gz")]


def make_all(job, images=None, order=reversed):
    maker = bulk.Maker(job)
    for shard in order(range(len(job.plan.stops))):
        maker.make(shard, images[shard] if images else None)
    names = [job.plan.part(shard) for shard in range(len(job.plan.stops))]
    assert sorted(path.name for path in job.out.iterdir()) == names
    return [job.out / name for name in names]


def rows_of(parts):
    rows = []
    for part in parts:
        with part.open(newline="") as file:
            rows += list(csv.DictReader(file))
    return rows


@pytest.mark.parametrize("size", [7, 12, 40, 1000])
def test_scores_equal_those_of_one_call_within_a_millionth(bundle_path, paths, tmp_path, size):
    job, images = bulk.of_images("score", bundle_path, paths, tmp_path / "out", shard_size=size)
    assert [piece.count for piece in images] == [min(size, 40 - start) for start in range(0, 40, size)]
    found = rows_of(make_all(job, images))
    whole = open_images(paths, (8, 8, 1))
    scores.write_csv(scores.score(Bundle.open(bundle_path, threads=1), whole), tmp_path / "whole.csv")
    expected = rows_of([tmp_path / "whole.csv"])
    assert [row["image"] for row in found] == [row["image"] for row in expected]
    for name in ("elbo", "rate", "distortion"):
        np.testing.assert_allclose(*([float(row[name]) for row in rows] for rows in (found, expected)), rtol=1e-6)
    assert [row["image"] for row in found][9:12] == ["pictures/9.png", "a.npy[0]", "a.npy[1]"]


@pytest.mark.parametrize("verb", ["score", "encode"])
def test_shards_of_whole_batches_have_the_same_bits(bundle_path, tmp_path, monkeypatch, verb):
    """`shards.size_for` returns such sizes."""
    monkeypatch.setattr("kvae.data.image_files.BATCH", 5)
    np.save(tmp_path / "a.npy", IMAGES)
    job, pieces = bulk.of_images(verb, bundle_path, [tmp_path / "a.npy"], tmp_path / "out", shard_size=15)
    parts = make_all(job, pieces)
    whole = open_images([tmp_path / "a.npy"], (8, 8, 1))
    if verb == "score":
        scores.write_csv(scores.score(Bundle.open(bundle_path, threads=1), whole), tmp_path / "whole.csv")
        assert rows_of(parts) == rows_of([tmp_path / "whole.csv"])
        return
    codes.write(Bundle.open(bundle_path), whole, whole.batches(), tmp_path / "whole.npz")
    with np.load(tmp_path / "whole.npz") as expected:
        for name in ("loc", "scale", "names"):
            np.testing.assert_array_equal(np.concatenate([np.load(part)[name] for part in parts]), expected[name])


def test_codes_equal_those_of_one_call_within_a_millionth(bundle_path, paths, tmp_path):
    job, images = bulk.of_images("encode", bundle_path, paths, tmp_path / "out", shard_size=15)
    parts = [np.load(path) for path in make_all(job, images)]
    whole = open_images(paths, (8, 8, 1))
    codes.write(Bundle.open(bundle_path), whole, whole.batches(), tmp_path / "whole.npz")
    expected = np.load(tmp_path / "whole.npz")
    for name in ("loc", "scale"):
        np.testing.assert_allclose(np.concatenate([part[name] for part in parts]), expected[name], rtol=1e-6)
    assert np.concatenate([part["names"] for part in parts]).tolist() == expected["names"].tolist()


def test_samples_equal_those_of_one_call(bundle_path, tmp_path):
    job = bulk.of_samples(bundle_path, 1200, tmp_path / "out", seed=3, temperature=0.5, shard_size=512)
    found = np.concatenate([np.load(path) for path in make_all(job)])
    np.testing.assert_array_equal(found, Bundle.open(bundle_path).sample(1200, 3, 0.5))


def test_a_plan_records_what_its_parts_depend_on(bundle_path, paths, tmp_path):
    """Another model or file, or a changed file, gives another plan; the same call gives the same plan."""

    def plan(resize=False, sources=paths):
        return bulk.of_images("score", bundle_path, sources, tmp_path / "out", resize, shard_size=10)[0].plan

    first = plan()
    assert plan() == first
    assert plan(resize=True) != first
    assert plan(sources=paths[1:]) != first
    np.save("a.npy", IMAGES[:8])
    changed = [now == then for now, then in zip(plan().inputs, first.inputs, strict=True)]
    assert changed == [True, False, True, True]
    assert bulk.of_samples(bundle_path, 9, tmp_path, seed=1).plan != bulk.of_samples(bundle_path, 9, tmp_path).plan


def test_the_error_names_an_image_that_cannot_be_read(bundle_path, paths, tmp_path):
    job, images = bulk.of_images("score", bundle_path, paths, tmp_path / "out", shard_size=10)
    (tmp_path / "pictures" / "3.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"pictures/3\.png: it is not a picture"):
        bulk.Maker(job).make(0, images[0])
    (tmp_path / "pictures" / "3.png").unlink()
    with pytest.raises(DataError, match=r"pictures/3\.png: it cannot be read"):
        bulk.Maker(job).make(0, images[0])
    assert not job.out.exists()
    with pytest.raises(DataError, match=r"gone\.png cannot be read"):
        bulk.of_images("score", bundle_path, [tmp_path / "gone.png"], tmp_path / "out")
    with pytest.raises(KvaeError, match="n must be an integer from 1"):
        bulk.of_samples(bundle_path, 0, tmp_path / "out")


def test_a_worker_without_the_shared_folder_reports_it(bundle_path, paths, tmp_path):
    job, images = bulk.of_images("score", bundle_path, paths, tmp_path / "out")
    object.__setattr__(job, "folder", tmp_path / "elsewhere")
    with pytest.raises(KvaeError, match="must be on a file system that all machines share"):
        bulk.Maker(job).make(0, images[0])
