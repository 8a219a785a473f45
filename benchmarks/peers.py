"""The same mechanisms in other packages, each behind one call, for the benchmarks that put them beside ours.

``peers()`` maps our name to the peers that are installed, ``missing()`` names the packages that are not. A
peer is called with the number of channels, and what it builds takes what our mechanism of that name takes.
Heads, reductions and kernels are set to what ours has by default; ``OURS`` has the options with which ours is
built where its defaults differ from what a peer can do.

A peer whose formula is not the paper's has ``faults``: it is shown, and its speed is no measure. Limits that
do not change the result, such as sizes that it refuses, are no faults here; benchmarks/robustness.py shows
them. "as printed" is no package: it is the formula of the paper written down in plain PyTorch, N x N matrices
included, for attention that only stands in repositories that cannot be installed.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

import torch
from torch import Tensor, nn

PACKAGES = {
    "timm": "timm",
    "torchvision": "torchvision",
    "segmentation-models-pytorch": "segmentation_models_pytorch",
    "monai": "monai",
    "fightingcv-attention": "fightingcv_attention",
    "self-attention-cv": "self_attention_cv",
}
OURS: dict[str, dict[str, object]] = {
    "criss_cross": {"recurrence": 1},
    "non_local": {"reduction": 8, "subsample": False, "scale": True},
    "gc": {"reduction": 8},
    "attention_gate": {"kind": "additive"},
    "multi_head": {"heads": 8, "norm": False, "residual": False},
}


@dataclass(frozen=True)
class Peer:
    """How to build one, and why it is no measure, if it is none.

    Args:
        build: Returns a module for the channels given.
        faults: What its result has wrong, or None.
        squares: How many matrices of all pairs of positions it holds at a time, which decides where it fits.
    """

    build: Callable[[int], nn.Module]
    faults: str | None = None
    squares: int = 0

    def __call__(self, channels: int) -> nn.Module:
        """Build it."""
        return self.build(channels)


def missing() -> list[str]:
    """Return the packages that are not installed; ``pip install foveate[bench]`` brings them."""
    return [package for package, module in PACKAGES.items() if find_spec(module) is None]


def peers() -> dict[str, dict[str, Peer]]:
    """Return, by our name of the mechanism and theirs of the package, every peer that is installed."""
    found: dict[str, dict[str, Peer]] = {}
    for (mechanism, name), (package, peer) in {**_gates(), **_pairwise(), **_printed()}.items():
        if not package or find_spec(PACKAGES[package]) is not None:
            found.setdefault(mechanism, {})[name] = peer
    return found


Table = dict[tuple[str, str], tuple[str, Peer]]


def imported(path: str) -> Callable[..., nn.Module]:
    """Return a constructor that imports ``module:class`` when it is called."""
    module, _, name = path.partition(":")

    def build(*arguments: object, **options: object) -> nn.Module:
        return getattr(importlib.import_module(module), name)(*arguments, **options)

    return build


def _fighting(name: str) -> Callable[..., nn.Module]:
    return imported(f"fightingcv_attention.attention.{name}")


def _gates() -> Table:
    """Attention that multiplies its input."""
    timm, smp, fighting, monai = "timm", "segmentation-models-pytorch", "fightingcv-attention", "monai"
    return {
        ("se", "timm"): (
            timm,
            Peer(lambda c: imported("timm.layers:SEModule")(c, rd_channels=max(1, c // 16))),
        ),
        ("se", "torchvision"): (
            "torchvision",
            Peer(lambda c: imported("torchvision.ops:SqueezeExcitation")(c, max(1, c // 16))),
        ),
        ("se", "fightingcv"): (fighting, Peer(lambda c: _fighting("SEAttention:SEAttention")(c, 16))),
        ("se", "monai"): (
            monai,
            Peer(lambda c: imported("monai.networks.blocks:ChannelSELayer")(2, c, r=16)),
        ),
        ("eca", "timm"): (timm, Peer(imported("timm.layers:EcaModule"))),
        ("eca", "fightingcv"): (fighting, Peer(lambda c: _fighting("ECAAttention:ECAAttention")(3))),
        ("gc", "timm"): (
            timm,
            Peer(lambda c: imported("timm.layers:GlobalContext")(c, fuse_add=True, fuse_scale=False)),
        ),
        ("cbam", "timm"): (timm, Peer(imported("timm.layers.cbam:CbamModule"))),
        ("cbam", "fightingcv"): (
            fighting,
            Peer(lambda c: _fighting("CBAM:CBAMBlock")(c, 16, 7), "adds its input, which the paper does not"),
        ),
        ("coordinate", "timm"): (
            timm,
            Peer(lambda c: imported("timm.layers.coord_attn:CoordAttn")(c, rd_ratio=1 / 32)),
        ),
        ("coordinate", "fightingcv"): (fighting, Peer(lambda c: _fighting("CoordAttention:CoordAtt")(c, c))),
        ("scse", "smp"): (
            smp,
            Peer(lambda c: imported("segmentation_models_pytorch.base.modules:SCSEModule")(c, 16)),
        ),
        ("simam", "fightingcv"): (fighting, Peer(_fighting("SimAM:SimAM"))),
        ("triplet", "fightingcv"): (
            fighting,
            Peer(lambda c: _fighting("TripletAttention:TripletAttention")()),
        ),
        ("bam", "fightingcv"): (
            fighting,
            Peer(_fighting("BAM:BAMBlock"), "padding 1 with dilation 2: 7 x 7 maps only"),
        ),
        ("attention_gate", "monai"): (monai, Peer(lambda c: _Swapped(_monai_gate(c)))),
    }


def _pairwise() -> Table:
    """Attention between positions, or between channels."""
    timm, fighting, monai = "timm", "fightingcv-attention", "monai"
    sacv = "self_attention_cv.transformer_vanilla.mhsa:MultiHeadSelfAttention"
    return {
        ("sk_conv", "timm"): (
            timm,
            Peer(
                lambda c: imported("timm.layers:SelectiveKernel")(
                    c, c, groups=32, split_input=False, rd_channels=max(32, c // 16)
                )
            ),
        ),
        ("external", "fightingcv"): (
            fighting,
            Peer(lambda c: _Tokens(_fighting("ExternalAttention:ExternalAttention")(c, 64))),
        ),
        ("non_local", "timm"): (
            timm,
            Peer(lambda c: imported("timm.layers.non_local_attn:NonLocalAttn")(c, rd_ratio=1 / 8), squares=2),
        ),
        ("criss_cross", "fightingcv"): (
            fighting,
            Peer(_fighting("CrissCrossAttention:CrissCrossAttention")),
        ),
        ("position", "smp"): (
            "segmentation-models-pytorch",
            Peer(
                lambda c: imported("segmentation_models_pytorch.decoders.manet.decoder:PABBlock")(c, c // 8),
                "one softmax over all pairs, then a reshape without a transpose",
                squares=2,
            ),
        ),
        ("multi_head", "timm"): (
            timm,
            Peer(lambda c: _Tokens(imported("timm.layers:Attention")(c, num_heads=8, qkv_bias=True))),
        ),
        ("multi_head", "torch"): ("", Peer(lambda c: _Own(nn.MultiheadAttention(c, 8, batch_first=True)))),
        ("multi_head", "monai"): (
            monai,
            Peer(
                lambda c: _Tokens(
                    imported("monai.networks.blocks:SABlock")(c, 8, qkv_bias=True, use_flash_attention=True)
                )
            ),
        ),
        ("multi_head", "self-attention-cv"): (
            "self-attention-cv",
            Peer(lambda c: _Tokens(imported(sacv)(c, 8)), squares=16),
        ),
    }


def _printed() -> Table:
    """The formulas of DANet, which no package has right."""
    return {
        ("position", "as printed"): ("", Peer(PrintedPosition, squares=2)),
        ("channel", "as printed"): ("", Peer(lambda c: PrintedChannel())),
        ("channel", "fightingcv"): (
            "fightingcv-attention",
            Peer(
                _fighting("DANet:ChannelAttentionModule"),
                "a learned layer over H*W, 7 x 7 maps only",
            ),
        ),
    }


class PrintedPosition(nn.Module):
    """Position attention: every pair of positions in one matrix."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query = nn.Conv2d(channels, max(1, channels // 8), kernel_size=1)
        self.key = nn.Conv2d(channels, max(1, channels // 8), kernel_size=1)
        self.value = nn.Conv2d(channels, channels, kernel_size=1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        query, key, value = (layer(x).flatten(2) for layer in (self.query, self.key, self.value))
        weights = torch.bmm(query.transpose(1, 2), key).softmax(dim=-1)
        return self.gamma * torch.bmm(value, weights.transpose(1, 2)).view_as(x) + x


class PrintedChannel(nn.Module):
    """Channel attention by the greatest energy less the energy, as the authors' code has it."""

    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        flat = x.flatten(2)
        energy = torch.bmm(flat, flat.transpose(1, 2))
        weights = (energy.amax(dim=-1, keepdim=True) - energy).softmax(dim=-1)
        return self.gamma * torch.bmm(weights, flat).view_as(x) + x


class _Tokens(nn.Module):
    """A module for tokens, given a map."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        tokens = x.flatten(2).transpose(1, 2).contiguous()
        return self.read(tokens).transpose(1, 2).unflatten(2, x.shape[2:])

    def read(self, tokens: Tensor) -> Tensor:
        """Map (B, N, C) to the same shape."""
        return self.inner(tokens)


class _Own(_Tokens):
    """PyTorch's layer, which takes queries, keys and values."""

    def read(self, tokens: Tensor) -> Tensor:
        """Map (B, N, C) to the same shape."""
        return self.inner(tokens, tokens, tokens, need_weights=False)[0]


class _Swapped(nn.Module):
    """A gate that takes the gating map first, and one of the map's own size."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor, gating: Tensor) -> Tensor:
        """Map (B, C, H, W) and (B, C, H, W) to the first's shape."""
        return self.inner(g=gating, x=x)


def _monai_gate(channels: int) -> nn.Module:
    block = imported("monai.networks.nets.attentionunet:AttentionBlock")
    return block(spatial_dims=2, f_int=channels // 2, f_g=channels, f_l=channels)
