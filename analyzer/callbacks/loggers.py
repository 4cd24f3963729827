"""Where numbers of a training run go: a function, TensorBoard, Weights & Biases, MLflow; none of them is imported."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from analyzer.errors import InputError

Log = Callable[[Mapping[str, float], int], None]


def logger_of(target: Any) -> Log:
    """What logs to a target, which is known by the methods that it has.

    Raises:
        InputError: it has none of them.
    """
    if target is None:
        return lambda numbers, step: None
    if hasattr(target, "add_scalar"):  # SummaryWriter, of PyTorch or of tensorboardX
        return partial(_scalars, target)
    if hasattr(target, "log_metrics"):  # mlflow, and every logger of Lightning
        return lambda numbers, step: target.log_metrics(dict(numbers), step=step)
    if hasattr(target, "log"):  # a run of Weights & Biases, or its module
        return lambda numbers, step: target.log(dict(numbers), step=step)
    if callable(target):
        log: Log = target
        return log
    raise InputError(
        f"log is of type {type(target).__name__}: give a function, a SummaryWriter, a run of Weights & Biases, or the "
        "module mlflow."
    )


def _scalars(writer: Any, numbers: Mapping[str, float], step: int) -> None:
    for name, number in numbers.items():
        writer.add_scalar(name, number, step)
