"""What kvae knows of a data set that has a name: its four idx files, pinned by their sha256, and where to find them."""

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True)
class File:
    """One idx file of a data set.

    The hash is that of the content, not of the gzip file around it: the copies of Fashion-MNIST at its authors' and in
    Debian hold the same bytes, compressed differently.
    """

    name: str
    shape: tuple[int, ...]
    sha256: str


@dataclass(frozen=True)
class Source:
    """Where a named data set is found, and what it must be."""

    files: tuple[File, File, File, File]
    """Training images, training labels, test images, test labels; see `mnist_files`."""
    num_validation: int
    """The last images of the training file, held out."""
    class_names: tuple[str, ...]
    licence: str
    """Licence of the images, as model hubs spell it."""
    urls: tuple[str, ...] = ()
    """Folders to download from, tried in turn."""
    debian_package: str | None = None
    """Debian's package of the same files, in `share/datasets/<name>` under `/usr`."""
    test_bits_sha256: str | None = None
    """Hash of the binarised test images, if it was ever computed; see `kvae.bundle.binarization`."""
    shipped: bool = False
    """Whether the files come with kvae, in `kvae/data/<name>`."""

    @property
    def sha256(self) -> str:
        """The data set's own hash: that of its files' hashes, one a line."""
        return hashlib.sha256("\n".join(file.sha256 for file in self.files).encode()).hexdigest()


def mnist_files(
    num_train: int, num_test: int, hashes: tuple[str, str, str, str], size: tuple[int, int] = (28, 28)
) -> tuple[File, File, File, File]:
    """The files of a data set that comes in MNIST's four files, under MNIST's names.

    Args:
        num_train: images in the training file, the validation split included.
        num_test: images in the test file.
        hashes: sha256 of each file's content: training images, training labels, test images, test labels.
        size: height and width of an image.
    """
    return (
        File("train-images-idx3-ubyte", (num_train, *size), hashes[0]),
        File("train-labels-idx1-ubyte", (num_train,), hashes[1]),
        File("t10k-images-idx3-ubyte", (num_test, *size), hashes[2]),
        File("t10k-labels-idx1-ubyte", (num_test,), hashes[3]),
    )
