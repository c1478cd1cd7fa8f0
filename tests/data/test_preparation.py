"""The two passes: which size and mode they choose, and that threads change nothing."""

import random
import shlex
import threading
import time

import numpy as np
import pytest
from pictures_on_disk import PATCH, write_bad, write_colour_folder
from PIL import Image

from kvae.config import TrainConfig
from kvae.data import preparation, splits
from kvae.data.preparation import in_threads, survey
from kvae.data.sources import open_source
from kvae.data.tally import Prepared, Skipped, Tally
from kvae.errors import DataError


def plan_of(path, **settings):
    return survey(open_source(path), TrainConfig(data=str(path), **settings))


def go_through(path, **settings):
    config, source = TrainConfig(data=str(path), **settings), open_source(path)
    with preparation.images(source, config, survey(source, config)) as images:
        return list(images)


def save(folder, **pictures):
    folder.mkdir(exist_ok=True)
    for name, (mode, size) in pictures.items():
        Image.new(mode, size, None).save(folder / f"{name}.png")
    return folder


def test_the_most_frequent_size_is_used(tmp_path):
    save(tmp_path, a=("L", (9, 10)), b=("L", (12, 8)), c=("L", (9, 10)), d=("L", (300, 300)), e=("L", (300, 300)))
    save(tmp_path, f=("L", (300, 300)))
    plan = plan_of(tmp_path)
    assert (plan.shape, plan.count) == ((10, 9, 1), 6)
    assert [name for name, _ in plan.unfit] == ["d.png", "e.png", "f.png"]
    skipped = {image.name for image in go_through(tmp_path) if isinstance(image, Skipped)}
    assert skipped == {"b.png", "d.png", "e.png", "f.png"}


def test_the_shape_has_colour_if_any_picture_of_the_size_has_it(tmp_path):
    save(tmp_path, a=("L", (9, 10)), b=("L", (9, 10)), other=("RGB", (12, 8)))
    assert plan_of(tmp_path).shape == (10, 9, 1)  # the colour picture cannot be used
    assert plan_of(tmp_path, image_size="10x9").shape == (10, 9, 3)
    assert plan_of(tmp_path, image_size="10x9", grayscale=True).shape == (10, 9, 1)
    save(tmp_path, c=("RGB", (9, 10)))
    assert plan_of(tmp_path).shape == (10, 9, 3)
    assert plan_of(tmp_path, grayscale=True).shape == (10, 9, 1)


def test_without_usable_images_there_are_reasons_but_no_shape(tmp_path):
    save(tmp_path, a=("I;16", (9, 10)), b=("L", (300, 10)))
    assert plan_of(tmp_path).shape is None
    assert [image.reason for image in go_through(tmp_path)] == [
        "it has more than 8 bits per channel (see --levels)",
        "it is more than 256 pixels high or wide (see --image-size)",
    ]
    with pytest.raises(
        DataError,
        match="none of its 2 images can be used .a.png: it has more than 8 bits.*; b.png: it is more",
    ):
        preparation.shape_of(open_source(tmp_path), plan_of(tmp_path))


def test_an_array_of_large_images_needs_a_size(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((5, 300, 20), np.uint8))
    with pytest.raises(DataError, match="the images in .*x.npy cannot be used: it is more than 256 pixels"):
        plan_of(tmp_path / "x.npy")
    assert [image.pixels.shape for image in go_through(tmp_path / "x.npy", image_size="16")] == 5 * [(16, 16, 1)]


def test_images_equal_pillow_s_in_order_with_hash_and_split(tmp_path):
    write_colour_folder(tmp_path, 40, labels=("a", "b"))
    found = go_through(tmp_path, split_seed=5)
    assert [image.name for image in found] == sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*"))
    for image in found:
        pixels = np.asarray(Image.open(tmp_path / image.name).convert("RGB"))
        np.testing.assert_array_equal(image.pixels, pixels)
        assert image.label == image.name[0]
        assert image.digest == splits.content_hash(pixels)
        assert image.split == splits.split_of(image.digest, 5)


def test_adding_images_moves_no_others_to_another_split(tmp_path):
    write_colour_folder(tmp_path, 60)
    before = {image.name: image.split for image in go_through(tmp_path)}
    write_colour_folder(tmp_path, 120)
    after = {image.name: image.split for image in go_through(tmp_path)}
    assert {name: after[name] for name in before} == before
    other = {image.name: image.split for image in go_through(tmp_path, split_seed=1)}
    assert other != after


def test_bad_pictures_among_good_ones_are_skipped_by_name(tmp_path):
    write_colour_folder(tmp_path, 30)
    bad = write_bad(tmp_path / "bad")
    found = go_through(tmp_path)
    assert {image.name for image in found if isinstance(image, Skipped)} == {f"bad/{name}" for name in bad}
    assert sum(isinstance(image, Prepared) for image in found) == 30


def test_too_many_bad_images_are_an_error_that_names_the_first(tmp_path):
    skipped = [Skipped(f"{index}.png", "it is empty") for index in range(5)]
    source = open_source(write_colour_folder(tmp_path, 10))
    plan = plan_of(tmp_path)
    preparation.check_bad(source, skipped, TrainConfig(data=str(tmp_path), max_bad=5), plan)
    with pytest.raises(DataError) as error:
        preparation.check_bad(source, skipped, TrainConfig(data=str(tmp_path), max_bad=4, split_seed=2), plan)
    for fact in (
        f"{tmp_path}: at least 5 of 10 images cannot be used", "--max-bad is 4",
        "(0.png: it is empty; 1.png: it is empty; 2.png: it is empty; ...)",
        f"kvae data inspect {tmp_path} --split-seed 2",
    ):  # fmt: skip
        assert fact in str(error.value)


def test_the_advised_command_can_be_pasted():
    config = TrainConfig(data="it's here", image_size="16x20", grayscale=True, split_seed=3)
    words = ["kvae", "data", "inspect", "it's here", "--image-size", "16x20", "--grayscale", "--split-seed", "3"]
    assert shlex.split(preparation.inspect_command(config)) == words


def test_a_tally_counts_duplicates_and_those_with_other_labels():
    tally = Tally()
    pixels = np.zeros((8, 8, 1), np.uint8)
    for name, label, digest in (("a", 1, b"x"), ("b", 10, b"y"), ("c", 1, b"x"), ("d", 2, b"x"), ("e", 10, b"y")):
        tally.add(Prepared(name, label, pixels, digest, "train" if digest == b"x" else "test"))
    tally.add(Skipped("f", "it is empty"))
    assert (tally.num_duplicates, tally.num_conflicts, len(tally.skipped)) == (3, 1, 1)
    assert tally.classes == [1, 2, 10]
    assert tally.count() == {"train": 3, "validation": 0, "test": 2}
    tally.add(Prepared("g", None, pixels, b"z", "train"))
    assert tally.classes == []  # one image has no label


def test_threads_keep_the_order_and_do_not_read_far_ahead():
    started = []

    def given():
        for index in range(500):
            started.append(index)
            yield index

    def work(index):
        time.sleep(random.random() / 2000)
        return index, threading.get_ident()

    results = in_threads(work, given())
    first = [next(results) for _ in range(10)]
    assert len(started) <= preparation.GROUP * (preparation.MAX_THREADS + 2)
    done = first + list(results)
    assert [index for index, _ in done] == list(range(500))
    assert threading.get_ident() not in {thread for _, thread in done}


def test_fewer_large_images_of_an_array_wait_at_a_time(tmp_path, monkeypatch):
    """If each has a third of `CHUNK_BYTES`, a thread takes three; of small images, it takes `GROUP`."""
    sizes = []
    monkeypatch.setattr(
        preparation, "in_threads", lambda work, given, size: sizes.append(size) or in_threads(work, given)
    )
    monkeypatch.setattr(preparation, "CHUNK_BYTES", 3 * 8 * 8 * 4)
    np.save(tmp_path / "x.npy", np.zeros((4, 8, 8), np.float32))
    go_through(tmp_path / "x.npy")
    monkeypatch.setattr(preparation, "CHUNK_BYTES", 10)
    go_through(tmp_path / "x.npy")
    monkeypatch.setattr(preparation, "CHUNK_BYTES", 2**22)
    go_through(tmp_path / "x.npy")
    assert sizes == [3, 1, preparation.GROUP]


def test_threads_take_a_given_number_at_a_time():
    started = []
    results = in_threads(lambda index: index, map(lambda index: started.append(index) or index, range(500)), 1)
    next(results)
    assert len(started) <= preparation.MAX_THREADS + 2
    results.close()


def test_an_error_in_a_thread_is_raised_and_ends_the_others():
    before = threading.active_count()

    def work(index):
        if index == 40:
            raise ZeroDivisionError
        return index

    with pytest.raises(ZeroDivisionError):
        list(in_threads(work, range(10**9)))
    assert threading.active_count() == before


def test_every_format_of_a_photograph_has_its_size(tmp_path):
    write_colour_folder(tmp_path, 9)
    plan = plan_of(tmp_path)
    assert plan.shape == (*PATCH, 3)
    assert {kind.format: number for kind, number in plan.kinds.items()} == {"PNG": 3, "JPEG": 3, "WEBP": 3}
