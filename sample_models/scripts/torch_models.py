"""The PyTorch architectures of the sample models."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

Activation = Callable[[], nn.Module]


def mlp(sizes: list[int], activation: Activation) -> nn.Sequential:
    """Linear layers of the given sizes with the activation between them."""
    layers: list[nn.Module] = []
    for index, (fan_in, fan_out) in enumerate(pairwise(sizes)):
        if index:
            layers.append(activation())
        layers.append(nn.Linear(fan_in, fan_out))
    return nn.Sequential(*layers)


class TanhSigmoidNet(nn.Module):
    """Tanh, then sigmoid units: fed with unscaled features both kinds saturate."""

    def __init__(self, inputs: int, classes: int) -> None:
        super().__init__()
        self.first = nn.Linear(inputs, 32)
        self.second = nn.Linear(32, 24)
        self.third = nn.Linear(24, 16)
        nn.init.normal_(self.second.weight, std=4.0)  # far too large
        self.head = nn.Linear(16, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.first(x))
        x = torch.sigmoid(self.second(x))
        x = torch.tanh(self.third(x))
        return self.head(x)


class ResidualBlock(nn.Module):
    """conv-BN-ReLU-conv-BN plus a skip (identity or 1x1 conv-BN), then ReLU."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.skip: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels_out:
            self.skip = nn.Sequential(
                nn.Conv2d(channels_in, channels_out, 1, stride, bias=False), nn.BatchNorm2d(channels_out)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(y)) + self.skip(x))


class DigitsCNN(nn.Module):
    """A small residual network; `last_bn` follows an addition, so exporters cannot fold it into a conv."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 16, 3, 1, 1, bias=False)
        self.stem_bn = nn.BatchNorm2d(16)
        self.block1 = ResidualBlock(16, 16, 1)
        self.block2 = ResidualBlock(16, 32, 2)
        self.block3 = ResidualBlock(32, 32, 1)
        self.last_bn = nn.BatchNorm2d(32)
        self.head = nn.Linear(32, classes)

    def forward(self, image: Tensor) -> Tensor:
        x = functional.relu(self.stem_bn(self.stem(image)))
        x = self.block3(self.block2(self.block1(x)))
        x = functional.relu(self.last_bn(x))
        return self.head(x.mean(dim=(2, 3)))


class EncoderLayer(nn.Module):
    """Pre-norm self-attention and a ReLU feed-forward part, both residual."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(x)
        query, key, value = (self._split(f(y)) for f in (self.query, self.key, self.value))
        attended = functional.scaled_dot_product_attention(query, key, value)
        x = x + self.out(attended.transpose(1, 2).flatten(2))
        return x + self.down(functional.relu(self.up(self.norm2(x))))


class DigitsTransformer(nn.Module):
    """Reads the 8 pixel rows of a digit as 8 tokens."""

    def __init__(self, classes: int, width: int = 32, hidden: int = 96) -> None:
        super().__init__()
        self.embed = nn.Linear(8, width)
        self.position = nn.Parameter(torch.randn(8, width) * 0.02)
        self.layers = nn.ModuleList([EncoderLayer(width, 4, hidden) for _ in range(2)])
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def forward(self, rows: Tensor) -> Tensor:
        x = self.embed(rows) + self.position
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x).mean(dim=1))


class StreamingGRU(nn.Module):
    """Reads rows as they come: the state goes in and comes out."""

    def __init__(self, classes: int, hidden: int = 32, wide: int = 48) -> None:
        super().__init__()
        self.rnn = nn.GRU(8, hidden, batch_first=True)
        self.up = nn.Linear(hidden, wide)
        self.head = nn.Linear(wide, classes)

    def candidate_gates(self) -> list[Tensor]:
        """What enters the candidate of each unit: a row per unit."""
        first = 2 * self.rnn.hidden_size
        rnn = self.rnn
        biases = [rnn.bias_ih_l0[first:, None], rnn.bias_hh_l0[first:, None]]
        return [rnn.weight_ih_l0[first:], rnn.weight_hh_l0[first:], *biases]

    def forward(self, rows: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        y, last = self.rnn(rows, state.unsqueeze(0))
        return self.head(functional.relu(self.up(y[:, -1]))), last.squeeze(0)


class PostNormLayer(nn.Module):
    """Self-attention and a GELU feed-forward part, a LayerNorm after each, written as BERT is."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def _split(self, x: Tensor) -> Tensor:
        return x.view(x.shape[0], x.shape[1], self.heads, -1).permute(0, 2, 1, 3)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (self._split(f(x)) for f in (self.query, self.key, self.value))
        scores = torch.matmul(query, key.transpose(-1, -2)) / (x.shape[-1] // self.heads) ** 0.5
        mixed = torch.matmul(torch.softmax(scores, dim=-1), value).permute(0, 2, 1, 3).contiguous()
        x = self.norm1(self.out(mixed.view(x.shape[0], x.shape[1], -1)) + x)
        return self.norm2(self.down(functional.gelu(self.up(x))) + x)


class FusedTransformer(nn.Module):
    """Reads the 8 pixel rows of a digit as 8 tokens; exporters' graphs of it are fused to single operators."""

    def __init__(self, classes: int, width: int = 32, hidden: int = 64) -> None:
        super().__init__()
        self.embed = nn.Linear(8, width)
        self.position = nn.Parameter(torch.randn(8, width) * 0.02)
        self.layers = nn.ModuleList([PostNormLayer(width, 4, hidden) for _ in range(2)])
        self.head = nn.Linear(width, classes)

    def forward(self, rows: Tensor) -> Tensor:
        x = self.embed(rows) + self.position
        for layer in self.layers:
            x = layer(x)
        return self.head(x.mean(dim=1))
