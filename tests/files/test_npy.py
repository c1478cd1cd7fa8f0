"""Headers of .npy files, checked against numpy's own reader and writer."""

import io
import re

import numpy as np
import pytest

from kvae.files import npy


@pytest.mark.parametrize(("dtype", "shape"), [("<f4", (3, 2)), ("|u1", (0, 8, 8, 1)), ("<U5", (4,))])
def test_numpy_reads_what_follows_the_header(dtype, shape):
    rows = np.zeros(shape, dtype)
    file = io.BytesIO()
    npy.write_header(file, dtype, shape)
    file.write(rows.tobytes())
    file.seek(0)
    found = np.load(file)
    assert (found.dtype, found.shape) == (rows.dtype, shape)
    file.seek(0)
    assert npy.read_header(file) == (shape, False, np.dtype(dtype))


def test_numpy_s_own_headers_are_read():
    file = io.BytesIO()
    np.save(file, np.asfortranarray(np.ones((2, 3), ">i2")))
    file.seek(0)
    assert npy.read_header(file) == ((2, 3), True, np.dtype(">i2"))


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY", b"\x93NUMPY\x01\x00\x10\x00" + b"{'descr': 1" + b"\n" * 5])
def test_a_damaged_header_is_a_value_error(damage):
    with pytest.raises(ValueError, match=re.compile("header|magic|EOF", re.IGNORECASE)):
        npy.read_header(io.BytesIO(damage))
