"""Two small networks whose every weight is a formula, and maps of them that were computed elsewhere.

``toy_values.json`` holds, for four seeds, class activation maps, integrated gradients, occlusion and combined
attention in float64, written with NumPy-like loops and checked against grad-cam, torch-cam, captum,
vit-explain and attention_flow where these are right.
"""

from __future__ import annotations

import functools
import json
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SEEDS = range(4)


@functools.cache
def values(seed: int) -> dict[str, Any]:
    """Return the values of one seed: ``cnn`` and ``vit``."""
    found = json.loads(Path(__file__).with_name("toy_values.json").read_text(encoding="utf-8"))
    return found[str(seed)]


def tensor(value: Any) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)


def wave(shape: tuple[int, ...], k: int, seed: int, scale: float) -> Tensor:
    i = torch.arange(math.prod(shape))
    m = (37 * i * i + 131 * i + 211 * k + 71 * seed) % 997
    return (scale * torch.sin(2 * math.pi * m.double() / 997)).reshape(shape)


def image(seed: int) -> Tensor:
    c, i = torch.arange(3.0).double()[:, None, None], torch.arange(12.0).double()[:, None]
    j = torch.arange(12.0).double()
    return (0.5 + 0.5 * torch.sin(0.55 * i + 0.35 * j * (1 + 0.1 * seed) + 1.3 * c + seed))[None]


def fill(layer: nn.Module, k: int, seed: int, scale: float) -> None:
    with torch.no_grad():
        layer.weight.copy_(wave(tuple(layer.weight.shape), k, seed, scale))
        layer.bias.copy_(wave(tuple(layer.bias.shape), k + 1, seed, 0.1))


class ToyCNN(nn.Module):
    """Three convolutions, global average pooling, one linear layer; maps are taken at ``act2``."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.conv1, self.act1 = nn.Conv2d(3, 4, 3, padding=1), nn.ReLU()
        self.conv2, self.act2 = nn.Conv2d(4, 6, 3, stride=2, padding=1), nn.ReLU()
        self.conv3, self.act3 = nn.Conv2d(6, 8, 3, padding=1), nn.ReLU()
        self.fc = nn.Linear(8, 5)
        self.double().eval()
        for layer, k, scale in (
            (self.conv1, 1, 0.35),
            (self.conv2, 3, 0.3),
            (self.conv3, 5, 0.3),
            (self.fc, 7, 1),
        ):
            fill(layer, k, seed, scale)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act2(self.conv2(self.act1(self.conv1(x))))
        return self.fc(self.act3(self.conv3(x)).mean(dim=(2, 3)))


class ToyAttention(nn.Module):
    """Two heads of width 4, fused."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.proj = nn.Linear(8, 24), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(2, (3, 2, 4)).permute(2, 0, 3, 1, 4)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class ToyBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(8, eps=1e-6, elementwise_affine=False)
        self.attn = ToyAttention()
        self.norm2 = nn.LayerNorm(8, eps=1e-6, elementwise_affine=False)
        self.fc1, self.fc2 = nn.Linear(8, 16), nn.Linear(16, 8)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


class ToyViT(nn.Module):
    """Patches of 4 pixels, a class token, three blocks."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 8, 4, stride=4)
        self.cls, self.pos = nn.Parameter(torch.zeros(1, 1, 8)), nn.Parameter(torch.zeros(1, 10, 8))
        self.blocks = nn.ModuleList(ToyBlock() for _ in range(3))
        self.norm = nn.LayerNorm(8, eps=1e-6, elementwise_affine=False)
        self.head = nn.Linear(8, 5)
        self.double().eval()
        fill(self.patch, 30, seed, 0.15)
        with torch.no_grad():
            self.cls.copy_(wave((1, 1, 8), 32, seed, 0.5))
            self.pos.copy_(wave((1, 10, 8), 33, seed, 0.5))
        k = 34
        for block in self.blocks:
            for layer, scale in (
                (block.attn.qkv, 0.6),
                (block.attn.proj, 0.4),
                (block.fc1, 0.4),
                (block.fc2, 0.4),
            ):
                fill(layer, k, seed, scale)
                k += 2
        fill(self.head, k, seed, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls.expand(len(x), -1, -1), x], dim=1) + self.pos
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x)[:, 0])


def attention_of(vit: ToyViT, x: Tensor, target: int) -> tuple[list[Tensor], list[Tensor]]:
    """Return the weights (B, 2, 10, 10) of each layer and their gradients, by plain formulas."""
    kept: list[Tensor] = []

    def explicit(module: nn.Module, args: tuple[Tensor, ...], _output: Tensor) -> Tensor:
        q, k, v = module.qkv(args[0]).unflatten(2, (3, 2, 4)).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(2, 3) / 2).softmax(dim=3)
        kept.append(weights)
        return module.proj((weights @ v).transpose(1, 2).flatten(2))

    hooks = [block.attn.register_forward_hook(explicit) for block in vit.blocks]
    logit = vit(x)[:, target].sum()
    gradients = list(torch.autograd.grad(logit, kept))
    for hook in hooks:
        hook.remove()
    return [weights.detach() for weights in kept], gradients
