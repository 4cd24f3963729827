"""For PyTorch Lightning: `Trainer(callbacks=[DeadUnits(probe, example)])`."""

from __future__ import annotations

from typing import Any

from analyzer.api.exporting import exported
from analyzer.callbacks.recorder import Recorder

try:
    from lightning.pytorch import Callback
except ImportError:
    from pytorch_lightning import Callback  # the package's older name


class DeadUnits(Callback):  # type: ignore[misc]  # untyped
    """Audits the module every so many steps (0: after each epoch); `recorder` keeps the course.

    The numbers go to all loggers of the trainer: TensorBoard, Weights & Biases, MLflow, CSV, …
    """

    def __init__(self, probe: Any, example: Any, *, every_n_steps: int = 0, **options: Any) -> None:
        """`probe` and `options` are as for `Recorder`; `example` is what the module is called with."""
        super().__init__()
        self.recorder = Recorder(probe, **options)
        self._example, self._every = example, every_n_steps

    def on_train_batch_end(self, trainer: Any, module: Any, *_: Any, **__: Any) -> None:
        """After a step."""
        if self._every and trainer.global_step % self._every == 0:
            self._look(trainer, module)

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        """After an epoch."""
        if not self._every:
            self._look(trainer, module)

    def _look(self, trainer: Any, module: Any) -> None:
        if not trainer.is_global_zero or trainer.global_step in self.recorder.audits:
            return
        numbers = self.recorder.record(lambda: exported(module, self._example), trainer.global_step)
        for logger in trainer.loggers if numbers else ():
            logger.log_metrics(numbers, step=trainer.global_step)
