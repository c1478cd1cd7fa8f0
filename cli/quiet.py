"""Load TensorFlow without its start-up messages."""

import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec

import click

from kvae.cli import terminal
from kvae.files.text import printable

FOR_TRAINING = ("tf2onnx", "onnx", "matplotlib", "rich")
"""What a training needs besides."""


def import_tensorflow_quietly(besides: Sequence[str] = ()) -> None:
    """Import TensorFlow with its start-up messages kept off stderr; an ImportError is still raised.

    They are written by C++ code before any log level is read, so no setting turns them off.

    Args:
        besides: other modules that will be needed; one that is not installed is an error before TensorFlow is loaded.
    """
    for name in ("tensorflow", "keras", "tensorflow_probability", *besides):
        if find_spec(name) is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    from kvae.files.stderr import silenced

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if os.environ.setdefault("KERAS_BACKEND", "tensorflow") != "tensorflow":
        chosen = os.environ["KERAS_BACKEND"][:40]
        click.echo(f"KERAS_BACKEND={printable(chosen)} is ignored: kvae trains with tensorflow.", err=True)
        os.environ["KERAS_BACKEND"] = "tensorflow"
    with terminal.status("loading TensorFlow", plain="tensorflow" not in sys.modules), silenced():
        import tensorflow
        import tensorflow_probability

        _ = tensorflow_probability.distributions  # loaded on first use
        from kvae.steps import backend

        backend.use_plain_settings()
    tensorflow.get_logger().setLevel("ERROR")  # its warnings are advice to programmers, such as about retracing
