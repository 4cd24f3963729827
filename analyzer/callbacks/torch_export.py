"""A PyTorch module as ONNX, as it is in the middle of training."""

from __future__ import annotations

import inspect
import io
import warnings
from collections.abc import Mapping
from typing import Any


def exported(module: Any, example: Any) -> bytes:
    """The module in evaluation mode, as an ONNX file with a free batch, without a trace left in the module.

    `example` is what the module is called with: a tensor, a tuple of positional or a dict of named arguments. Inputs of
    the file are called as the arguments of `forward`.
    """
    import torch

    named = _named(module, example)
    training = [(layer, layer.training) for layer in module.modules()]
    try:
        module.eval()
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the exporters, about themselves
            try:
                return _by(torch.onnx.export, module, named, dynamo=False)
            except Exception:  # noqa: BLE001  what one exporter refuses the other may take
                return _by(torch.onnx.export, module, named, dynamo=True)
    finally:
        for layer, mode in training:
            layer.training = mode


def _by(export: Any, module: Any, named: Mapping[str, Any], *, dynamo: bool) -> bytes:
    stream = io.BytesIO()
    axes = {name: {0: "batch"} for name in named}
    free = {"dynamic_shapes": axes} if dynamo else {"dynamic_axes": axes}
    export(module, (), stream, kwargs=dict(named), input_names=[*named], dynamo=dynamo, verbose=False, **free)
    return stream.getvalue()


def _named(module: Any, example: Any) -> dict[str, Any]:
    """Arguments by the names that `forward` has for them, which the inputs of the exported model have as well."""
    if isinstance(example, dict):
        return dict(example)
    positional = example if isinstance(example, tuple | list) else (example,)
    return dict(zip(inspect.signature(module.forward).parameters, positional, strict=False))
