"""Train and export a streaming GRU and a transformer that is fused, in which units die by proximal steps.

    python sample_models/scripts/train_torch_sequences.py               # both
    python sample_models/scripts/train_torch_sequences.py digits_gru    # names that start with this

Run `finalize.py` afterwards. Seeds are fixed and one thread is used.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import onnx
import torch
from common import Card, accuracy, digits, package, publish
from torch import Tensor, nn
from torch_models import FusedTransformer, StreamingGRU
from train_torch import DIGITS_DATA, export, exporter_name, fit, main, release


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
            gate.mul_(_left(norms, sparsity * optimizer.param_groups[0]["lr"]))

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


def _left(norms: Tensor, threshold: float) -> Tensor:
    """What a soft threshold on norms leaves of what has them, as factors."""
    return (1 - threshold / norms.clamp_min(1e-12)).clamp_min(0.0)


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
                left = _left(norms, sparsity * step).repeat_interleave(part.out_features // groups)
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
        script=__file__,
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


RECIPES = {"digits_gru_streaming": digits_gru_streaming, "digits_transformer_fused": digits_transformer_fused}

if __name__ == "__main__":
    main(RECIPES, __doc__)
