"""For Keras 3: `model.fit(…, callbacks=[DeadUnits(probe)])`, on any of its backends that exports ONNX."""

from __future__ import annotations

from typing import Any

import keras

from analyzer.api.exporting import exported_keras
from analyzer.callbacks.recorder import Recorder


class DeadUnits(keras.callbacks.Callback):  # type: ignore[misc]  # untyped
    """Audits the model every so many epochs; `recorder` keeps the course.

    The numbers are added to the epoch's logs, so that History and the callbacks behind this one (TensorBoard,
    CSVLogger, …) have them as well.
    """

    def __init__(self, probe: Any, *, every_n_epochs: int = 1, **options: Any) -> None:
        """`probe` and `options` are as for `Recorder`."""
        super().__init__()
        self.recorder = Recorder(probe, **options)
        self._every = every_n_epochs

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """After an epoch."""
        if (epoch + 1) % self._every == 0:
            numbers = self.recorder.record(lambda: exported_keras(self.model), epoch + 1)
            if logs is not None:
                logs.update(numbers)
