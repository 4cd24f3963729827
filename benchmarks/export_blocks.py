"""What small transformers are made of, as people write it in plain PyTorch (needs torch)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

WIDTH, HEADS = 64, 4


class Rows(nn.Module):
    """A dense layer as GPT-2 stores it, columns for units: view, addmm, view."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inputs, outputs) / math.sqrt(inputs))
        self.bias = nn.Parameter(torch.randn(outputs) * 0.1)

    def forward(self, x: Tensor) -> Tensor:
        flat = torch.addmm(self.bias, x.reshape(-1, x.shape[-1]), self.weight)
        return flat.view(*x.shape[:-1], self.bias.shape[0])


class Attention(nn.Module):
    """Heads over one sequence, or over another one; keys and values may be fewer than queries."""

    def __init__(self, heads: int = HEADS, kept: int | None = None, bias: bool = True, rotary: bool = False,
                 width: int = WIDTH) -> None:  # fmt: skip
        super().__init__()
        self.heads, self.kept, self.size, self.rotary = heads, kept or heads, WIDTH // HEADS, rotary
        self.query = nn.Linear(width, heads * self.size, bias=bias)
        self.key, self.value = (nn.Linear(width, self.kept * self.size, bias=bias) for _ in range(2))
        self.out = nn.Linear(heads * self.size, width, bias=bias)

    def forward(self, x: Tensor, other: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        other = x if other is None else other
        q = self.query(x).view(x.shape[0], -1, self.heads, self.size).transpose(1, 2)
        k, v = (f(other).view(x.shape[0], -1, self.kept, self.size).transpose(1, 2) for f in (self.key, self.value))
        if self.rotary:
            q, k = self._turned(q), self._turned(k)
        if self.kept < self.heads:
            k, v = (z.repeat_interleave(self.heads // self.kept, dim=1) for z in (k, v))
        scores = q @ k.transpose(-1, -2) / math.sqrt(self.size)
        mixed = torch.softmax(scores if mask is None else scores + mask, dim=-1) @ v
        return self.out(mixed.transpose(1, 2).reshape(x.shape[0], -1, self.heads * self.size))

    def _turned(self, x: Tensor) -> Tensor:
        angles = torch.arange(x.shape[2]).float()[:, None] * 10000 ** -torch.linspace(0, 1, self.size // 2)
        angles = torch.cat([angles, angles], dim=-1)
        left, right = x.chunk(2, dim=-1)
        return x * angles.cos() + torch.cat([-right, left], dim=-1) * angles.sin()


class Gated(nn.Module):
    """down(silu(gate(x)) * up(x)), without biases."""

    def __init__(self, hidden: int, width: int = WIDTH) -> None:
        super().__init__()
        self.gate, self.up = (nn.Linear(width, hidden, bias=False) for _ in range(2))
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.silu(self.gate(x)) * self.up(x))


class Block(nn.Module):
    """Attention (over another sequence as well, where there is one) and a feed-forward part, residual."""

    def __init__(self, attention: Attention, feed: nn.Module, norm: Callable[[], nn.Module], *, cross: bool = False,
                 after: bool = False) -> None:  # fmt: skip
        super().__init__()
        self.attention, self.feed, self.norm1, self.norm2, self.after = attention, feed, norm(), norm(), after
        self.cross, self.norm3 = (Attention(), norm()) if cross else (None, None)

    def forward(self, x: Tensor, mask: Tensor | None = None, other: Tensor | None = None) -> Tensor:
        if self.after:
            x = self.norm1(x + self.attention(x, mask=mask))
            return self.norm2(x + self.feed(x))
        x = x + self.attention(self.norm1(x), mask=mask)
        if self.cross is not None and self.norm3 is not None:
            x = x + self.cross(self.norm3(x), other)
        return x + self.feed(self.norm2(x))


def causal(ids: Tensor) -> Tensor:
    """0 where a token may look, a large negative number where not."""
    return torch.triu(torch.full((ids.shape[1], ids.shape[1]), -1e4), diagonal=1)


def layer_norm() -> nn.Module:
    return nn.LayerNorm(WIDTH)


class RMSNorm(nn.Module):
    """Written out, as Hugging Face's models do: what is learned comes last, or, as some write it, first."""

    def __init__(self, width: int = WIDTH, *, first: bool = True) -> None:
        super().__init__()
        self.weight, self.first = nn.Parameter(torch.ones(width)), first

    def forward(self, x: Tensor) -> Tensor:
        over = torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)
        return self.weight * x * over if self.first else self.weight * (x * over)


def feed(hidden: int, activation: nn.Module, dense: Any = nn.Linear) -> nn.Sequential:
    return nn.Sequential(dense(WIDTH, hidden), activation, dense(hidden, WIDTH))
