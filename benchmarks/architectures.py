"""Standard architectures with random weights, exported to ONNX (needs torch; torchvision for the image models)."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

IMAGE_MODELS = {"resnet50": "resnet50", "mobilenet_v2": "mobilenet_v2", "vgg16": "vgg16"}
NAMES = (*IMAGE_MODELS, "transformer")
TOKENS, WIDTH, HEADS, HIDDEN, BLOCKS = 128, 768, 12, 3072, 12  # BERT base, on embedded tokens


def export(name: str, folder: Path) -> Path:
    """The model's file in `folder`, made if it is not there yet."""
    path = folder / f"{name}.onnx"
    if path.exists():
        return path
    import torch

    model = build(name)
    example = torch.from_numpy(samples(name, 1))
    folder.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model.eval(),
            (example,),
            str(path),
            dynamo=False,
            input_names=["x"],
            output_names=["y"],
            dynamic_axes={"x": {0: "n"}},
            opset_version=17,
        )
    return path


def build(name: str) -> Any:
    """The torch module; the same weights every time."""
    import torch

    torch.manual_seed(0)
    return _transformer() if name == "transformer" else _image_model(IMAGE_MODELS[name])


def samples(name: str, count: int, seed: int = 0) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Standard normal input of so many samples."""
    shape = (TOKENS, WIDTH) if name == "transformer" else (3, 224, 224)
    return np.random.default_rng(seed).standard_normal((count, *shape), dtype=np.float32)


def _transformer() -> Any:
    import torch

    torch.backends.mha.set_fastpath_enabled(False)  # the fused operator cannot be exported
    layer = torch.nn.TransformerEncoderLayer(WIDTH, HEADS, HIDDEN, activation="relu", batch_first=True)
    encoder = torch.nn.TransformerEncoder(layer, BLOCKS, enable_nested_tensor=False)
    # The blocks start as copies of one another, and the exporter would store their weights once.
    for parameter in encoder.parameters():
        if parameter.dim() > 1:
            torch.nn.init.xavier_uniform_(parameter)
    return encoder


def _image_model(builder: str) -> Any:
    """With BatchNorm statistics taken from data, as training leaves them: else activations hardly vary."""
    import torch
    from torchvision_nets import zoo

    model = getattr(zoo(), builder)(weights=None).train()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the plain average over all batches
    with torch.no_grad():
        for seed in (1, 2):
            model(torch.from_numpy(samples("image", 8, seed)))
    return model
