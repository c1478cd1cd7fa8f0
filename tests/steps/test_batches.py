"""The batches of training: real permutations, correctly drawn bits, and the same batches in both forms."""

from itertools import islice

import numpy as np
import pytest
import tensorflow as tf

from kvae.steps import batches

IMAGES = np.random.default_rng(0).integers(0, 256, (50, 8, 8, 1), dtype=np.uint8)
DRAWN = [(False, 0), (True, 0), (False, 2), (True, 1)]
"""What is drawn for each image, anew in each epoch: its bits, or not, and its move by up to so many pixels."""


def test_shuffled_batches_are_a_new_permutation_in_each_epoch():
    images = np.arange(10, dtype=np.uint8).reshape(10, 1, 1, 1)
    stream = batches.batches(images, 5, shuffle_seed=0)
    epochs = [epoch_of(stream, 2, number).ravel() for number in range(2)]
    for epoch in epochs:
        np.testing.assert_allclose(np.sort(epoch), np.arange(10) / 255, rtol=1e-6)
    assert not np.array_equal(*epochs)
    again = batches.batches(images, 5, shuffle_seed=0)
    np.testing.assert_array_equal(epoch_of(again, 2).ravel(), epochs[0])


@pytest.mark.parametrize(("binarize", "shift"), DRAWN)
@pytest.mark.parametrize("start", [3, 12, 17, 29])
def test_a_stream_can_begin_at_any_step(start, binarize, shift):
    """With 12 steps of 4 per epoch: in the middle of the first, at the start of the second, in the second and third."""
    settings = {"batch_size": 4, "shuffle_seed": 2, "binarize": binarize, "shift": shift}
    whole = [batch.numpy() for batch in batches.batches(IMAGES, **settings).take(40)]
    rest = [batch.numpy() for batch in batches.batches(IMAGES, **settings, start=start).take(40 - start)]
    np.testing.assert_array_equal(rest, whole[start:])
    packed = batches.steps(IMAGES, steps_per_call=5, **settings, start=start)
    found = [batch for element in packed.take(9) for batch in unrolled(element)][: 40 - start]
    np.testing.assert_array_equal(found, whole[start : start + len(found)])
    assert len(found) > 12 - start % 12  # it continued into the next epoch


def test_the_images_of_a_step_are_known():
    images = np.arange(50, dtype=np.uint8).reshape(50, 1, 1, 1)
    for step, batch in enumerate(batches.batches(images, 4, shuffle_seed=7).take(30)):
        chosen = batches.chosen_images(50, 4, 7, step)
        np.testing.assert_array_equal(images[chosen] / np.float32(255), batch)


@pytest.mark.parametrize(("binarize", "shift"), DRAWN)
def test_images_on_disk_give_the_batches_of_images_in_memory(tmp_path, binarize, shift):
    np.save(tmp_path / "images.npy", IMAGES)
    on_disk = np.load(tmp_path / "images.npy", mmap_mode="r")
    for images in (on_disk, on_disk[5:45]):
        streams = [
            batches.steps(array, 4, 3, shuffle_seed=1, binarize=binarize, shift=shift).take(5)
            for array in (images, images.copy())
        ]
        assert isinstance(images, np.memmap)
        for one, other in zip(*streams, strict=True):
            np.testing.assert_array_equal(one.pixels, other.pixels)
    plain = [batch.numpy() for batch in batches.batches(on_disk, 20)]
    np.testing.assert_array_equal(np.concatenate(plain), IMAGES / np.float32(255))


def test_no_thread_tunes_the_streams():
    """Ending an iterator sometimes waited up to ten seconds for that thread."""
    for stream in (batches.batches(IMAGES, 5), batches.steps(IMAGES, 5, 2, shuffle_seed=0)):
        assert stream.options().autotune.enabled is False


def test_training_batches_have_one_shape_and_validation_loses_nothing():
    images = np.zeros((10, 2, 2, 1), np.uint8)
    assert [len(batch) for batch in batches.batches(images, 4, shuffle_seed=0).take(5)] == [4] * 5
    assert [len(batch) for batch in batches.batches(images, 4)] == [4, 4, 2]


def shaded(grey, count=400):
    """Images of a single shade of grey."""
    return np.full((count, 4, 4, 1), grey, np.uint8)


def epoch_of(stream, steps, number=0):
    """The images of one epoch of an endless stream."""
    return np.concatenate([batch.numpy() for batch in stream.skip(number * steps).take(steps)])


def test_binarised_batches_hold_only_bits():
    stream = batches.batches(IMAGES, 10, shuffle_seed=0, binarize=True)
    assert [batch.shape for batch in stream.take(5)] == [(10, 8, 8, 1)] * 5
    epoch = epoch_of(stream, 5)
    assert epoch.dtype == np.float32
    assert set(np.unique(epoch)) == {0.0, 1.0}


@pytest.mark.parametrize("grey", [0, 1, 60, 200, 254, 255])
def test_the_mean_bit_is_the_intensity(grey):
    """Over 6,400 pixels an epoch and 5 epochs: within 5 standard errors; black is always 0 and white always 1."""
    stream = batches.batches(shaded(grey), 100, shuffle_seed=1, binarize=True)
    bits = epoch_of(stream, 5 * 4)
    error = np.sqrt(grey / 255 * (1 - grey / 255) / bits.size)
    assert abs(bits.mean(dtype=np.float64) - grey / 255) <= 5 * error


def test_bits_of_an_odd_number_of_pixels():
    """Two pixels share a random word; the last of these has its own. Means are within 5 standard errors."""
    epoch = epoch_of(batches.batches(np.full((400, 3, 3, 1), 128, np.uint8), 5, shuffle_seed=0, binarize=True), 80)
    assert epoch.shape == (400, 3, 3, 1)
    np.testing.assert_allclose(epoch.mean(axis=0), 0.5, atol=5 * 0.5 / 20)


def test_each_pixel_batch_and_epoch_has_its_own_bits():
    """With grey level 128, any two images, batches or epochs differ in half their pixels, within 5 standard errors."""
    stream = batches.batches(shaded(128), 200, shuffle_seed=0, binarize=True)
    one, other = epoch_of(stream, 2), epoch_of(stream, 2, 1)
    tolerance = 5 * 0.5 / np.sqrt(200 * 16)
    assert np.mean(one[:200] != one[200:]) == pytest.approx(0.5, abs=tolerance)  # two batches
    assert np.mean(one != other) == pytest.approx(0.5, abs=tolerance)
    assert np.mean(one[0:200:2] != one[1:200:2]) == pytest.approx(0.5, abs=tolerance)
    assert np.mean(one[:, :2] != one[:, 2:]) == pytest.approx(0.5, abs=tolerance)  # pixels of one image


def test_the_same_seed_gives_the_same_bits():
    streams = [batches.batches(IMAGES, 10, shuffle_seed=seed, binarize=True) for seed in (3, 3, 4)]
    one, again, other = (epoch_of(stream, 10) for stream in streams)
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)


def test_bits_follow_the_order_of_their_images():
    """All-black and all-white images, which no draw changes, are where the grey stream with the same seed has them."""
    images = np.repeat(np.uint8([0, 255]), 20).reshape(40, 1, 1, 1)
    grey, bits = (epoch_of(batches.batches(images, 8, shuffle_seed=5, binarize=flag), 5) for flag in (False, True))
    np.testing.assert_array_equal(grey, bits)
    assert not np.array_equal(bits.ravel(), images.ravel() / 255)


def unrolled(element):
    """The batches of one element of `steps`, as a list."""
    assert isinstance(element, batches.Steps)
    return [element.batch(step).numpy() for step in range(int(element.count))]


@pytest.mark.parametrize(("binarize", "shift"), DRAWN)
@pytest.mark.parametrize("steps_per_call", [1, 3, 5, 12])
def test_steps_hold_the_batches_of_the_plain_stream(steps_per_call, binarize, shift):
    """12 batches of 4 in each of two epochs, the same to the last bit, whether or not the calls divide evenly."""
    plain = batches.batches(IMAGES, 4, shuffle_seed=2, binarize=binarize, shift=shift)
    packed = iter(batches.steps(IMAGES, 4, steps_per_call, shuffle_seed=2, binarize=binarize, shift=shift))
    calls = batches.calls_per_epoch(len(IMAGES), 4, steps_per_call)
    for epoch in range(2):
        expected = [batch.numpy() for batch in plain.skip(12 * epoch).take(12)]
        found = [batch for element in islice(packed, calls) for batch in unrolled(element)]
        np.testing.assert_array_equal(found, expected)


def test_all_elements_of_an_epoch_have_one_shape():
    """Otherwise each shape would be compiled separately; anything beyond an element's count is padding."""
    stream = batches.steps(IMAGES, 4, 5, shuffle_seed=0, binarize=True)
    assert tuple(stream.element_spec.pixels.shape) == (5, 4, 8, 8, 1)
    elements = list(stream.take(6))
    assert [int(element.count) for element in elements] == [5, 5, 2] * 2
    for element in elements:
        assert element.pixels.shape == (5, 4, 8, 8, 1)
        assert element.pixels.dtype == np.uint8


@pytest.mark.parametrize("num_images, calls", [(50, 3), (40, 2), (43, 2), (44, 3), (4, 1)])
def test_calls_of_an_epoch(num_images, calls):
    """5 steps of 4 images per call; images that do not fill a batch do not count."""
    assert batches.calls_per_epoch(num_images, 4, 5) == calls


def test_the_order_is_drawn_independently_of_the_bits():
    """They use different random words: otherwise an order and its first bits would be correlated."""
    images = np.full((8, 2, 2, 1), 128, np.uint8)
    bits = epoch_of(batches.batches(images, 4, shuffle_seed=0, binarize=True), 2)
    words = tf.random.stateless_uniform([8], [0, 0], minval=None, maxval=None, dtype=tf.uint32).numpy()
    draws = words.view(np.uint16)[:16].reshape(4, 2, 2, 1)
    np.testing.assert_array_equal(bits[:4], draws < 128 * 257)  # the bits' seed is (seed, step)
    order_seed = [batches.BEYOND_SEEDS, 0]
    order = tf.random.experimental.stateless_shuffle(tf.range(8, dtype=tf.int64), order_seed).numpy()
    np.testing.assert_array_equal(order[:4], batches.chosen_images(8, 4, 0, 0))


@pytest.mark.parametrize(("binarize", "shift"), DRAWN)
@pytest.mark.parametrize("count", [2, 4])
def test_the_shares_of_a_batch_make_up_the_batch(binarize, shift, count):
    """In one process with several replicas, whose elements come in turn, and in several processes; from any step."""
    settings = {"batch_size": 8, "shuffle_seed": 3, "binarize": binarize, "shift": shift, "start": 4}
    whole = np.stack([batch.numpy() for batch in batches.batches(IMAGES, **settings).take(9)])
    turns = batches.batches(IMAGES, **settings, shares=batches.Shares(count, range(count))).take(9 * count)
    np.testing.assert_array_equal(np.concatenate([share.numpy() for share in turns]), np.concatenate(whole))
    size = 8 // count
    for number in range(count):
        own = batches.batches(IMAGES, **settings, shares=batches.Shares(count, range(number, number + 1))).take(9)
        np.testing.assert_array_equal(list(own), whole[:, number * size : (number + 1) * size])


def test_the_parts_of_validation_batches_contain_each_image_once():
    """With 50 images in batches of 16, the last batch has 2 for three replicas: one gets none. Then it repeats."""
    streams = [
        batches.batches(IMAGES, 16, shares=batches.Shares(3, own)).take(2 * 4 * len(own))
        for own in (range(2), range(2, 3))  # two replicas in one process, one in another
    ]
    two, one = map(list, streams)
    for start in range(8):
        parts = [*two[2 * start : 2 * start + 2], one[start]]
        first = start % 4 * 16
        images = np.concatenate([part.images for part in parts])
        np.testing.assert_array_equal(images, IMAGES[first : first + 16] / np.float32(255))
        sizes = [len(part.images) for part in parts]
        assert max(sizes) - min(sizes) <= 1
        assert [int(part.first) for part in parts] == [0, *np.cumsum(sizes)[:-1]]
        assert {int(part.total) for part in parts} == {len(images)}
