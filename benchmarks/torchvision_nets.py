"""Torchvision nets with random weights, a share of whose filters is zero, as ONNX files.

The construction of EIDOSLAB/simplify's tests, made harder: BatchNorm gets statistics like those of a trained net, so
that a zeroed channel comes out as a constant that is not zero.
"""

from __future__ import annotations

import importlib
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import library as custom_operators
from torch import nn
from torch.nn.utils import prune

#: What the issue's table says per net and share: (kept by the peer, its error; kept by the quick calculation).
#: None: the peer crashed, or there is no figure.
Figures = tuple[float | None, float | None, float | None]
TABLE: dict[str, dict[float, Figures]] = {
    "alexnet": {0.5: (0.663, 5e-7, 0.661), 0.8: (0.467, 4e-7, 0.467)},
    "vgg11": {0.5: (0.561, 8e-7, 0.561), 0.8: (0.314, 6e-7, 0.314)},
    "vgg11_bn": {0.5: (0.366, 9e-7, 0.358), 0.8: (0.190, 1e-6, 0.189)},
    "resnet18": {0.5: (0.325, 0.28, 0.161), 0.8: (0.210, 0.45, 0.011)},
    "resnet50": {0.5: (0.476, 0.88, 0.220), 0.8: (0.368, 1.0, 0.021)},
    "squeezenet1_0": {0.5: (0.357, 1e-7, 0.357), 0.8: (0.108, 2e-7, 0.108)},
    "densenet121": {0.5: (None, None, 0.188), 0.8: (None, None, 0.033)},
    "inception_v3": {0.5: (0.124, 5e-7, 0.079), 0.8: (None, None, 0.005)},
    "googlenet": {0.5: (0.147, 3e-7, 0.096), 0.8: (None, None, 0.008)},
    "shufflenet_v2_x0_5": {0.5: (0.814, 0.25, None), 0.8: (None, None, None)},
    "mobilenet_v2": {0.5: (1.411, 4e-3, 0.144), 0.8: (None, None, 0.019)},
    "mobilenet_v3_small": {0.5: (0.955, 0.36, 0.585), 0.8: (0.830, 0.16, 0.427)},
    "resnext50_32x4d": {0.5: (0.785, 0.74, 0.735), 0.8: (0.607, 1.1, 0.110)},
    "wide_resnet50_2": {0.5: (0.233, 0.69, 0.137), 0.8: (0.141, 0.98, 0.009)},
    "mnasnet0_5": {0.5: (1.080, 5e-3, 0.186), 0.8: (None, None, 0.025)},
    "mnasnet1_0": {0.5: (1.003, 3e-3, 0.146), 0.8: (None, None, 0.014)},
}
EXACT = 1e-5  # relative to the output's largest entry; the peer counts as exact up to here


def zoo() -> Any:
    """`torchvision.models`, also from a build whose compiled operators (boxes, not needed here) do not load."""
    register = custom_operators.register_fake

    def lenient(name: Any, *args: Any, **more: Any) -> Any:
        if str(name).startswith("torchvision::"):
            return lambda function: function
        return register(name, *args, **more)

    custom_operators.register_fake = lenient
    try:
        return importlib.import_module("torchvision.models")
    finally:
        custom_operators.register_fake = register


def input_size(name: str) -> int:
    """Height and width of the input."""
    return 299 if name.startswith("inception") else 224


def build(name: str, share: float, seed: int = 0, *, lively: bool = False) -> nn.Module:
    """The net with random weights, of which a share of all filters and BatchNorm weights is zero.

    Torchvision's own random weights let little of the input through to the output; `lively` draws weights that do,
    and biases that are not zero, so that an error of a cut cannot hide behind a nearly constant output.
    """
    torch.manual_seed(seed)
    more = {"init_weights": True} if name in ("inception_v3", "googlenet") else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net: nn.Module = getattr(zoo(), name)(weights=None, **more)
    net.eval()
    for module in net.modules():
        if lively and isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
            if module.bias is not None:
                nn.init.normal_(module.bias, 0, 0.2)
        if isinstance(module, nn.BatchNorm2d):
            _train_like(module)
    for path, module in net.named_modules():
        if name.startswith("squeezenet") and path == "classifier.1":
            continue  # the peer leaves the filters that are the classes
        if isinstance(module, nn.Conv2d):
            prune.random_structured(module, "weight", amount=share, dim=0)
            prune.remove(module, "weight")
        elif isinstance(module, nn.BatchNorm2d):
            prune.random_unstructured(module, "weight", amount=share)
            prune.remove(module, "weight")
    return net


def _train_like(norm: nn.BatchNorm2d) -> None:
    with torch.no_grad():
        norm.weight.uniform_(0.5, 1.5)
        norm.bias.normal_(0, 0.3)
        norm.running_mean.normal_(0, 0.2)  # type: ignore[union-attr]
        norm.running_var.uniform_(0.5, 1.5)  # type: ignore[union-attr]


def export(net: nn.Module, path: Path, sample: torch.Tensor) -> None:
    """Write an ONNX file with a free batch dimension, BatchNormalization nodes left as they are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net.eval(),
            (sample,),
            str(path),
            dynamo=False,
            opset_version=17,
            training=torch.onnx.TrainingMode.PRESERVE,  # EVAL would fuse BatchNorm into the convolutions
            input_names=["input"],
            output_names=["output"],
            dynamic_axes={"input": {0: "batch"}, "output": {0: "batch"}},
        )


def exported(folder: Path, name: str, share: float, *, lively: bool = False) -> Path:
    """The file of a net, made when it is not there yet."""
    path = folder / f"{name}-{share:g}{'-lively' if lively else ''}.onnx"
    if not path.exists():
        size = input_size(name)
        export(build(name, share, lively=lively), path, torch.zeros(1, 3, size, size))
    return path
