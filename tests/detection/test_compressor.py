"""The length of an image's code: of a code that holds the image, and in the order of complexity."""

import lzma

import numpy as np
import pytest

from kvae.detection import compressor


@pytest.mark.parametrize("of_bits", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_code_holds_the_image(channels, of_bits, monkeypatch):
    image = np.random.default_rng(0).integers(0, 2 if of_bits else 256, (9, 7, channels), np.uint8)
    codes, compress = [], lzma.compress
    monkeypatch.setattr(
        lzma, "compress", lambda *given, **options: codes.append(compress(*given, **options)) or codes[-1]
    )
    found = compressor.bits(image[None].astype(np.float32) / (1 if of_bits else 255), of_bits)
    raw = lzma.decompress(codes[0], lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2}])
    again = np.frombuffer(raw, np.uint8)
    again = np.unpackbits(again, count=image.size) if of_bits else again
    assert np.array_equal(again.reshape(image.shape), image) and found.tolist() == [8 * len(codes[0])]


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_noise_is_more_complex_than_stripes_and_these_than_nothing(channels):
    rng = np.random.default_rng(0)
    stripes = np.broadcast_to((np.arange(32) // 4 % 2)[:, None, None], (32, 32, channels))
    for of_bits in (False, True):
        noise = rng.integers(0, 2, stripes.shape) if of_bits else rng.random(stripes.shape)
        found = compressor.bits(np.stack([np.zeros(stripes.shape), stripes, noise]).astype(np.float32), of_bits)
        assert found[0] < found[1] < found[2]
