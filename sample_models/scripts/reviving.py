"""What reviving is worth: the killed digits MLP trained further, as it is and revived, over five seeds.

    python sample_models/scripts/reviving.py

Prints a Markdown table (mean and range over the seeds); writes no files. Takes about two minutes on one core.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import torch
from common import ROOT, accuracy, digits
from dying_relu import SEEDS, dead_in
from onnx import numpy_helper
from torch import nn
from torch_models import mlp
from train_torch import MLP_SIZES, classify, fit

import analyzer

KILLED = ROOT / "digits_mlp_killed"
RATE = 0.001
EPOCHS = (0, 5, 20, 80)


def with_state(state: dict[str, np.ndarray[Any, Any]]) -> nn.Sequential:
    """The net with these weights; PyTorch's exporter keeps the names of `state_dict`."""
    model = mlp(MLP_SIZES, nn.ReLU)
    model.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in state.items()})
    return model


def main() -> None:
    torch.set_num_threads(1)
    split = digits()
    audit = analyzer.audit(KILLED / "model.onnx", KILLED / "probe.npz", causes=False)
    stored = {t.name: numpy_helper.to_array(t) for t in onnx.load(KILLED / "model.onnx").graph.initializer}
    print("| epochs more | as it is: accuracy, dead units | revived: accuracy, dead units |")
    print("|---:|---:|---:|")
    for epochs in EPOCHS:
        cells = []
        for revive in (False, True):
            results = []
            for seed in SEEDS:
                model = with_state(stored | (audit.revive(seed=seed).state() if revive else {}))
                optimizer = torch.optim.Adam(model.parameters(), RATE)
                fit(model, split.train_x, split.train_y, optimizer, epochs, seed)
                score = accuracy(classify(model, split.holdout_x), split.holdout_y)
                results.append((score, dead_in(model, split.probe_x)))
            scores, dead = np.transpose(results)
            spread = f" ({scores.min():.3f}-{scores.max():.3f})" if epochs else ""
            cells.append(f"{scores.mean():.3f}{spread}, {dead.mean():.1f}")
        print(f"| {epochs} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
