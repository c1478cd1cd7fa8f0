"""Load TensorFlow without its start-up messages."""

import os
import sys
from importlib.util import find_spec

import click

from kvae.cli import terminal
from kvae.files.text import printable


def import_tensorflow_quietly() -> None:
    """Import TensorFlow with its start-up messages kept off stderr; an ImportError is still raised.

    They are written by C++ code before any log level is read, so no setting turns them off.
    """
    from kvae.files.stderr import silenced

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if os.environ.setdefault("KERAS_BACKEND", "tensorflow") != "tensorflow":
        chosen = os.environ["KERAS_BACKEND"][:40]
        click.echo(f"KERAS_BACKEND={printable(chosen)} is ignored: kvae trains with tensorflow.", err=True)
        os.environ["KERAS_BACKEND"] = "tensorflow"
    will_load = "tensorflow" not in sys.modules and find_spec("tensorflow") is not None
    with terminal.status("loading TensorFlow", plain=will_load), silenced():
        import tensorflow
        import tensorflow_probability

        _ = tensorflow_probability.distributions  # loaded on first use
        from kvae.steps import backend

        backend.use_plain_settings()
    tensorflow.get_logger().setLevel("ERROR")  # its warnings are advice to programmers, such as about retracing
