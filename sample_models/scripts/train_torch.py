"""Train and export the PyTorch sample models.

    python sample_models/scripts/train_torch.py            # all of them
    python sample_models/scripts/train_torch.py digits_cnn # names that start with this

Run `finalize.py` afterwards. Seeds are fixed and one thread is used.
"""

from __future__ import annotations

import argparse
import io
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import torch
from common import Card, Split, accuracy, breast_cancer, digits, package, publish
from torch import Tensor, nn
from torch_models import DigitsCNN, DigitsTransformer, FusedTransformer, StreamingGRU, TanhSigmoidNet, mlp

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
        script=Path(__file__).name,
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


def digits_gru_streaming() -> None:
    """Trained on whole digits, exported for chunks of rows; a proximal step on candidate gates makes units die."""
    seed, rate, epochs, sparsity = 0, 0.01, 40, 1.0
    split = digits()
    torch.manual_seed(seed)
    model = StreamingGRU(split.classes)
    optimizer = torch.optim.Adam(model.parameters(), rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs, eta_min=rate / 50)

    @torch.no_grad()
    def shrink() -> None:
        gates = model.candidate_gates()
        norms = torch.cat(gates, 1).norm(dim=1, keepdim=True)
        for gate in gates:
            gate.mul_((1 - sparsity * optimizer.param_groups[0]["lr"] / norms.clamp_min(1e-12)).clamp_min(0.0))

    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, rows: Tensor) -> Tensor:
            return model(rows, torch.zeros(len(rows), model.rnn.hidden_size))[0]

    fit(Whole(), split.train_x.reshape(-1, 8, 8), split.train_y, optimizer, epochs, seed, 32, shrink, schedule)
    probe, holdout = (_second_half(model, x) for x in (split.probe_x, split.holdout_x))
    card = Card(
        name="digits_gru_streaming",
        task="classify handwritten digits (10 classes) from their last 4 rows and the state after the first 4",
        data=DIGITS_DATA,
        architecture="GRU of 32 units with its state as input and output, ReLU layer of 48",
        training=(
            f"Adam, learning rate {rate} (cosine), soft threshold {sparsity} x rate on the norm of each unit's "
            f"candidate gate after each step, {epochs} epochs of whole digits, batches of 32"
        ),
        script=Path(__file__).name,
        seed=seed,
        framework=package("torch"),
        exporter=exporter_name(dynamo=False),
        framework_accuracy=accuracy(model(*holdout)[0].argmax(dim=1).numpy(), split.holdout_y),
        prediction_output="logits",
        notes=[
            "A unit whose candidate gate is exactly 0 keeps a state of 0 once it starts from 0; whoever feeds another "
            "state wakes it, so the weights alone decide nothing.",
        ],
    )
    example = tuple(array[:2] for array in probe)
    proto = export(model, example, ["rows", "state"], ["logits", "next_state"], dynamo=False)
    arrays = [tuple(array.numpy() for array in data) for data in (probe, holdout)]
    publish(card, proto, arrays[0], arrays[1], split.holdout_y)


@torch.no_grad()
def _second_half(model: nn.Module, x: np.ndarray) -> tuple[Tensor, Tensor]:
    """The last four rows of each digit, and the state after the first four."""
    rows = torch.from_numpy(x.reshape(-1, 8, 8))
    return rows[:, 4:], model(rows[:, :4], torch.zeros(len(rows), model.rnn.hidden_size))[1]


def digits_transformer_fused() -> None:
    """Proximal steps on whole heads and on feed-forward units; fused by onnxruntime's transformer optimizer."""
    seed, rate, epochs, heads_sparsity, units_sparsity = 0, 0.005, 40, 2.6, 0.42
    split = digits()
    torch.manual_seed(seed)
    model = FusedTransformer(split.classes)
    optimizer = torch.optim.Adam(model.parameters(), rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs, eta_min=rate / 50)

    @torch.no_grad()
    def shrink() -> None:
        step = optimizer.param_groups[0]["lr"]
        for layer in model.layers:
            for part, groups, sparsity in (
                (layer.up, layer.up.out_features, units_sparsity),
                (layer.value, layer.heads, heads_sparsity),
            ):
                norms = torch.cat([part.weight, part.bias[:, None]], 1).view(groups, -1).norm(dim=1)
                left = (1 - sparsity * step / norms.clamp_min(1e-12)).clamp_min(0.0)
                left = left.repeat_interleave(part.out_features // groups)
                part.weight.mul_(left[:, None])
                part.bias.mul_(left)

    rows = split.train_x.reshape(-1, 8, 8)
    fit(model, rows, split.train_y, optimizer, epochs, seed, 32, shrink, schedule)
    release(
        "digits_transformer_fused",
        model,
        split,
        (8, 8),
        "rows",
        dynamo=False,
        seed=seed,
        task="classify handwritten digits (10 classes), rows as 8 tokens of 8 features",
        data=DIGITS_DATA,
        architecture="2 post-norm encoder layers, width 32, 4 heads, GELU feed-forward 64",
        training=(
            f"Adam, learning rate {rate} (cosine), soft threshold on the norms of the values of whole heads "
            f"({heads_sparsity} x rate) and of feed-forward units ({units_sparsity} x rate) after each step, "
            f"{epochs} epochs, batches of 32"
        ),
        notes=[
            "The exported graph was fused by onnxruntime's transformer optimizer: attention, the sums before a "
            "LayerNorm, and GELU with its bias are single operators of com.microsoft.",
        ],
        rewrite=_fused,
    )


def _fused(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with operators of com.microsoft for what BERT is made of."""
    from onnxruntime.transformers import optimizer

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(model, path)
        fused = optimizer.optimize_model(str(path), model_type="bert", num_heads=4, hidden_size=32, opt_level=0)
        fused.save_model_to_file(str(path))
        return onnx.load(path)


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
    "digits_gru_streaming": digits_gru_streaming,
    "digits_transformer": digits_transformer,
    "digits_transformer_fused": digits_transformer_fused,
    "saturated_tanh": saturated_tanh,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prefix", nargs="?", default="", help="only the models whose name starts with this")
    prefix = parser.parse_args().prefix
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for name, recipe in RECIPES.items():
        if name.startswith(prefix):
            recipe()


if __name__ == "__main__":
    main()
