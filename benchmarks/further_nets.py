"""More nets for the same test: newer torchvision nets, a U-Net, a transformer with ReLU feed-forward, an LSTM.

A share of the rows of every weight is zero here, those of attention included, while all biases are not.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.torchvision_nets import export, zoo


class UNet(nn.Module):
    """Two halvings, transposed convolutions back, skip connections by Concat."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.down = nn.ModuleList([_double(3, width), _double(width, 2 * width)])
        self.bottom = _double(2 * width, 4 * width)
        self.up = nn.ModuleList(
            [nn.ConvTranspose2d(4 * width, 2 * width, 2, 2), nn.ConvTranspose2d(2 * width, width, 2, 2)]
        )
        self.merge = nn.ModuleList([_double(4 * width, 2 * width), _double(2 * width, width)])
        self.head = nn.Conv2d(width, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for down in self.down:
            x = down(x)
            skips.append(x)
            x = nn.functional.max_pool2d(x, 2)
        x = self.bottom(x)
        for up, merge in zip(self.up, self.merge, strict=True):
            x = merge(torch.cat([skips.pop(), up(x)], 1))
        return self.head(x)


def _double(before: int, after: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in (before, after):
        layers += [nn.Conv2d(width, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers)


class Decoder(nn.Module):
    """Like OPT: embeddings, causal attention before a LayerNorm each, feed-forward with ReLU."""

    def __init__(self, vocabulary: int = 500, width: int = 96, heads: int = 6, depth: int = 3) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(vocabulary, width), nn.Embedding(64, width)
        self.blocks = nn.ModuleList([_Block(width, heads) for _ in range(depth)])
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary, bias=False)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.tokens(ids) + self.places(torch.arange(ids.shape[1], device=ids.device))
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


class _Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
        self.value, self.out = nn.Linear(width, width), nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        y = self.before(x)
        query, key, value = (
            layer(y).reshape(batch, length, self.heads, width // self.heads).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        scores = query @ key.transpose(2, 3) / (width // self.heads) ** 0.5
        future = torch.triu(torch.full((length, length), -1e4), 1)
        mixed = torch.softmax(scores + future, -1) @ value
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, length, width))
        return x + self.narrow(torch.relu(self.wide(self.between(x))))


class Recurrent(nn.Module):
    """Linear, ReLU, a two-layer LSTM, Linear, ReLU, Linear."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.lstm = nn.Linear(20, 48), nn.LSTM(48, 32, 2, batch_first=True)
        self.hidden, self.head = nn.Linear(32, 64), nn.Linear(64, 5)

    def forward(self, x: Tensor) -> Tensor:
        y, _ = self.lstm(torch.relu(self.before(x)))
        return self.head(torch.relu(self.hidden(y[:, -1])))


def _images(size: int) -> Callable[[], Tensor]:
    return lambda: torch.randn(1, 3, size, size)


#: Name -> (how to make the net, how to make one sample).
FURTHER: dict[str, tuple[Callable[[], nn.Module], Callable[[], Tensor]]] = {
    **{
        name: (lambda name=name: getattr(zoo(), name)(weights=None), _images(size))
        for name, size in (
            ("efficientnet_b0", 224),
            ("regnet_y_400mf", 224),
            ("convnext_tiny", 224),
            ("swin_t", 224),
            ("vit_b_16", 224),
        )
    },
    "unet": (UNet, _images(96)),
    "opt_like": (Decoder, lambda: torch.randint(0, 500, (1, 24))),
    "lstm": (Recurrent, lambda: torch.randn(1, 12, 20)),
}


def build_further(name: str, share: float, seed: int = 0) -> tuple[nn.Module, Tensor]:
    """The net, a share of the rows of all its weights zero, and one sample."""
    torch.manual_seed(seed)
    torch.backends.mha.set_fastpath_enabled(False)
    make, sample = FURTHER[name]
    net = make().eval()
    rows = (nn.Conv1d, nn.Conv2d, nn.Linear)
    with torch.no_grad():
        if name == "vit_b_16":
            nn.init.normal_(net.heads.head.weight, 0, 0.05)  # torchvision starts it at zero
        for path, parameter in net.named_parameters():
            if parameter.ndim == 1 and "norm" not in path:
                parameter.normal_(0, 0.3)
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.3)
                _zero(module.weight, share)
            elif isinstance(module, rows):
                _zero(module.weight, share)
            elif isinstance(module, nn.MultiheadAttention):
                _zero(module.in_proj_weight, share)
    return net, sample()


def exported_further(folder: Path, name: str, share: float) -> Path:
    """The file of a net, made when it is not there yet."""
    path = folder / f"{name}-{share:g}.onnx"
    if not path.exists():
        net, sample = build_further(name, share)
        export(net, path, sample)
    return path


def _zero(weight: Tensor, share: float) -> None:
    weight[torch.randperm(len(weight))[: round(share * len(weight))]] = 0
