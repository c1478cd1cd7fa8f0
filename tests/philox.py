"""The noise of a bundle in Python integers, as docs/bundle-format.md specifies it."""

import math

MASK = 2**64 - 1


def philox(counter: int, key: int, stream: int = 0) -> list[int]:
    """Philox4x64-10 as in Salmon et al., SC 2011, with key (key, stream)."""
    c = [(counter >> 64 * word) & MASK for word in range(4)]
    k = [key, stream]
    for _ in range(10):
        first, second = 0xD2E7470EE14C6C93 * c[0], 0xCA5A826395121157 * c[2]
        c = [second >> 64 ^ c[1] ^ k[0], second & MASK, first >> 64 ^ c[3] ^ k[1], first & MASK]
        k = [(k[0] + 0x9E3779B97F4A7C15) & MASK, (k[1] + 0xBB67AE8584CAA73B) & MASK]
    return c


def specified_noise(seed: int, image: int, dim: int) -> list[float]:
    blocks = math.ceil(dim / 4)
    words = [word for block in range(blocks) for word in philox(image * blocks + block + 1, seed)]
    normals = []
    for a, b in zip(words[::2], words[1::2], strict=True):
        radius = math.sqrt(-2 * math.log(((a >> 11) + 1) / 2**53))
        angle = 2 * math.pi * ((b >> 11) / 2**53)
        normals += [radius * math.cos(angle), radius * math.sin(angle)]
    return normals[:dim]


def specified_choice(seed: int, image: int, cumulative: list[int], stream: int) -> int:
    place = philox(image + 1, seed, stream)[0] >> 11
    return sum(weight <= place for weight in cumulative)
