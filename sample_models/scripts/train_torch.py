"""Train and export the PyTorch sample models.

    python sample_models/scripts/train_torch.py            # all of them
    python sample_models/scripts/train_torch.py digits_cnn # names that start with this

Run `finalize.py` afterwards. Seeds are fixed and one thread is used.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import torch
from common import Card, Split, accuracy, breast_cancer, digits, package, publish
from torch import Tensor, nn
from torch_models import DigitsCNN, DigitsTransformer, TanhSigmoidNet, mlp

OPSET = 18
DIGITS_DATA = "scikit-learn load_digits (8x8 grey images, pixels / 16)"
CANCER_DATA = "scikit-learn load_breast_cancer (30 raw features)"
HIGH_RATE = 0.04  # far too high for Adam
MLP_SEED = 0
MLP_EPOCHS = 80
MLP_SIZES = [64, 64, 64, 32, 10]


def fit(
    model: nn.Module,
    x: np.ndarray,
    y: np.ndarray,
    optimizer: torch.optim.Optimizer,
    epochs: int,
    seed: int,
    batch: int = 32,
    after_step: Callable[[], None] | None = None,
    schedule: torch.optim.lr_scheduler.LRScheduler | None = None,
) -> None:
    """Minimise cross-entropy over shuffled mini-batches."""
    inputs, labels = torch.from_numpy(x), torch.from_numpy(y)
    order = torch.Generator().manual_seed(seed)
    model.train()
    for _ in range(epochs):
        for index in torch.randperm(len(inputs), generator=order).split(batch):
            loss = nn.functional.cross_entropy(model(inputs[index]), labels[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if after_step is not None:
                after_step()
        if schedule is not None:
            schedule.step()
    model.eval()


def export(
    model: nn.Module, example: tuple[Tensor, ...], input_names: list[str], output_names: list[str], dynamo: bool
) -> onnx.ModelProto:
    """Export with a dynamic batch, weights inside the file."""
    model.eval()
    buffer = io.BytesIO()
    if dynamo:
        program = torch.onnx.export(
            model,
            example,
            dynamo=True,
            opset_version=OPSET,
            input_names=input_names,
            output_names=output_names,
            dynamic_shapes=({0: torch.export.Dim("batch")},) * len(example),
            verbose=False,
        )
        if program is None:
            raise RuntimeError("the dynamo exporter returned nothing")
        return program.model_proto
    torch.onnx.export(
        model,
        example,
        buffer,
        dynamo=False,
        opset_version=OPSET,
        input_names=input_names,
        output_names=output_names,
        dynamic_axes={name: {0: "batch"} for name in (*input_names, *output_names)},
    )
    return onnx.load_from_string(buffer.getvalue())


@torch.no_grad()
def classify(model: nn.Module, x: np.ndarray) -> np.ndarray:
    return model(torch.from_numpy(x)).argmax(dim=1).numpy()


def exporter_name(dynamo: bool) -> str:
    if dynamo:
        return f"torch.onnx.export(dynamo=True), {package('onnxscript')}"
    return f"torch.onnx.export(dynamo=False) of {package('torch')}"


def release(
    name: str,
    model: nn.Module,
    split: Split,
    shape: tuple[int, ...],
    input_name: str,
    dynamo: bool,
    seed: int,
    task: str,
    data: str,
    architecture: str,
    training: str,
    notes: list[str] | None = None,
    rewrite: Callable[[onnx.ModelProto], onnx.ModelProto] | None = None,
    script: str = __file__,
) -> None:
    """Export one trained model, rewrite its graph where that is asked for, and write its folder."""
    example = torch.from_numpy(split.probe_x[:2].reshape(-1, *shape))
    holdout = split.holdout_x.reshape(-1, *shape)
    card = Card(
        name=name,
        task=task,
        data=data,
        architecture=architecture,
        training=training,
        script=Path(script).name,
        seed=seed,
        framework=package("torch"),
        exporter=exporter_name(dynamo),
        framework_accuracy=accuracy(classify(model, holdout), split.holdout_y),
        prediction_output="logits",
        notes=notes or [],
    )
    exported = export(model, (example,), [input_name], ["logits"], dynamo)
    publish(
        card,
        exported if rewrite is None else rewrite(exported),
        (split.probe_x.reshape(-1, *shape),),
        (holdout,),
        split.holdout_y,
    )


def digits_mlp(name: str, activation: Callable[[], nn.Module], rate: float, note: str) -> None:
    split = digits()
    torch.manual_seed(MLP_SEED)
    model = mlp(MLP_SIZES, activation)
    fit(model, split.train_x, split.train_y, torch.optim.Adam(model.parameters(), rate), MLP_EPOCHS, MLP_SEED)
    release(
        name,
        model,
        split,
        (64,),
        "pixels",
        dynamo=False,
        seed=MLP_SEED,
        task="classify handwritten digits (10 classes)",
        data=DIGITS_DATA,
        architecture=f"MLP 64-64-64-32-10, {activation.__name__}",
        training=f"Adam, learning rate {rate}, {MLP_EPOCHS} epochs, batches of 32",
        notes=[note],
    )


def digits_cnn() -> None:
    """One training, two exports; a proximal L1 step on the BN scales makes channels die."""
    seed, rate, sparsity = 3, 0.1, 0.08
    split = digits()
    torch.manual_seed(seed)
    model = DigitsCNN(split.classes)
    epochs = 40
    optimizer = torch.optim.SGD(model.parameters(), rate, momentum=0.9, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs, eta_min=rate / 50)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]

    @torch.no_grad()
    def shrink() -> None:
        threshold = sparsity * optimizer.param_groups[0]["lr"]
        for norm in norms:
            norm.weight.copy_(norm.weight.sign() * (norm.weight.abs() - threshold).clamp_min(0.0))

    images = split.train_x.reshape(-1, 1, 8, 8)
    fit(model, images, split.train_y, optimizer, epochs, seed, 64, shrink, schedule)
    for dynamo in (False, True):
        release(
            "digits_cnn_dynamo" if dynamo else "digits_cnn_torchscript",
            model,
            split,
            (1, 8, 8),
            "image",
            dynamo=dynamo,
            seed=seed,
            task="classify handwritten digits (10 classes)",
            data=DIGITS_DATA,
            architecture="residual CNN (16-16-32-32 channels) with BatchNorm, one BN after an addition",
            training=(
                f"SGD, rate {rate} (cosine), momentum 0.9, weight decay 5e-4, soft threshold {sparsity} x "
                f"rate on the BN scales after each step, {epochs} epochs, batches of 64"
            ),
            notes=[
                "Both digits_cnn folders hold the same trained weights, written by two exporters.",
                "A BN scale driven to exactly 0 leaves a channel that equals its BN shift everywhere; where "
                "the shift is positive the unit is constant and not zero. A following convolution that pads "
                "with zeros cannot take such a constant into its bias: border positions see another sum.",
            ],
        )


def digits_transformer() -> None:
    seed, rate, epochs = 5, 0.02, 60
    split = digits()
    torch.manual_seed(seed)
    model = DigitsTransformer(split.classes)
    optimizer = torch.optim.AdamW(model.parameters(), rate, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    rows = split.train_x.reshape(-1, 8, 8)
    fit(model, rows, split.train_y, optimizer, epochs, seed, 32, None, schedule)
    release(
        "digits_transformer",
        model,
        split,
        (8, 8),
        "rows",
        dynamo=True,
        seed=seed,
        task="classify handwritten digits (10 classes), rows as 8 tokens of 8 features",
        data=DIGITS_DATA,
        architecture="2 pre-norm encoder layers, width 32, 4 heads, ReLU feed-forward 96",
        training=f"AdamW, learning rate {rate} (cosine), weight decay 0.05, {epochs} epochs, batches of 32",
    )


def saturated_tanh() -> None:
    seed, rate, epochs = 7, 0.002, 60
    split = breast_cancer()
    torch.manual_seed(seed)
    model = TanhSigmoidNet(30, split.classes)
    optimizer = torch.optim.Adam(model.parameters(), rate)
    fit(model, split.train_x, split.train_y, optimizer, epochs, seed, 32)
    release(
        "saturated_tanh",
        model,
        split,
        (30,),
        "features",
        dynamo=False,
        seed=seed,
        task="tell malignant from benign tumours (2 classes)",
        data=CANCER_DATA,
        architecture="MLP 30-32(tanh)-24(sigmoid)-16(tanh)-2",
        training=f"Adam, learning rate {rate}, {epochs} epochs, batches of 32",
        notes=[
            "The features are left unscaled on purpose (up to 4254), so most first-layer units sit at "
            "exactly -1 or 1; the sigmoid layer starts from weights far too large (standard deviation 4).",
        ],
    )


RECIPES: dict[str, Callable[[], None]] = {
    "digits_mlp": lambda: digits_mlp("digits_mlp", nn.ReLU, 0.001, "The healthy one of the four MLPs."),
    "digits_mlp_killed": lambda: digits_mlp(
        "digits_mlp_killed", nn.ReLU, HIGH_RATE, "digits_mlp with a learning rate 40 times as high."
    ),
    "digits_mlp_leaky": lambda: digits_mlp(
        "digits_mlp_leaky", nn.LeakyReLU, HIGH_RATE, "Twin of digits_mlp_killed, same rate, LeakyReLU(0.01)."
    ),
    "digits_mlp_elu": lambda: digits_mlp(
        "digits_mlp_elu", nn.ELU, HIGH_RATE, "Twin of digits_mlp_killed, same rate, ELU(1.0)."
    ),
    "digits_cnn": digits_cnn,
    "digits_transformer": digits_transformer,
    "saturated_tanh": saturated_tanh,
}


def main(recipes: dict[str, Callable[[], None]], description: str | None) -> None:
    """Make the models whose names start with the argument."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prefix", nargs="?", default="", help="only the models whose name starts with this")
    prefix = parser.parse_args().prefix
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for name, recipe in recipes.items():
        if name.startswith(prefix):
            recipe()


if __name__ == "__main__":
    main(RECIPES, __doc__)
