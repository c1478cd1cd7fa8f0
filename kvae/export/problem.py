"""What stops a network from being exported: one line per layer, with what to do."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import keras

from kvae.errors import BundleError
from kvae.files.text import printable
from kvae.steps.keras_private import sublayers

MAX_LINE = 600


class Problem(NamedTuple):
    """A layer that cannot be exported. `str(problem)` is one line."""

    network: str
    """ "encoder", "decoder" or "prior"."""
    layer: str
    """The layer as `'name' (Class)`; empty if it is the network's own `call`."""
    reason: str
    """Why not; "it" is the layer."""
    advice: str
    """What to do, as an imperative."""

    def __str__(self) -> str:
        where = f"{self.network}, layer {self.layer}" if self.layer else self.network
        return printable(f"{where}: {self.reason}; {self.advice}.", MAX_LINE)


class NotExportable(BundleError):
    """A VAE that cannot be exported as it is. Its message is one line, however many problems there are."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        found = [str(problem) for problem in problems]
        count = "" if len(found) == 1 else f" ({len(found)} problems)"
        super().__init__(f"this VAE cannot be exported{count}: {' '.join(found)}")
        self.problems = tuple(problems)
        """One for each layer; `print(*error.problems, sep="\\n")` prints a line for each."""


def layer_at(network: keras.Model, name: str) -> str:
    """The innermost layer that made an operation, as `'name' (Class)`; empty if it was the network itself.

    Args:
        network: the encoder or the decoder.
        name: the operation's name in the traced graph. Keras puts the layers' names before it, each perhaps with a
            number that TensorFlow adds because the name occurred before: `encoder_1/sequential_1/gru_1/MatMul`.
    """
    layers = [network]
    found = None
    for part in name.split("/"):
        matching = [layer for layer in layers if _is_scope_of(layer, part)]
        if matching:
            found = max(matching, key=lambda layer: (part != layer.name, len(layer.name)))
            layers = sublayers(found)
    return "" if found is None or found is network else f"'{found.name}' ({type(found).__name__})"


def _is_scope_of(layer: keras.Layer, scope: str) -> bool:
    return re.fullmatch(rf"{re.escape(layer.name)}(_\d+)?", scope) is not None


def first_line(error: BaseException) -> str:
    """What an error says, without the layer and the arguments that Keras adds, and the colours."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).partition("Arguments received by")[0]
    text = re.sub(r"^Exception encountered when calling (\S+)\.call\(\)\.", r"\1:", text)
    return printable(text, 160).rstrip(".") or type(error).__name__
