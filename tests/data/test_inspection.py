"""What inspection finds, counted again by hand; training sees the same."""

import json
import re
from collections import Counter

import numpy as np
import pytest
from pictures_on_disk import write_bad, write_colour_folder, write_grey_folder
from PIL import Image

from kvae.config import TrainConfig
from kvae.data import datasets
from kvae.data.inspection import inspect
from kvae.files import pictures


def test_labels_sizes_and_splits_are_counted(tmp_path):
    data = write_grey_folder(tmp_path / "grey", 200)
    found = inspect(TrainConfig(data=str(data)))
    counts = Counter(path.parent.name for path in data.rglob("*.png"))
    assert found.labels == dict(sorted(counts.items()))
    assert (found.count, found.num_usable, found.num_grey) == (200, 200, 200)
    assert (found.formats, found.sizes, found.image_shape) == ({"PNG": 200}, {"28 x 28": 200}, (28, 28, 1))
    assert found.refusal is None
    assert found.skipped == []


def test_training_sees_the_same(tmp_path, monkeypatch):
    monkeypatch.setenv("KVAE_CACHE_DIR", str(tmp_path / "cache"))
    data = write_colour_folder(tmp_path / "data", 100)
    bad = write_bad(data / "bad")
    config = TrainConfig(data=str(data), image_size="16x20", split_seed=3)
    found, trained = inspect(config), datasets.of(config)
    assert found.splits == {split: len(getattr(trained, split).images) for split in found.splits}
    assert found.image_shape == trained.image_shape == (16, 20, 3)
    assert {f"bad/{name}" for name in bad} - {name for name, _ in found.skipped} == {
        "bad/large.png", "bad/other_size.png",
    }  # fmt: skip


def test_pictures_of_another_size_are_not_counted_as_grey_or_colour(tmp_path):
    """Unless they are resized."""
    write_colour_folder(tmp_path / "data", 3)
    for name, mode, size in (("a", "L", (32, 24)), ("b", "L", (40, 24)), ("c", "RGB", (300, 24)), ("d", "L", (4, 4))):
        Image.new(mode, size).save(tmp_path / "data" / f"{name}.png")
    found = inspect(TrainConfig(data=str(tmp_path / "data")))
    assert (found.num_grey, found.num_colour, found.num_usable) == (1, 3, 4)
    found = inspect(TrainConfig(data=str(tmp_path / "data"), image_size="8"))
    assert (found.num_grey, found.num_colour, found.num_usable) == (2, 4, 6)


def test_duplicates_are_in_one_split_and_counted(tmp_path):
    data = write_grey_folder(tmp_path / "grey", 60)
    (data / "Copies").mkdir()
    for path in sorted(data.glob("Bag/*"))[:3]:
        (data / "Copies" / path.name).write_bytes(path.read_bytes())
    coat = sorted(data.glob("Coat/*"))[0]
    (data / "Coat" / "again.png").write_bytes(coat.read_bytes())
    found = inspect(TrainConfig(data=str(data)))
    assert (found.num_duplicates, found.num_conflicts) == (4, 3)


def test_reasons_group_the_names(tmp_path):
    data = write_colour_folder(tmp_path / "data", 30)
    write_bad(data)
    found = inspect(TrainConfig(data=str(data), max_bad=5))
    assert found.reasons["it is animated, or has several pages"] == ["animated.gif", "animated.png", "animated.webp"]
    numbers = [len(names) for names in found.reasons.values()]
    assert numbers == sorted(numbers, reverse=True)
    assert sum(numbers) == 26
    assert found.refusal == "26 are skipped, more than the 5 of --max-bad"
    as_json = json.loads(json.dumps(found.to_dict()))
    assert len(as_json["skipped"]) == as_json["num_skipped"] == 26
    assert as_json["skipped"][0] == {"name": "animated.gif", "reason": "it is animated, or has several pages"}


def test_too_few_images_and_none_are_reported_but_not_raised(tmp_path):
    few = inspect(TrainConfig(data=str(write_colour_folder(tmp_path / "few", 3))))
    assert re.fullmatch(r"too few images for three splits \(1 train, 2 validation, 0 test\).* 1, 2 and 2", few.refusal)
    write_bad(tmp_path / "bad")
    (tmp_path / "bad" / "other_size.png").unlink()
    none = inspect(TrainConfig(data=str(tmp_path / "bad")))
    assert (none.num_usable, none.picture(), len(none.skipped)) == (0, None, 25)
    assert none.refusal


def test_a_picture_has_a_row_for_each_label(tmp_path):
    """Each row has the first images of its label, and missing images are white."""
    data = write_grey_folder(tmp_path / "grey", 60)
    for path in sorted(data.glob("Bag/*"))[2:]:
        path.unlink()
    found = inspect(TrainConfig(data=str(data)))
    white = np.full((28, 28, 1), 255, np.uint8)
    rows = []
    for label in found.labels:
        own = [np.asarray(Image.open(path))[..., None] for path in sorted((data / label).iterdir())[:8]]
        rows.append(own + (8 - len(own)) * [white])
    expected = pictures.labelled_grid(np.array(rows), list(found.labels), 8 * [""])
    np.testing.assert_array_equal(np.asarray(found.picture()), np.asarray(expected))


@pytest.mark.parametrize("count", [5, 80])
def test_a_picture_without_labels_is_a_grid_of_the_first_images(tmp_path, count):
    data = write_colour_folder(tmp_path, count)
    first = [np.asarray(Image.open(path)) for path in sorted(data.iterdir())[:64]]
    picture = inspect(TrainConfig(data=str(data))).picture()
    np.testing.assert_array_equal(np.asarray(picture), np.asarray(pictures.grid(np.stack(first))))


def test_progress_counts_to_the_end(tmp_path):
    told = []
    inspect(TrainConfig(data=str(write_colour_folder(tmp_path, 40))), lambda *numbers: told.append(numbers))
    assert told == [(index, 40) for index in range(1, 41)]
