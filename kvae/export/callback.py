"""A Keras callback that stops a training at once if its model cannot be exported."""

from typing import Any

import keras

from kvae.export.checking import check


class CheckExport(keras.callbacks.Callback):
    """Checks, before a training's first step, that its VAE can be exported; see `kvae.export.check`.

    A model that has no weights yet is checked after the first step, which has built it. The callback only observes: the
    weights are the same without it.

    Raises:
        NotExportable: from `fit`: the message names each layer that cannot be exported, and its replacement.
        KvaeError: from `fit`: the model cannot be exported for another reason.
    """

    def __init__(self) -> None:
        super().__init__()
        self._done = False

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._done = self.model.built
        if self._done:
            check(self.model)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if not self._done:
            self._done = True
            check(self.model)
