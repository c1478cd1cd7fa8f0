"""TFRecords, written by TensorFlow."""

import gzip
import os

import numpy as np
import pytest
import tensorflow as tf
from pictures_on_disk import patches

from kvae.config import TrainConfig
from kvae.data import datasets, listing, records
from kvae.data.sources import open_source
from kvae.errors import DataError


def example(**features):
    def feature(value):
        if isinstance(value, bytes):
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))

    made = {name.replace("__", "/"): feature(value) for name, value in features.items()}
    return tf.train.Example(features=tf.train.Features(feature=made)).SerializeToString()


def encoded(count):
    return [tf.io.encode_png(np.asarray(patch)).numpy() for patch in patches(count)]


def write(path, contents, compression=""):
    with tf.io.TFRecordWriter(str(path), compression) as writer:
        for content in contents:
            writer.write(content)
    return path


def test_names_of_shards():
    for name in (
        "x.tfrecord",
        "x.tfrecords",
        "train.tfrecord-00000-of-00010",
        "x.tfrecord.gz",
        "x.tfrecords-1-of-2.gz",
    ):
        assert listing.is_records(name)
    for name in ("tfrecord", "x.tfrecord.txt", "x.tfrecord-00000", "x.png"):
        assert not listing.is_records(name)


@pytest.mark.parametrize("picture", ["image__encoded", "image", "image_raw"])
@pytest.mark.parametrize("label", ["image__class__label", "label"])
def test_pictures_and_labels_are_found_under_the_usual_names(tmp_path, picture, label):
    pictures = encoded(3)
    path = write(
        tmp_path / "x.tfrecord",
        [example(**{picture: content, label: index, "other": b"-"}) for index, content in enumerate(pictures)],
    )
    assert list(records.read(path)) == list(zip(pictures, range(3), strict=True))


def test_a_folder_of_shards_is_one_data_set(tmp_path):
    pictures = encoded(5)
    made = [example(image=content) for content in pictures]
    write(tmp_path / "x.tfrecord-00000-of-00002", made[:3])
    write(tmp_path / "x.tfrecord-00001-of-00002", made[3:])
    (tmp_path / "features.json").write_text("{}")
    source = open_source(tmp_path)
    assert (source.kind, source.count, source.num_others) == ("TFRecords", None, 1)
    items = list(source.items())
    assert [item.content for item in items] == pictures
    assert [item.name for item in items][2:4] == ["x.tfrecord-00000-of-00002[2]", "x.tfrecord-00001-of-00002[0]"]
    assert {item.label for item in items} == {None}


def test_compressed_shards(tmp_path):
    pictures = encoded(2)
    path = write(tmp_path / "x.tfrecord.gz", [example(image=content) for content in pictures], "GZIP")
    assert [item.content for item in open_source(path).items()] == pictures
    assert next(open_source(path).items()).name == "x.tfrecord.gz[0]"


@pytest.mark.parametrize(
    "damage", [lambda c: c[:-7], lambda c: c[:-9] + bytes([c[-9] ^ 1]) + c[-8:], lambda c: b"\xff" * 8 + c[8:]]
)
def test_the_error_names_a_damaged_file_and_how_far_it_could_be_read(tmp_path, damage):
    path = write(tmp_path / "x.tfrecord", [example(image=content) for content in encoded(3)])
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=r"x\.tfrecord is damaged or cut short after [0-2] records: ") as error:
        list(records.read(path))
    assert "\n" not in str(error.value)


LONG = bytes.fromhex("0000000000010000aa3d6be4")  # the header of a record of 2^40 bytes, with the right checksum


@pytest.mark.parametrize("name", ["x.tfrecord", "x.tfrecord.gz"])
def test_a_record_that_claims_to_be_huge_is_refused_before_tensorflow_reads_it(tmp_path, monkeypatch, name):
    """TensorFlow would allocate the memory for it, and crash."""
    monkeypatch.setattr(tf.data, "TFRecordDataset", lambda *_: pytest.fail("TensorFlow reads it"))
    path = write(tmp_path / "x.tfrecord", [example(image=b"x")])
    content = path.read_bytes() + LONG + 100 * b"x"
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    with pytest.raises(
        DataError, match=f"{name} is .* after 1 records: the next has 1,099,511,627,776 bytes, expected"
    ):
        list(records.read(tmp_path / name))


def test_files_that_cannot_be_read_are_named(tmp_path):
    record = write(tmp_path / "x.tfrecord", [example(image=np.random.default_rng(0).bytes(10_000))])
    content = gzip.compress(record.read_bytes())
    (tmp_path / "cut.tfrecord.gz").write_bytes(content[:5000])
    (tmp_path / "no.tfrecord.gz").write_bytes(b"no archive")
    (tmp_path / "bad.tfrecord.gz").write_bytes(content[:10] + b"\xff" * 20)
    os.mkfifo(tmp_path / "pipe.tfrecord")
    for name, reason in {
        "cut.tfrecord.gz": "cannot be read: Compressed file ended",
        "no.tfrecord.gz": "cannot be read: Not a gzipped file",
        "bad.tfrecord.gz": "cannot be read: Error -3",
        "nowhere.tfrecord": "cannot be read: No such file",
        "pipe.tfrecord": "it is not a regular file",
        "two\nlines.tfrecord": r"two\\nlines.tfrecord cannot be read",
    }.items():
        with pytest.raises(DataError, match=reason):
            list(records.read(tmp_path / name))


def test_tensorflow_s_code_locations_are_left_out(tmp_path):
    path = write(tmp_path / "two\nlines.tfrecord", [example(image=b"x")])
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"two\\nlines.tfrecord is damaged .* after 0 records: ") as error:
        list(records.read(path))
    assert not any(sign in str(error.value) for sign in ("{", "[Op", "\n"))


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (b"\xff\xff", "is not a tf.train.Example"),
        (example(pixels=b"x", label=1), r"\[0\] holds no encoded picture .*; its features are label, pixels"),
        (example(image=3), "holds no encoded picture"),
        (b"", "its features are none"),
    ],
    ids=["no record", "other features", "an integer", "empty"],  # a record's bytes differ from process to process
)
def test_records_of_something_else_are_refused(tmp_path, record, reason):
    with pytest.raises(DataError, match=reason):
        list(records.read(write(tmp_path / "x.tfrecord", [record])))


def test_records_become_a_data_set_with_their_labels(tmp_path, monkeypatch):
    """A record that cannot be used is skipped by name; the remaining labels are numbered from 0."""
    monkeypatch.setenv("KVAE_CACHE_DIR", str(tmp_path / "cache"))
    made = [example(image=content, label=10 * (index % 3)) for index, content in enumerate(encoded(120))]
    made[7] = example(image=b"no picture", label=99)
    write(tmp_path / "x.tfrecord-00000-of-00001", made)
    data = datasets.of(TrainConfig(data=str(tmp_path / "x.tfrecord-00000-of-00001")))
    assert (data.name, data.image_shape, data.class_names) == ("x", (24, 32, 3), ("0", "10", "20"))
    for split in (data.train, data.validation, data.test):
        for image, label, name in zip(split.images, split.labels, split.names, strict=True):
            index = int(name.partition("[")[2][:-1])
            assert label == index % 3
            np.testing.assert_array_equal(image, np.asarray(patches(index + 1)[index]))
    assert (data.folder / "skipped.csv").read_text().splitlines()[1].startswith("x.tfrecord-00000-of-00001[7],")
