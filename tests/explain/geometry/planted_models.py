"""The models of ``planted.csv``, each with a picture: by their name in timm, or by one of the names here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import timm
import torch
import torchvision
from torch import Tensor, nn
from torchvision.models import swin_transformer

from tests.explain.toys import HF

Made = tuple[nn.Module, dict[str, Tensor]]
_SWIN = {"embed_dim": 16, "depths": (2, 2), "num_heads": (2, 2), "window_size": 4}
_SMALL: dict[str, tuple[str, dict[str, Any]]] = {
    "small swin": ("swin_tiny_patch4_window7_224", _SWIN),
    "small swin v2": ("swinv2_tiny_window8_256", _SWIN),
    "small swin v2 cr": ("swinv2_cr_tiny_ns_224", {"window_size": (4, 4)}),
}
_SIZED = ("test_vit", "test_vit3", "samvit_base_patch16", *_SMALL)  # are told the size of their pictures


def made(name: str, picture: str) -> Made:
    """Return a model with random weights and what it is called with.

    Args:
        name: As the table has it.
        picture: Height and width, ``48x80``; empty for toys, which bring their own.
    """
    torch.manual_seed(0)
    library, _, toy = name.partition(" ")
    if library == "transformers":
        return HF[toy]()
    if library == "torchvision":
        return _VISION[toy](), {"x": torch.randn(1, 3, *_SIZES[toy])}
    height, width = map(int, picture.split("x"))
    called, options = _SMALL.get(name, (name, {}))
    sized = {"img_size": (height, width)} if name in _SIZED else {}
    model = timm.create_model(called, **options, **sized)
    return model, {"x": torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(2))}


def _maxvit() -> nn.Module:
    return torchvision.models.MaxVit(
        input_size=(64, 64), stem_channels=16, partition_size=4, block_channels=[16, 32], block_layers=[1, 1],
        head_dim=16, stochastic_depth_prob=0.0,
    )  # fmt: skip


def _swin(block: type[nn.Module], merge: type[nn.Module]) -> nn.Module:
    return torchvision.models.SwinTransformer(
        patch_size=[4, 4], embed_dim=16, depths=[2, 2], num_heads=[2, 2], window_size=[4, 4], block=block,
        downsample_layer=merge,
    )  # fmt: skip


_VISION: dict[str, Callable[[], nn.Module]] = {
    "maxvit": _maxvit,
    "swin": lambda: _swin(swin_transformer.SwinTransformerBlock, swin_transformer.PatchMerging),
    "swin v2": lambda: _swin(swin_transformer.SwinTransformerBlockV2, swin_transformer.PatchMergingV2),
}
_SIZES = {"maxvit": (64, 64), "swin": (40, 52), "swin v2": (40, 52)}
