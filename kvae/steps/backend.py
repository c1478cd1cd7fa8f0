"""Makes sure that Keras computes with TensorFlow, in float32 and with channels last, whatever the user's settings are.

Import this before Keras: it reads the environment variable KERAS_BACKEND, and `~/.keras/keras.json`, when it is
imported.
"""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from kvae.errors import KvaeError

logger = logging.getLogger(__name__)

VARIABLE = "KERAS_BACKEND"
NEEDED = "tensorflow"


def choose() -> None:
    """Have Keras use TensorFlow.

    Raises:
        KvaeError: Keras was already imported with another backend.
    """
    if "keras" in sys.modules:
        import keras

        if (found := keras.config.backend()) != NEEDED:
            raise KvaeError(
                f"kvae needs Keras with the backend {NEEDED}, but this program has already imported Keras with "
                f"{found}. Set {VARIABLE}={NEEDED}, or import kvae before Keras."
            )
        return
    if os.environ.get(VARIABLE, NEEDED) != NEEDED:
        logger.warning("%s=%s is ignored: kvae trains with %s.", VARIABLE, os.environ[VARIABLE][:40], NEEDED)
    os.environ[VARIABLE] = NEEDED


def use_plain_settings(dtype_policy: str = "float32") -> None:
    """Give new layers a dtype policy, and channels last, whatever `keras.json` says, in the whole process."""
    import keras

    keras.config.set_floatx("float32")
    keras.config.set_image_data_format("channels_last")
    keras.config.set_dtype_policy(dtype_policy)


@contextmanager
def plain_settings(dtype_policy: str = "float32") -> Iterator[None]:
    """A block with `use_plain_settings`, for a program whose settings are not kvae's to change."""
    import keras

    before = keras.config.floatx(), keras.config.image_data_format(), keras.config.dtype_policy()
    use_plain_settings(dtype_policy)
    try:
        yield
    finally:
        keras.config.set_floatx(before[0])
        keras.config.set_image_data_format(before[1])
        keras.config.set_dtype_policy(before[2])


choose()
