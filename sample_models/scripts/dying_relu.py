"""The dying ReLU in numbers: the digits MLP over learning rates, activations and seeds.

    python sample_models/scripts/dying_relu.py

Prints a Markdown table (mean over the seeds); writes no files. Takes some minutes on one core.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from common import accuracy, digits
from measure import dead_units
from torch import nn
from torch_models import mlp
from train_torch import MLP_EPOCHS, MLP_SIZES, classify, fit

RATES = (0.0, 0.001, 0.01, 0.02, 0.03, 0.04, 0.05)  # 0: as initialised
SEEDS = (0, 1, 2, 3, 4)
ACTIVATIONS: tuple[Callable[[], nn.Module], ...] = (nn.ReLU, nn.LeakyReLU, nn.ELU)


def dead_in(model: nn.Sequential, x: np.ndarray) -> int:
    """How many hidden units never move over the probe."""
    total = 0
    values = torch.from_numpy(x)
    with torch.no_grad():
        for layer in model:
            values = layer(values)
            if not isinstance(layer, nn.Linear):
                total += len(dead_units(values.numpy(), 1, isinstance(layer, nn.ELU))[0])
    return total


def main() -> None:
    torch.set_num_threads(1)
    split = digits()
    print("| learning rate | " + " | ".join(f"{a.__name__}: accuracy, dead" for a in ACTIVATIONS) + " |")
    print("|---:|" + "---:|" * len(ACTIVATIONS))
    for rate in RATES:
        cells = []
        for activation in ACTIVATIONS:
            results = []
            for seed in SEEDS:
                torch.manual_seed(seed)
                model = mlp(MLP_SIZES, activation)
                optimizer = torch.optim.Adam(model.parameters(), rate)
                epochs = MLP_EPOCHS if rate else 0
                fit(model, split.train_x, split.train_y, optimizer, epochs, seed)
                score = accuracy(classify(model, split.holdout_x), split.holdout_y)
                results.append((score, dead_in(model, split.probe_x)))
            score, dead = np.mean(results, axis=0)
            cells.append(f"{score:.3f}, {dead:.1f}")
        print(f"| {rate} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
