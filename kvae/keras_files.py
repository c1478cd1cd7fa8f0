"""A model out of a `.keras` file, whoever made the file: nothing in it is run, and what is no model is one line."""

import zipfile
from pathlib import Path

import keras

from kvae.errors import KvaeError
from kvae.vae import VAE

MAX_EXPANSION = 20
"""How many times its size a file may unpack to. Keras does not compress; its own limit begins at 4 GB."""


def load(path: Path) -> VAE:
    """The model in a file that `model.save` wrote.

    Keras's safe mode is on: Python inside the file (a Lambda layer) and classes that are not Keras's own, kvae's or
    registered by the program are refused, and so, by Keras 3.15, which kvae asks for, are weights that stand in another
    file. The older `.h5` files, which Keras reads by older code, are not given to it. A description of huge layers
    takes the memory that such layers take.

    Raises:
        KvaeError: another kind of file, a damaged one, or one that holds something else than a VAE.
    """
    if path.suffix != ".keras":
        raise KvaeError(f"cannot load {path}: expected a .keras file, as Keras 3 saves a model.")
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > MAX_EXPANSION * path.stat().st_size:
            raise ValueError(f"it would unpack to {unpacked:,} bytes")
        model = keras.models.load_model(path, safe_mode=True)
    except Exception as error:  # what damage raises in zip, JSON, HDF5 and the layers' own code has no common base
        cause = str(error).rpartition("Exception encountered: ")[2]  # before it Keras tells all the model's settings
        reason = "".join(sign for sign in " ".join(cause.split())[:200] if sign.isprintable())
        raise KvaeError(f"cannot load {path}: {reason or type(error).__name__}") from None
    if not isinstance(model, VAE):
        raise KvaeError(f"cannot load {path}: it holds a {type(model).__name__}; expected a VAE of kvae.")
    return model
