"""Vision transformers that attend inside windows: Swin of timm and of torchvision."""

from __future__ import annotations

import math
from typing import Any

from foveate.explain.families.layout import Call, Layout, family
from foveate.explain.geometry.windows import windows

_TIMM_SWIN = (
    ("timm.models.swin_transformer.WindowAttention", "timm.models.swin_transformer.SwinTransformerBlock"),
    (
        "timm.models.swin_transformer_v2.WindowAttention",
        "timm.models.swin_transformer_v2.SwinTransformerV2Block",
    ),
    (
        "timm.models.swin_transformer_v2_cr.WindowMultiHeadAttention",
        "timm.models.swin_transformer_v2_cr.SwinTransformerV2CrBlock",
    ),
)


@family(*(attention for attention, _ in _TIMM_SWIN), watch=[block for _, block in _TIMM_SWIN])
def timm_swin(call: Call) -> Layout:
    """Describe timm's shifted windows: rolled, then padded, one window after the other in the batch."""
    block = call.parent("SwinTransformerBlock", "SwinTransformerV2Block", "SwinTransformerV2CrBlock")
    _, height, width, _ = call.given(block)
    window, shift = _pair(block.window_size), _pair(block.shift_size)
    places = windows(height, width, window, shift, reach=pyramid_reach(call, height, width))
    return Layout("(b g) k n m", places, places, {"g": places.groups}, window=window, shift=shift)


_VISION = "torchvision.models.swin_transformer"


@family(
    f"{_VISION}.ShiftedWindowAttention",
    f"{_VISION}.ShiftedWindowAttentionV2",
    watch=[f"{_VISION}.ShiftedWindowAttention", f"{_VISION}.ShiftedWindowAttentionV2"],
)
def torchvision_swin(call: Call) -> Layout:
    """Describe torchvision's shifted windows: padded, then rolled."""
    _, height, width, _ = call.given(call.module)
    layer: Any = call.module
    window = _pair(layer.window_size)
    padded = [-(-size // w) * w for size, w in zip((height, width), window, strict=True)]
    shift = tuple(0 if w >= p else s for w, p, s in zip(window, padded, layer.shift_size, strict=True))
    places = windows(
        height, width, window, (shift[0], shift[1]), "pad, roll", pyramid_reach(call, height, width)
    )
    return Layout(
        "(b g) k n m", places, places, {"g": places.groups}, window=window, shift=(shift[0], shift[1])
    )


def pyramid_reach(call: Call, height: int, width: int, base: int = 1) -> tuple[float, float]:
    """Return the reach of a grid whose stride is ``base`` times a power of two: stages halve the map."""
    if call.picture is None:
        return 1.0, 1.0
    strides = [
        base * 2 ** max(0, round(math.log2(pixels / cells / base)))
        for pixels, cells in zip(call.picture, (height, width), strict=True)
    ]
    return call.reach((strides[0], strides[1]), height, width)


def _pair(size: Any) -> tuple[int, int]:
    return (int(size), int(size)) if isinstance(size, int) else (int(size[0]), int(size[1]))
