"""Small nets in plain PyTorch, as people write them, that can be built without some of their units (needs torch).

`NETS[name].build(n)` is the net of which an expert has cut n units from each of its `victims`, the layers whose units
are killed in the whole one. Both differ by what an expert would cut; nothing else is different.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from export_blocks import HEADS, WIDTH, Attention, Block, Gated, RMSNorm, Rows, causal, feed, layer_norm
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

ZERO, STUCK, NEVER = 0.0, 0.5, -50.0  # a unit of zeros, one that is stuck elsewhere, one that no data wakes
HIDDEN, WORDS, STEPS, BLOCKS = 128, 100, 12, 2


class Encoder(nn.Module):
    """Token ids and a mask in, classes out: BERT; with `blocks` that look back only, a language model."""

    def __init__(self, blocks: list[Block], victims: list[nn.Module], *, language: bool = False) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(WORDS, WIDTH), nn.Embedding(STEPS, WIDTH)
        self.blocks, self.norm = nn.ModuleList(blocks), layer_norm()
        self.head, self.language, self.victims = nn.Linear(WIDTH, WORDS if language else 5), language, victims

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        x = self.words(ids) + self.places.weight[: ids.shape[1]]
        hidden = (1.0 - mask.to(torch.float32))[:, None, None, :] * -1e4
        hidden = hidden + causal(ids) if self.language else hidden
        for block in self.blocks:
            x = block(x, hidden)
        return self.head(self.norm(x) if self.language else self.norm(x)[:, 0])


def bert(cut: int) -> nn.Module:
    feeds = [feed(HIDDEN - cut, nn.GELU()) for _ in range(BLOCKS)]
    return Encoder([Block(Attention(), f, layer_norm, after=True) for f in feeds], [f[0] for f in feeds])


def bert_heads(cut: int) -> nn.Module:
    """A head whose values are 0 in every block; the number of units is that of its values."""
    attentions = [Attention(HEADS - cut // (WIDTH // HEADS)) for _ in range(BLOCKS)]
    blocks = [Block(a, feed(HIDDEN, nn.ReLU()), layer_norm) for a in attentions]
    return Encoder(blocks, [a.value for a in attentions])


def gpt2(cut: int) -> nn.Module:
    feeds = [feed(HIDDEN - cut, nn.GELU(approximate="tanh"), Rows) for _ in range(BLOCKS)]
    blocks = [Block(Attention(), f, layer_norm) for f in feeds]
    return Encoder(blocks, [f[0] for f in feeds], language=True)


def llama(cut: int) -> nn.Module:
    feeds = [Gated(HIDDEN - cut) for _ in range(BLOCKS)]
    blocks = [Block(Attention(kept=2, bias=False, rotary=True), f, RMSNorm) for f in feeds]
    return Encoder(blocks, [f.gate for f in feeds], language=True)


class Stream(nn.Module):
    """Llama by its residual stream: what victims add up is 0 in some of its dimensions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.words, self.head = nn.Embedding(WORDS, width), nn.Linear(width, WORDS, bias=False)
        attentions = [Attention(kept=2, bias=False, rotary=True, width=width) for _ in range(BLOCKS)]
        feeds = [Gated(HIDDEN, width) for _ in range(BLOCKS)]
        norm = partial(RMSNorm, width, first=False)
        self.blocks = nn.ModuleList([Block(a, f, norm) for a, f in zip(attentions, feeds, strict=True)])
        self.norm = norm()
        self.victims = [(self.words, *(a.out for a in attentions), *(f.down for f in feeds))]

    def forward(self, ids: Tensor) -> Tensor:
        x = self.words(ids)
        for block in self.blocks:
            x = block(x, causal(ids))
        return self.head(self.norm(x))


class Experts(nn.Module):
    """Every token goes through its two best experts; all are computed, as exporters need it."""

    def __init__(self, hidden: int, experts: int = 4) -> None:
        super().__init__()
        self.router = nn.Linear(WIDTH, experts, bias=False)
        self.experts = nn.ModuleList([Gated(hidden) for _ in range(experts)])

    def forward(self, x: Tensor) -> Tensor:
        best, which = torch.topk(torch.softmax(self.router(x), dim=-1), 2, dim=-1)
        best = best / best.sum(dim=-1, keepdim=True)
        total = torch.zeros_like(x)
        for number, expert in enumerate(self.experts):
            share = (best * (which == number).to(best.dtype)).sum(dim=-1, keepdim=True)
            total = total + share * expert(x)
        return total


def mixtral(cut: int) -> nn.Module:
    feeds = [Experts(HIDDEN - cut) for _ in range(BLOCKS)]
    blocks = [Block(Attention(kept=2, bias=False, rotary=True), f, RMSNorm) for f in feeds]
    return Encoder(blocks, [expert.gate for f in feeds for expert in f.experts], language=True)


class EncoderDecoder(nn.Module):
    """A sequence is read, another one written: T5 from token ids, Whisper from a spectrogram."""

    def __init__(self, source: nn.Module, reading: list[nn.Module], writing: list[nn.Module], norm: Any) -> None:
        super().__init__()
        self.source, self.words = source, nn.Embedding(WORDS, WIDTH)
        self.reading = nn.ModuleList([Block(Attention(), f, norm) for f in reading])
        self.writing = nn.ModuleList([Block(Attention(), f, norm, cross=True) for f in writing])
        self.norm, self.head = norm(), nn.Linear(WIDTH, WORDS, bias=False)
        self.victims = [f[0] for f in (*reading, *writing) if isinstance(f, nn.Sequential)]

    def forward(self, read: Tensor, ids: Tensor) -> Tensor:
        x, y = self.source(read), self.words(ids)
        for block in self.reading:
            x = block(x)
        for block in self.writing:
            y = block(y, causal(ids), x)
        return self.head(self.norm(y))


def t5(cut: int) -> nn.Module:
    def dense(inputs: int, outputs: int) -> nn.Linear:
        return nn.Linear(inputs, outputs, bias=False)

    feeds = [[feed(HIDDEN - cut, nn.ReLU(), dense) for _ in range(BLOCKS)] for _ in range(2)]
    return EncoderDecoder(nn.Embedding(WORDS, WIDTH), feeds[0], feeds[1], RMSNorm)


class Stem(nn.Module):
    """Two convolutions over the frames of a spectrogram."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv1d(20, WIDTH, 3, padding=1), nn.Conv1d(WIDTH, WIDTH, 3, 2, 1)

    def forward(self, mel: Tensor) -> Tensor:
        return F.gelu(self.conv2(F.gelu(self.conv1(mel)))).transpose(1, 2)


def whisper(cut: int) -> nn.Module:
    feeds = [[feed(HIDDEN - cut, nn.GELU()) for _ in range(BLOCKS)] for _ in range(2)]
    return EncoderDecoder(Stem(), feeds[0], feeds[1], layer_norm)


class Tagger(nn.Module):
    """A recurrent layer over words, a class for each."""

    def __init__(self, kind: Any, hidden: int) -> None:
        super().__init__()
        self.words, self.rnn = nn.Embedding(WORDS, 32), kind(32, hidden, batch_first=True)
        self.head = nn.Linear(hidden, 9)
        self.victims = [self.rnn]

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.rnn(self.words(ids))[0])


class Causal(nn.Module):
    """Two dilated convolutions that look back only, residual."""

    def __init__(self, inner: int, dilation: int) -> None:
        super().__init__()
        self.first, self.second = nn.Conv1d(32, inner, 3, dilation=dilation), nn.Conv1d(inner, 32, 1)
        self.back = 2 * dilation

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.second(F.relu(self.first(F.pad(x, (self.back, 0))))))


class TCN(nn.Module):
    def __init__(self, cut: int) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv1d(6, 32, 1), nn.Linear(32, 4)
        self.blocks = nn.ModuleList([Causal(64 - cut, 2**level) for level in range(3)])
        self.victims = [block.first for block in self.blocks]

    def forward(self, signal: Tensor) -> Tensor:
        x = self.stem(signal)
        for block in self.blocks:
            x = block(x)
        return self.head(x[:, :, -1])


class DLRM(nn.Module):
    """Numbers and categories, their products in pairs, and dense layers over all."""

    def __init__(self, cut: int) -> None:
        super().__init__()
        self.tables = nn.ModuleList([nn.Embedding(50, 16) for _ in range(5)])
        self.below = nn.Sequential(nn.Linear(13, HIDDEN - cut), nn.ReLU(), nn.Linear(HIDDEN - cut, 16), nn.ReLU())
        self.above = nn.Sequential(nn.Linear(31, HIDDEN - cut), nn.ReLU(), nn.Linear(HIDDEN - cut, 1), nn.Sigmoid())
        self.victims = [self.below[0], self.above[0]]
        self.register_buffer("pairs", torch.tril_indices(6, 6, offset=-1), persistent=False)

    def forward(self, numbers: Tensor, categories: Tensor) -> Tensor:
        x = self.below(numbers)
        rows = torch.stack([x, *(table(categories[:, i]) for i, table in enumerate(self.tables))], dim=1)
        products = (rows @ rows.transpose(1, 2))[:, self.pairs[0], self.pairs[1]]
        return self.above(torch.cat([x, products], dim=1))


class GNN(nn.Module):
    """Messages along edges, summed where they arrive."""

    def __init__(self, cut: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(16, 64 - cut), nn.Linear(64 - cut, 32)
        self.own, self.head = nn.Linear(16, 64 - cut), nn.Linear(32, 3)
        self.victims = [(self.first, self.own)]

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        arrived = torch.zeros(x.shape[0], self.first.out_features).index_add(0, edges[1], self.first(x)[edges[0]])
        hidden = F.relu(arrived + self.own(x))
        passed = torch.zeros(x.shape[0], 32).index_add(0, edges[1], self.second(hidden)[edges[0]])
        return self.head(F.relu(passed))


def conv(
    inputs: int, outputs: int, size: int = 3, stride: int = 1, activation: nn.Module | None = None
) -> nn.Sequential:
    layers = [nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False), nn.BatchNorm2d(outputs)]
    return nn.Sequential(*layers, activation or nn.SiLU())


class YOLO(nn.Module):
    """Two scales, split and joined channels, a head for each scale."""

    def __init__(self, cut: int) -> None:
        super().__init__()
        inner = 32 - cut
        self.stem, self.down = conv(3, 32, stride=2), conv(32, 64, stride=2)
        self.left, self.right = conv(32, inner), conv(inner, 32)
        self.joined, self.deep, self.back = conv(96, 64, 1), conv(64, inner, stride=2), conv(inner + 64, 64, 1)
        self.heads = nn.ModuleList([nn.Conv2d(inner, 7, 1), nn.Conv2d(64, 7, 1)])
        self.victims = [self.left, self.deep]

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        x = self.down(self.stem(image))
        _, part = x.chunk(2, dim=1)
        x = self.joined(torch.cat([x, self.right(self.left(part))], dim=1))
        deep = self.deep(x)
        wide = torch.cat([F.interpolate(deep, scale_factor=2.0), x], dim=1)
        return self.heads[0](deep), self.heads[1](self.back(wide))


class UNet(nn.Module):
    def __init__(self, cut: int) -> None:
        super().__init__()
        relu = nn.ReLU
        self.one, self.two = conv(3, 32 - cut, activation=relu()), conv(32 - cut, 64 - cut, activation=relu())
        self.up, self.last = nn.ConvTranspose2d(64 - cut, 32, 2, 2), conv(64 - cut, 32, activation=relu())
        self.head = nn.Conv2d(32, 2, 1)
        self.victims = [self.one, self.two]

    def forward(self, image: Tensor) -> Tensor:
        skip = self.one(image)
        return self.head(self.last(torch.cat([skip, self.up(self.two(F.max_pool2d(skip, 2)))], dim=1)))


@dataclass(frozen=True)
class Net:
    """How a net is built, and what it is fed: `example(n, seed)` are n samples, or one graph where there are none.

    `constants` are what enters the activations of killed units, in turns.
    """

    build: Callable[[int], nn.Module]
    example: Callable[[int, torch.Generator], dict[str, Tensor]]
    constants: tuple[float, ...] = (ZERO, STUCK)
    samples: bool = True


def _ids(n: int, g: torch.Generator) -> Tensor:
    return torch.randint(0, WORDS, (n, STEPS), generator=g)


def _text(n: int, g: torch.Generator) -> dict[str, Tensor]:
    mask = torch.arange(STEPS)[None] < torch.randint(4, STEPS + 1, (n, 1), generator=g)
    return {"ids": _ids(n, g), "mask": mask.long()}


def _image(n: int, g: torch.Generator) -> dict[str, Tensor]:
    return {"image": torch.randn(n, 3, 32, 32, generator=g)}


def _graph(n: int, g: torch.Generator) -> dict[str, Tensor]:
    return {"x": torch.randn(10, 16, generator=g), "edges": torch.randint(0, 10, (2, 30), generator=g)}


NETS: Mapping[str, Net] = {
    **{name: Net(build, _text) for name, build in {"BERT": bert, "BERT, a head": bert_heads, "GPT-2": gpt2,
                                                   "Llama": llama, "Mixtral-like": mixtral}.items()},
    "Llama, its stream": Net(lambda cut: Stream(WIDTH - cut), lambda n, g: {"ids": _ids(n, g)}, (ZERO,)),
    "T5": Net(t5, lambda n, g: {"read": _ids(n, g), "ids": _ids(n, g)}),
    "Whisper": Net(whisper, lambda n, g: {"read": torch.randn(n, 20, 16, generator=g), "ids": _ids(n, g)}),
    "LSTM": Net(lambda cut: Tagger(nn.LSTM, 64 - cut), lambda n, g: {"ids": _ids(n, g)}),
    "GRU": Net(lambda cut: Tagger(nn.GRU, 64 - cut), lambda n, g: {"ids": _ids(n, g)}),
    "TCN": Net(TCN, lambda n, g: {"signal": torch.randn(n, 6, 24, generator=g)}, (ZERO, STUCK, NEVER)),
    "DLRM": Net(DLRM, lambda n, g: {"numbers": torch.randn(n, 13, generator=g),
                                    "categories": torch.randint(0, 50, (n, 5), generator=g)}, (ZERO, STUCK, NEVER)),
    "GNN": Net(GNN, _graph, (ZERO, STUCK, NEVER), samples=False),
    "YOLO-like": Net(YOLO, _image, (ZERO,)),
    "U-Net": Net(UNet, _image, (ZERO, NEVER)),
}  # fmt: skip
