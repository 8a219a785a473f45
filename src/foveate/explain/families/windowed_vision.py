"""Transformers of timm and torchvision that attend inside windows."""

from __future__ import annotations

import math
from typing import Any

from foveate.explain.families.layout import Call, Layout, family
from foveate.explain.geometry.places import Places
from foveate.explain.geometry.plain_grid import plain_grid
from foveate.explain.geometry.windows import spread_windows, windows

_TIMM = "timm.models"
_SWIN = {
    f"{_TIMM}.swin_transformer.WindowAttention": f"{_TIMM}.swin_transformer.SwinTransformerBlock",
    f"{_TIMM}.swin_transformer_v2.WindowAttention": f"{_TIMM}.swin_transformer_v2.SwinTransformerV2Block",
    f"{_TIMM}.swin_transformer_v2_cr.WindowMultiHeadAttention": (
        f"{_TIMM}.swin_transformer_v2_cr.SwinTransformerV2CrBlock"
    ),
}


@family(*_SWIN, watch=_SWIN.values())
def timm_swin(call: Call) -> Layout:
    """Describe timm's shifted windows: rolled, then padded, one window after the other in the batch."""
    block = call.parent("SwinTransformerBlock", "SwinTransformerV2Block", "SwinTransformerV2CrBlock")
    _, height, width, _ = call.given(block)
    return _in_windows(call, height, width, block.window_size, block.shift_size)


_VISION = "torchvision.models.swin_transformer"
_VISION_SWIN = (f"{_VISION}.ShiftedWindowAttention", f"{_VISION}.ShiftedWindowAttentionV2")


@family(*_VISION_SWIN, watch=_VISION_SWIN)
def torchvision_swin(call: Call) -> Layout:
    """Describe torchvision's shifted windows: padded, then rolled."""
    _, height, width, _ = call.given(call.module)
    layer: Any = call.module
    window, shift = pair(layer.window_size), pair(layer.shift_size)
    return padded_then_rolled(call, height, width, window, shift)


def padded_then_rolled(
    call: Call, height: int, width: int, window: tuple[int, int], shift: tuple[int, int]
) -> Layout:
    """Describe windows of a padded map, which are not shifted along axes that hold one window only."""
    padded = [-(-size // w) * w for size, w in zip((height, width), window, strict=True)]
    shift = (shift[0] if window[0] < padded[0] else 0, shift[1] if window[1] < padded[1] else 0)
    places = windows(height, width, window, shift, "pad, roll", call.pyramid(height, width))
    return Layout("(b g) k n m", places, places, {"g": places.groups}, window=window, shift=shift)


@family(f"{_TIMM}.davit.WindowAttention", watch=[f"{_TIMM}.davit.SpatialBlock"])
def davit(call: Call) -> Layout:
    """Describe DaViT's windows: padded at the right and bottom, not shifted, padding not masked."""
    block = call.parent("SpatialBlock")
    _, _, height, width = call.given(block)
    return _in_windows(call, height, width, block.window_size)


@family(f"{_TIMM}.tiny_vit.Attention", watch=[f"{_TIMM}.tiny_vit.TinyVitBlock"])
def tiny_vit(call: Call) -> Layout:
    """Describe TinyViT's windows: padded, not shifted, padding not masked."""
    block = call.parent("TinyVitBlock")
    _, height, width, _ = call.given(block)
    return _in_windows(call, height, width, block.window_size)


@family(f"{_TIMM}.gcvit.WindowAttentionGlobal", watch=[f"{_TIMM}.gcvit.GlobalContextVitBlock"])
def gcvit(call: Call) -> Layout:
    """Describe GCViT's windows; a global block computes its queries from the whole picture."""
    block = call.parent("GlobalContextVitBlock")
    _, height, width, _ = call.given(block)
    return _in_windows(call, height, width, block.window_size)


@family(
    f"{_TIMM}.efficientvit_msra.CascadedGroupAttention",
    watch=[f"{_TIMM}.efficientvit_msra.LocalWindowAttention"],
)
def efficientvit_msra(call: Call) -> Layout:
    """Describe EfficientViT (MSRA): one call per head, in windows."""
    layer: Any = call.module
    _, _, height, width = call.given(call.parent("LocalWindowAttention"))
    places = windows(height, width, pair(layer.resolution), reach=call.pyramid(height, width))
    return Layout(
        "(b g) n m",
        places,
        places,
        {"g": places.groups},
        window=pair(layer.resolution),
        note="one call per head",
    )


@family(f"{_TIMM}.nest.Attention")
def nest(call: Call) -> Layout:
    """Describe NesT's blocks, a square of them, row by row."""
    block = call.parent("NestLevel").block_size
    size = math.isqrt(call.shape[2]) * block
    places = windows(size, size, (block, block), reach=call.pyramid(size, size))
    return Layout("b k g n m", places, places, window=(block, block))


_PARTITION = ("PartitionAttentionCl", "ParallelPartitionAttention", "PartitionAttention2d")


@family(
    f"{_TIMM}.maxxvit.AttentionCl",
    f"{_TIMM}.maxxvit.Attention2d",
    watch=[f"{_TIMM}.maxxvit.{name}" for name in (*_PARTITION, "Attention2d")],
)
def maxxvit(call: Call) -> Layout:
    """Describe MaxViT's block and grid attention, and CoAtNet's attention over the whole map."""
    parent = next((m for m in call.around if type(m).__name__ in _PARTITION), None)
    if parent is None:
        _, _, height, width = call.given(call.module)
        whole = plain_grid(height, width, reach=call.pyramid(height, width))
        return Layout(queries=whole, keys=whole)
    given = call.given(parent)
    height, width = given[2:4] if type(parent).__name__ == "PartitionAttention2d" else given[1:3]
    block = getattr(parent, "partition_block", call.path.endswith("attn_block"))
    window = pair(parent.partition_size)
    reach = call.pyramid(height, width)
    places = (
        windows(height, width, window, reach=reach) if block else spread_windows(height, width, window, reach)
    )
    return Layout("(b g) k n m", places, places, {"g": places.groups}, window=window)


_MAXVIT = "torchvision.models.maxvit"


@family(f"{_MAXVIT}.RelativePositionalMultiHeadAttention", watch=[f"{_MAXVIT}.PartitionAttentionLayer"])
def torchvision_maxvit(call: Call) -> Layout:
    """Describe torchvision's MaxViT: windows, or cells spread over the map, as an axis of their own."""
    layer = call.parent("PartitionAttentionLayer")
    _, _, height, width = call.given(layer)
    reach = call.pyramid(height, width)
    if layer.partition_type == "window":
        window = pair(layer.p)
        places = windows(height, width, window, reach=reach)
    else:
        window = (height // layer.p, width // layer.p)
        places = spread_windows(height, width, window, reach)
    return Layout("b g k n m", places, places, window=window)


@family(f"{_TIMM}.twins.LocallyGroupedAttn", watch=[f"{_TIMM}.twins.LocallyGroupedAttn"])
def twins_local(call: Call) -> Layout:
    """Describe the local attention of Twins: windows, padded, padding not masked."""
    layer: Any = call.module
    height, width = call.given(call.module, 1, "size")
    places = windows(height, width, pair(layer.ws), reach=call.pyramid(height, width))
    return Layout("b g k n m", places, places, window=pair(layer.ws))


@family(f"{_TIMM}.vision_transformer_sam.Attention", watch=[f"{_TIMM}.vision_transformer_sam.Block"])
def timm_sam(call: Call) -> Layout:
    """Describe SAM's encoder: windows, padded, padding not masked, or the whole map in some blocks."""
    block = call.parent("Block")
    _, height, width, _ = call.given(block)
    window = pair(block.window_size) if block.window_size else (height, width)
    model: Any = next(m for m in call.around if hasattr(m, "patch_embed"))
    patch = pair(model.patch_embed.patch_size)
    places = windows(height, width, window, reach=call.reach(patch, height, width))
    sizes = {"g": places.groups, "k": block.attn.num_heads}
    if places.groups == 1:
        return Layout("(b k) n m", places, places, sizes)
    return Layout("(b g k) n m", places, places, sizes, window=window)


@family(f"{_TIMM}.hieradet_sam2.MultiScaleAttention", watch=[f"{_TIMM}.hieradet_sam2.MultiScaleBlock"])
def timm_sam2(call: Call) -> Layout:
    """Describe the trunk of SAM 2: windows, whose queries are pooled where a stage begins."""
    block = call.parent("MultiScaleBlock")
    _, height, width, _ = call.given(block)
    window = pair(block.window_size) if block.is_windowed else (height, width)
    keys = queries = windows(height, width, window, reach=call.pyramid(height, width))
    if block.q_stride:
        step = pair(block.q_stride)
        rows, columns = height // step[0], width // step[1]
        smaller = (window[0] // step[0], window[1] // step[1])
        queries = windows(rows, columns, smaller, reach=call.pyramid(rows, columns))
    if not block.is_windowed:
        return Layout("b k n m", queries, keys)
    return Layout("(b g) k n m", queries, keys, {"g": keys.groups}, window=window)


@family(f"{_TIMM}.tnt.Attention")
def tnt(call: Call) -> Layout:
    """Describe TNT: patches attend to patches, and the pixels of each patch to each other."""
    model = call.around[-1]
    embed: Any = model.pixel_embed
    height, width = embed.grid_size
    if call.path.endswith("attn_in"):
        window = pair(embed.new_patch_size)
        inner = windows(height * window[0], width * window[1], window)
        return Layout("(b g) k n m", inner, inner, {"g": inner.groups}, window=window)
    outer = plain_grid(height, width, ("class",))
    return Layout(queries=outer, keys=outer)


def _in_windows(call: Call, height: int, width: int, window: Any, shift: Any = 0) -> Layout:
    window, shift = pair(window), pair(shift)
    places: Places = windows(height, width, window, shift, reach=call.pyramid(height, width))
    return Layout("(b g) k n m", places, places, {"g": places.groups}, window=window, shift=shift)


def pair(size: Any) -> tuple[int, int]:
    """Return a size as rows and columns."""
    return (int(size), int(size)) if isinstance(size, int) else (int(size[0]), int(size[1]))
