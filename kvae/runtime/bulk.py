"""Encode, score and sample in shards: what to make, and how to make one shard, with any engine.

Each part is what the command without shards would write for the same images. Shards do not depend on each other, so
they can be made in any order, on any machine that has the model and the files under the same names.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kvae.bundle.manifest import FILE_NAME, sha256
from kvae.data.images import Bad, Images, open_for
from kvae.errors import DataError, KvaeError
from kvae.files import output
from kvae.files.atomic import atomic_file
from kvae.files.reading import PLAIN, Reading
from kvae.runtime import class_labels, codes, scores, shards
from kvae.runtime.arguments import Temperature
from kvae.runtime.bundle import BATCH_SIZE, Bundle
from kvae.runtime.class_labels import Label

SUFFIXES = {"encode": ".npz", "score": ".csv", "sample": ".npy"}


@dataclass(frozen=True)
class Job:
    """A large task, cut into shards. Make one with `of_images` or `of_samples`."""

    plan: shards.Plan
    out: Path
    """The folder of the parts, absolute."""
    model: Path
    """The bundle's folder, or a lone graph; absolute."""
    device: str
    folder: Path
    """The folder that the names of the images are relative to."""
    max_bad: int = 0
    """How many pictures may be skipped in all."""
    label: Label | None = None
    """The images' class: its number, "best", or a number for each image."""


def of_images(
    verb: str,
    model: Path,
    paths: Sequence[Path],
    out: Path,
    resize: bool = False,
    reading: Reading = PLAIN,
    device: str = "auto",
    shard_size: int | None = None,
    max_bad: int = 0,
    label: Label | None = None,
) -> tuple[Job, list[Images]]:
    """The job that encodes or scores images, and the images of each of its shards.

    Args:
        verb: "encode" or "score".
        model: the bundle's folder.
        paths: files and folders of images; see `kvae.data.images.open_for`.
        out: the folder of the parts.
        resize: as for `open_for`.
        reading: as for `open_for`.
        device: where the graphs run; see `Bundle.open`.
        shard_size: images in a shard; by default `shards.size_for` decides.
        max_bad: as for `open_for`. A call counts the pictures of the parts that it makes.
        label: the images' class, if the model has labels; see `kvae.runtime.scores.score`.

    Raises:
        KvaeError: the bundle or the images cannot be used, or a label is missing or not one of the model's.
    """
    manifest = Bundle.open(model, "cpu").manifest
    images = open_for(manifest, paths, resize, reading, max_bad)
    size = shard_size or shards.size_for(manifest.image_shape, images.batch)
    known: Label | None = label
    if not class_labels.is_best(manifest, label):
        known = _compact(class_labels.resolve(manifest, label, images.count))
    settings = {"resize": resize} | _given(reading) | _label_setting(known)
    plan = shards.Plan(verb, _digest(model), images.count, size, SUFFIXES[verb], settings, [])
    pieces = list(images.cut(plan.stops))
    plan.inputs.extend(map(_fingerprint, pieces))
    return _job(plan, model, out, device, max_bad, known), pieces


def of_samples(
    model: Path,
    n: int,
    out: Path,
    seed: int = 0,
    temperature: Temperature = 1.0,
    device: str = "auto",
    shard_size: int | None = None,
    label: Label | None = None,
) -> Job:
    """The job that samples `n` images from a model; arguments as for `of_images` and `Bundle.sample`.

    Raises:
        KvaeError: the bundle cannot be used, or an argument is out of range.
    """
    bundle = Bundle.open(model, "cpu")
    bundle.sample_batches(n, seed, temperature, label=label)  # checks the arguments, but draws nothing yet
    known = None if label is None else _compact(class_labels.resolve(bundle.manifest, label, n))
    size = shard_size or shards.size_for(bundle.manifest.image_shape, BATCH_SIZE)
    factor = temperature if isinstance(temperature, (int, float)) else np.asarray(temperature, np.float64).tolist()
    settings = {"seed": seed, "temperature": factor} | _label_setting(known)
    plan = shards.Plan("sample", _digest(model), n, size, SUFFIXES["sample"], settings, [])
    return _job(plan, model, out, device, label=known)


class Maker:
    """Makes the shards of a job one after the other, on one core; it opens the model once."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._bundle: Bundle | None = None

    def make(self, shard: int, images: Images | None) -> list[Bad]:
        """Write the file of a shard, and return the pictures that were skipped.

        Args:
            shard: its index.
            images: its images; None if the job samples images.

        Raises:
            KvaeError: the model or an image cannot be read, or the part cannot be written.
        """
        job = self._job
        if self._bundle is None:
            self._bundle = Bundle.open(job.model, job.device, threads=1)
            if images is not None:
                _enter(job.folder)
        # The writers of the parts rename too; this makes sure that a part is on the disk before it gets its name. Ray
        # may make a part again while the first worker, which it cannot reach, still writes it.
        with atomic_file(job.out / job.plan.part(shard), durable=True, waits=True) as path:
            _write(self._bundle, job, shard, images, path)
        return images.skipped if images is not None else []


def _write(bundle: Bundle, job: Job, shard: int, images: Images | None, path: Path) -> None:
    plan, label = job.plan, job.label
    start = plan.start(shard)
    if isinstance(label, np.ndarray):
        label = label[start : plan.stops[shard]]
    if images is None:
        count = plan.stops[shard] - start
        batches = bundle.sample_batches(count, plan.settings["seed"], plan.settings["temperature"], start, label)
        output.write(batches, count, bundle.manifest.image_shape, path)
    elif plan.verb == "encode":
        codes.write(bundle, images, images.batches(), path, label)
    else:
        found = scores.score(bundle, images, threads=1, label=label)
        scores.write_csv(found, path, labelled=bundle.labels is not None)


def _compact(labels: class_labels.Labels | None) -> Label | None:
    """Labels for workers: a number if all images have the same one, or else one for each image."""
    return labels if labels is None or np.any(labels != labels[0]) else int(labels[0])


def _label_setting(label: Label | None) -> dict[str, Any]:
    """The setting of a plan; without labels, the plan equals that of an earlier kvae."""
    if label is None:
        return {}
    if isinstance(label, np.ndarray):
        return {"label": f"sha256 {hashlib.sha256(label.tobytes()).hexdigest()[:16]}"}
    return {"label": label}


def _given(reading: Reading) -> dict[str, Any]:
    """The settings of a reading that were given; without any, the plan equals that of an earlier kvae."""
    return {name: list(value) if name == "levels" else value for name, value in reading._asdict().items() if value}


def _job(plan: shards.Plan, model: Path, out: Path, device: str, max_bad: int = 0, label: Label | None = None) -> Job:
    return Job(plan, out.absolute(), model.absolute(), device, Path.cwd(), max_bad, label)


def _enter(folder: Path) -> None:
    """Make a folder the current one, so that relative names of images mean the same as where they were given."""
    try:
        os.chdir(folder)
    except OSError as error:
        raise KvaeError(
            f"a worker cannot enter {folder}: {error.strerror}. Images, model and --out must be on a file system that "
            f"all machines share."
        ) from None


def _digest(model: Path) -> str:
    """The sha256 that identifies a model."""
    return sha256(model / FILE_NAME if model.is_dir() else model)


def _fingerprint(images: Images) -> str:
    """A digest of the source of images: their names, and the sizes and modification times of the files."""
    found = hashlib.sha256()
    for line in _file_lines(images):
        found.update(os.fsencode(line))
    return found.hexdigest()[:16]


def _file_lines(images: Images) -> Iterator[str]:
    for part in images.parts:
        try:
            status: Any = part.path.stat()
        except OSError as error:
            raise DataError(f"{part.path} cannot be read: {error.strerror}.") from None
        yield f"{part.name(0)}\0{part.count}\0{status.st_size}\0{status.st_mtime_ns}\n"
