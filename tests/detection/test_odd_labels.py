"""Which images are odd, in each kind of file, and what is wrong with a file that does not say it."""

import numpy as np
import pytest

from kvae.detection.odd_labels import read
from kvae.errors import DataError

EXPECTED = [False, True, True, False]
ARRAYS = {
    "integers": np.array([0, 1, 1, 0]),
    "bools": np.array(EXPECTED),
    "texts": np.array(["normal", "odd", "ODD", "Normal"]),
    "floats": np.array([0.0, 1.0, 1.0, 0.0]),
    "column": np.array([[0], [1], [1], [0]]),
}
TEXTS = {
    "plain": "0\n1\n1\n0\n",
    "words": "normal\nodd\n odd \nnormal",
    "named": "odd\nfalse\ntrue\nTrue\nFalse\n",
    "named otherwise": "label\n0\n1\n1\n0\n",
    "blank lines": "0\n\n1\n1\n0\n\n",
    "a byte order mark": "\ufeff0\r\n1\r\n1\r\n0\r\n",
    "of kvae score": 'image,elbo,odd\n"a,b.png",-1.0,False\nb.png,-2.0,True\nc.png,-2.0,True\nd.png,-2.0,False\n',
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays(name, tmp_path):
    np.save(tmp_path / "a.npy", ARRAYS[name])
    np.savez(tmp_path / "a.npz", images=np.zeros(3), labels=ARRAYS[name])
    assert read(tmp_path / "a.npy", 4).tolist() == read(tmp_path / "a.npz", 4).tolist() == EXPECTED


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("suffix", ["csv", "txt"])
def test_texts(name, suffix, tmp_path):
    path = tmp_path / f"a.{suffix}"
    path.write_text(TEXTS[name], encoding="utf-8", newline="")
    assert read(path, 4).tolist() == EXPECTED


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("0\n1\n", "2 labels for 4 images"),
        ("", "0 labels for 4 images"),
        ("0\n1\n2\n0\n", "label 2 is '2'; expected one of 1, true, odd, 0, false, normal"),
        ("0\n1\nshirt\n0\n", "label 2 is 'shirt'"),
        ("0\n0\n0\n0\n", "labels all 4 images normal"),
        ("1\n1\n1\n1\n", "labels all 4 images odd"),
        ("image,label\na,0\nb,1\nc,0\nd,0\n", "several columns, but none is named 'odd'"),
        ("a,0\nb\nc,1\nd,0\n", "different numbers of columns"),
        ('"' + "x" * 200_000, "not a text with labels"),
        (b"0\n\xff\x1b[31m\n1\n0\n", r"label 1 is '..\[31m'"),
    ],
)
def test_a_text_that_does_not_say_it(content, problem, tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=problem):
        read(path, 4)


@pytest.mark.parametrize(
    ("array", "problem"),
    [
        (np.array([0, 1, 1]), "3 labels for 4 images"),
        (np.array([0, 1, 1, 7]), "label 3 is '7'"),
        (np.array([0.5, 1, 1, 0]), "not whole numbers"),
        (np.array([0.0, np.nan, 1, 0]), "not whole numbers"),
        (np.ones(4, int), "all 4 images odd"),
        (np.array([0, None, 1, 0], object), "Python objects"),
    ],
)
def test_an_array_that_does_not_say_it(array, problem, tmp_path):
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    with pytest.raises(DataError, match=problem):
        read(tmp_path / "a.npy", 4)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read(tmp_path / "missing.csv", 4)
    with pytest.raises(DataError, match="cannot be read"):
        read(tmp_path / "missing.npy", 4)
    with pytest.raises(DataError, match="labels are read from .csv"):
        read(tmp_path / "labels.json", 4)
    (tmp_path / "a.npy").write_bytes(b"not an array")
    with pytest.raises(DataError, match="damaged"):
        read(tmp_path / "a.npy", 4)
