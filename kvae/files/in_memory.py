"""A file whose content is held in memory: a member of a zip, or bytes that a program was given."""

from dataclasses import dataclass, field
from pathlib import PurePosixPath


@dataclass(frozen=True)
class InMemory:
    """Stands for a path where a file is named and read as a whole."""

    name: str
    """Its name, such as "decoder.onnx"."""
    source: str
    """What it is a part of, for messages."""
    content: bytes = field(repr=False)

    @property
    def suffix(self) -> str:
        """The end of the name, such as ".onnx"."""
        return PurePosixPath(self.name).suffix

    def read_bytes(self) -> bytes:
        """The content."""
        return self.content

    def __str__(self) -> str:
        return f"{self.name} in {self.source}"
