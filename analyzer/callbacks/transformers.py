"""For the Trainer of Hugging Face: `Trainer(callbacks=[DeadUnits(probe, example)])`."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback

from analyzer.api.exporting import exported
from analyzer.callbacks.recorder import Recorder


class DeadUnits(TrainerCallback):  # type: ignore[misc]  # untyped
    """Audits the model every so many steps (0: after each epoch); `recorder` keeps the course.

    The Trainer hands no logger to a callback: say with `log` where the numbers go (see `Recorder`).
    """

    def __init__(self, probe: Any, example: Any, *, every_n_steps: int = 0, **options: Any) -> None:
        """`probe` and `options` are as for `Recorder`; `example` is what the model is called with."""
        self.recorder = Recorder(probe, **options)
        self._example, self._every = example, every_n_steps

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        """After a step."""
        if self._every and state.global_step % self._every == 0:
            self._look(state, model)

    def on_epoch_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        """After an epoch."""
        if not self._every:
            self._look(state, model)

    def _look(self, state: Any, model: Any) -> None:
        if state.is_world_process_zero and state.global_step not in self.recorder.audits:
            self.recorder.record(lambda: exported(model, self._example), state.global_step)
