"""Reading decoded images back: in memory or mapped, completely or with a clear error."""

import json

import numpy as np
import pytest
from pictures_on_disk import write_grey_folder

from kvae.config import TrainConfig
from kvae.data import decoded, image_cache
from kvae.data.sources import open_source
from kvae.errors import DataError
from kvae.machine import memory


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("KVAE_CACHE_DIR", str(tmp_path / "cache"))
    data = write_grey_folder(tmp_path / "grey", 100)
    return image_cache.prepare(open_source(data), TrainConfig(data=str(data)))


def test_images_are_loaded_if_they_fit_and_mapped_otherwise(folder):
    size = 100 * 28 * 28
    loaded, mapped = decoded.read_images(folder, size), decoded.read_images(folder, size - 1)
    assert {type(array) for array in loaded.values()} == {np.ndarray}
    assert {type(array) for array in mapped.values()} == {np.memmap}
    for split, array in loaded.items():
        np.testing.assert_array_equal(array, mapped[split])
        np.testing.assert_array_equal(array, np.load(folder / f"{split}.npy"))


def test_a_quarter_of_the_memory_may_be_used(folder, monkeypatch):
    for available, kind in ((4 * 100 * 28 * 28, np.ndarray), (4 * 100 * 28 * 28 - 4, np.memmap)):
        monkeypatch.setattr(memory, "available", lambda available=available: available)
        assert type(decoded.read_images(folder)["train"]) is kind


def test_a_mapped_image_cannot_be_written_to(folder):
    with pytest.raises(ValueError, match="read-only"):
        decoded.read_images(folder, 0)["train"][0] = 0


def test_names_are_read_on_demand(folder):
    names = decoded.Names(folder, "test", len(np.load(folder / "test.npy")))
    rows = [line.split(",") for line in (folder / "index.csv").read_text().splitlines()[1:]]
    expected = [row[0] for row in rows if row[2] == "test"]
    assert list(names) == expected
    assert len(names) == len(expected)
    assert (names[0], names[-1], names[1:3]) == (expected[0], expected[-1], expected[1:3])
    late = decoded.Names(folder, "train", 80)
    (folder / "index.csv").unlink()
    assert len(late) == 80
    with pytest.raises(DataError, match="cannot be read .No such file or directory.; delete this folder"):
        late[0]


@pytest.mark.parametrize("name", ["train.npy", "train_labels.npy", "summary.json"])
@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(b"x")])
def test_the_error_names_a_damaged_folder_and_says_what_to_do(folder, name, damage):
    damage(folder / name)
    with pytest.raises(
        DataError, match=f"the decoded images in {folder} cannot be read .*; delete this folder"
    ) as error:
        decoded.read_summary(folder)
        decoded.read_images(folder)
        decoded.read_labels(folder, "train")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "change",
    [{"splits": {}}, {"splits": {"train": 1, "validation": 2, "test": "3"}}, {"num_skipped": "0"}, {"sha256": None}],
)
def test_a_summary_that_lacks_something_is_damaged(folder, change):
    path = folder / "summary.json"
    summary = json.loads(path.read_text())
    for damaged in (summary | change, {}, [["splits", 3]]):
        path.write_text(json.dumps(damaged))
        with pytest.raises(DataError, match=r"cannot be read \(summary.json has .*\); delete this folder"):
            decoded.read_summary(folder)


def test_a_cut_array_is_refused(folder):
    content = (folder / "train.npy").read_bytes()
    (folder / "train.npy").write_bytes(content[:-1])
    with pytest.raises(DataError, match="delete this folder"):
        decoded.read_images(folder)


def test_a_summary_as_text(folder):
    summary = decoded.read_summary(folder)
    counts = summary["splits"]
    line = f"images of 28 x 28 x 1, {counts['train']} train, {counts['validation']} validation, {counts['test']} test"
    assert decoded.describe(summary) == line
    assert decoded.describe(summary | {"num_duplicates": 2, "num_across": 1}).endswith(
        "; 2 equal to an earlier one, 1 of them in another split"
    )
    summary |= {"num_skipped": 1200, "num_duplicates": 3, "num_conflicts": 2}
    assert decoded.describe(summary) == (
        f"{line}; 1,200 skipped (kvae data inspect says why); 3 equal to an earlier one, 2 of them with another label"
    )


def test_images_that_are_too_bad_or_too_few_are_refused(folder):
    summary = json.loads((folder / "summary.json").read_text())
    config = TrainConfig(data="my cats", image_size="20", grayscale=True, max_bad=6)
    command = "kvae data inspect 'my cats' --image-size 20 --grayscale"
    decoded.check(summary, config)
    with pytest.raises(DataError, match=f"my cats: 7 images cannot be used, more than the 6 of .* {command}"):
        decoded.check(summary | {"num_skipped": 7}, config)
    few = {"train": 9, "validation": 1, "test": 3}
    with pytest.raises(DataError, match=r"too few images for three splits \(9 train, 1 validation, 3 test\).*seed\.$"):
        decoded.check(summary | {"splits": few}, config)
    with pytest.raises(DataError, match=r"my cats: all levels are 0 or 1 of 255, .*x \* 255"):
        decoded.check(summary | {"brightest": 1}, config)
    decoded.check(summary | {"brightest": 0}, config)  # black pictures are no mistake of the format
    with pytest.raises(DataError, match=f"too few .* 5 cannot be used: {command} says why.$"):
        decoded.check(summary | {"splits": few, "num_skipped": 5}, config)
