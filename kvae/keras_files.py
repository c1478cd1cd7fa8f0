"""A model out of a `.keras` file, whoever made the file: nothing in it is run, and what is no model is one line."""

from pathlib import Path

import keras

from kvae.errors import KvaeError
from kvae.vae import VAE


def load(path: Path) -> VAE:
    """The model in a file that `model.save` wrote.

    Keras's safe mode is on: Python inside the file (a Lambda layer) and classes that are not Keras's own, kvae's or
    registered by the program are refused. Keras 3.15, which kvae asks for, also refuses members that unpack to far more
    than they are, and weights that stand in another file. The older `.h5` files, which it reads by older code, are not
    given to it.

    Raises:
        KvaeError: another kind of file, a damaged one, or one that holds something else than a VAE.
    """
    if path.suffix != ".keras":
        raise KvaeError(f"cannot load {path}: expected a .keras file, as Keras 3 saves a model.")
    try:
        model = keras.models.load_model(path, safe_mode=True)
    except Exception as error:  # what damage raises in zip, JSON, HDF5 and the layers' own code has no common base
        reason = "".join(sign for sign in " ".join(str(error).split())[:200] if sign.isprintable())
        raise KvaeError(f"cannot load {path}: {reason or type(error).__name__}") from None
    if not isinstance(model, VAE):
        raise KvaeError(f"cannot load {path}: it holds a {type(model).__name__}; expected a VAE of kvae.")
    return model
