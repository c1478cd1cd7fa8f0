"""Load TensorFlow without its start-up messages."""

import os


def import_tensorflow_quietly() -> None:
    """Import TensorFlow with its start-up messages kept off stderr; an ImportError is still raised.

    They are written by C++ code before any log level is read, so no setting turns them off.
    """
    from kvae.files.stderr import silenced

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    with silenced():
        import tensorflow  # noqa: F401
        import tensorflow_probability

        _ = tensorflow_probability.distributions  # loaded on first use
