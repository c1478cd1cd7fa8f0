"""The sizes of a ladder: its levels, and the groups of latent dimensions on them."""

import math
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

MAX_POSITIONS = 64
"""The most pixels of the coarsest level, on which the dense layers are: 8 x 8, as in the convolutional networks."""
MAX_GROUP_POSITIONS = 1024
"""The most pixels of a level with a group of latent dimensions, and with two blocks instead of one: 32 x 32."""
CHANNELS = (24, 48, 64)
"""The channels of the levels, from the finest on; the last number is that of all further levels."""
GROUP_CHANNELS = (4, 2)
"""The latent channels of the levels, from the coarsest on; the last number is that of all further levels."""


class Level(NamedTuple):
    """One resolution of a ladder."""

    rows: int
    columns: int
    channels: int
    """Channels of the blocks."""
    blocks: int
    """Residual blocks of the bottom-up network; the top-down network has one before the first group, and one after
    each."""
    groups: tuple[int, ...]
    """The latent channels of each group on this level; empty for a level without any."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """`(rows, columns, channels)`."""
        return self.rows, self.columns, self.channels


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a ladder looks like. `Plan.of` makes one for images of any size; you can make your own."""

    image_shape: tuple[int, int, int]
    """`(height, width, channels)` of the images."""
    dense_dim: int
    """Latent dimensions of the first group, which has no pixels."""
    hidden_units: int
    """Width of the dense layers."""
    levels: tuple[Level, ...]
    """From the finest, at half the image's height and width, to the coarsest; each halves those before it, rounded
    up."""

    @classmethod
    def of(cls, image_shape: tuple[int, int, int], dense_dim: int, hidden_units: int) -> "Plan":
        """The plan for images of `(height, width, channels)`: 32, 4 x 7 x 7 and 2 x 14 x 14 for 28 x 28 and 32."""
        sizes = [_half(image_shape[:2])]
        while math.prod(sizes[-1]) > MAX_POSITIONS:
            sizes.append(_half(sizes[-1]))
        levels = []
        for index, (rows, columns) in enumerate(sizes):
            channels = CHANNELS[min(index, len(CHANNELS) - 1)]
            latents = GROUP_CHANNELS[min(len(sizes) - 1 - index, len(GROUP_CHANNELS) - 1)]
            has_group = rows * columns <= MAX_GROUP_POSITIONS
            levels.append(Level(rows, columns, channels, 2 if has_group else 1, (latents,) if has_group else ()))
        return cls(image_shape=image_shape, dense_dim=dense_dim, hidden_units=hidden_units, levels=tuple(levels))

    @property
    def groups(self) -> list[int]:
        """The sizes of the groups, from the coarsest to the finest."""
        spatial = (
            level.rows * level.columns * channels for level in reversed(self.levels) for channels in level.groups
        )
        return [self.dense_dim, *spatial]

    @property
    def latent_dim(self) -> int:
        """The size of a code: the sum of the groups."""
        return sum(self.groups)

    def to_dict(self) -> dict[str, Any]:
        """The plan as JSON values; `from_dict` reads them back."""
        return asdict(self) | {"levels": [level._asdict() for level in self.levels]}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Plan":
        """The plan that `to_dict` described."""
        levels = tuple(Level(**(level | {"groups": tuple(level["groups"])})) for level in values["levels"])
        height, width, channels = values["image_shape"]
        return cls(**(values | {"image_shape": (height, width, channels), "levels": levels}))


def _half(size: tuple[int, ...]) -> tuple[int, int]:
    rows, columns = size
    return math.ceil(rows / 2), math.ceil(columns / 2)
