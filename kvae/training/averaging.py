"""Shows the averaged weights (`ema`) to whatever looks at the model between two epochs."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import keras

from kvae.steps.optimizers import FusedAdam


class Averaging(keras.callbacks.Callback):
    """Validates with the averaged weights, and shows them to the callbacks after it, until the next epoch begins.

    Without averages in the optimizer it does nothing. Put it first in the list of callbacks.
    """

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._show(False)

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._show(True)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._show(True)  # if there was no validation

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._show(False)

    def _show(self, wanted: bool) -> None:
        if isinstance(self.model.optimizer, FusedAdam):
            self.model.optimizer.show_averages(wanted)


def averaged(model: keras.Model) -> AbstractContextManager[None]:
    """A block in which a model has its averaged weights, if its optimizer keeps any."""
    return model.optimizer.averaged() if isinstance(model.optimizer, FusedAdam) else nullcontext()


def loaded(model: keras.Model) -> None:
    """Give a model, loaded from a file that `averaged` wrote, the weights that training goes on with."""
    if isinstance(model.optimizer, FusedAdam):
        model.optimizer.loaded_with_averages()
        model.optimizer.show_averages(False)
