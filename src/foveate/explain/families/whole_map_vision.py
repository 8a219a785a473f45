"""Layers of timm that attend over the whole map, whose size is in their own input."""

from __future__ import annotations

from typing import Any

from foveate.explain.families.layout import Call, Layout, family
from foveate.explain.geometry.places import Places, slots
from foveate.explain.geometry.plain_grid import plain_grid

_TIMM, _LAYERS = "timm.models", "timm.layers"

_CHANNELS_FIRST = (
    f"{_TIMM}.visformer.Attention",
    f"{_TIMM}.fastvit.Attention",
    f"{_TIMM}.shvit.SHSA",
    f"{_LAYERS}.attention2d.Attention2d",
    f"{_LAYERS}.attention2d.MultiQueryAttentionV2",
    f"{_LAYERS}.non_local_attn.NonLocalAttn",
)
_NOTES = {"SHSA": "one head, on the first channels only"}
_PATTERNS = {"SHSA": "b n m", "NonLocalAttn": "b n m", "MultiQueryAttentionV2": "b n k m"}


@family(*_CHANNELS_FIRST, watch=_CHANNELS_FIRST)
def channels_first(call: Call) -> Layout:
    """Describe attention over a map (B, C, H, W)."""
    _, _, height, width = call.given(call.module)
    places = plain_grid(height, width, reach=call.pyramid(height, width))
    name = type(call.module).__name__
    return Layout(_PATTERNS.get(name, "b k n m"), places, places, note=_NOTES.get(name, ""))


@family(f"{_TIMM}.volo.Attention", watch=[f"{_TIMM}.volo.Attention"])
def channels_last(call: Call) -> Layout:
    """Describe attention over a map (B, H, W, C)."""
    _, height, width, _ = call.given(call.module)
    places = plain_grid(height, width, reach=call.pyramid(height, width))
    return Layout(queries=places, keys=places)


@family(f"{_LAYERS}.bottleneck_attn.BottleneckAttn", watch=[f"{_LAYERS}.bottleneck_attn.BottleneckAttn"])
def bottleneck(call: Call) -> Layout:
    """Describe BoTNet: images and heads in one axis."""
    layer: Any = call.module
    _, _, height, width = call.given(layer)
    places = plain_grid(height, width, reach=call.pyramid(height, width))
    return Layout("(b k) n m", places, places, {"k": layer.num_heads})


@family(f"{_LAYERS}.non_local_attn.NonLocalAttn", watch=[f"{_LAYERS}.non_local_attn.NonLocalAttn"])
def non_local(call: Call) -> Layout:
    """Describe the non-local block: one head over the whole map."""
    _, _, height, width = call.given(call.module)
    places = plain_grid(height, width, reach=call.pyramid(height, width))
    return Layout("b n m", places, places)


@family(f"{_LAYERS}.global_context.GlobalContext", watch=[f"{_LAYERS}.global_context.GlobalContext"])
def global_context(call: Call) -> Layout:
    """Describe the global context block: one map of where it looks, for all positions."""
    _, _, height, width = call.given(call.module)
    keys = plain_grid(height, width, reach=call.pyramid(height, width))
    return Layout("b k n m", slots(1), keys)


@family(
    f"{_LAYERS}.attention_pool2d.AttentionPool2d",
    f"{_LAYERS}.attention_pool2d.RotAttentionPool2d",
    watch=[f"{_LAYERS}.attention_pool2d.{name}" for name in ("AttentionPool2d", "RotAttentionPool2d")],
)
def attention_pool(call: Call) -> Layout:
    """Describe CLIP's pooling: the mean of the map, or a class token, precedes it; its row is used."""
    layer: Any = call.module
    _, _, height, width = call.given(layer)
    first = "mean" if layer.cls_token is None else "class"
    places = plain_grid(height, width, (first,), call.pyramid(height, width))
    return Layout(queries=places, keys=places, note="only the first query is used")


@family(
    f"{_TIMM}.metaformer.Attention",
    watch=[f"{_TIMM}.metaformer.{x}" for x in ("MetaFormerStage", "Downsampling")],
)
def metaformer(call: Call) -> Layout:
    """Describe CAFormer's attention, over the map that its stage works on."""
    stage = call.parent("MetaFormerStage")
    shape: Any = call.results.get(stage.downsample) or call.given(stage)
    places = plain_grid(shape[2], shape[3], reach=call.pyramid(shape[2], shape[3]))
    return Layout(queries=places, keys=places)


@family(f"{_TIMM}.efficientformer.Attention", watch=[f"{_TIMM}.efficientformer.Flat"])
def efficientformer(call: Call) -> Layout:
    """Describe EfficientFormer's attention, over the map that was flattened before it."""
    blocks = next(m for m in call.around if any(type(b).__name__ == "Flat" for b in m.children()))
    flat = next(b for b in blocks.children() if type(b).__name__ == "Flat")
    _, _, height, width = call.given(flat)
    places = plain_grid(height, width, reach=call.pyramid(height, width))
    return Layout(queries=places, keys=places)


@family(f"{_TIMM}.convit.GPSA", f"{_TIMM}.convit.MHSA")
def convit(call: Call) -> Layout:
    """Describe ConViT: blended weights before the class token enters, plain ones after it."""
    model = call.around[-1]
    height, width = model.patch_embed.grid_size  # type: ignore[union-attr,misc]
    has_class = call.shape[-1] == height * width + 1 and type(call.module).__name__ == "MHSA"
    places = plain_grid(int(height), int(width), ("class",) if has_class else ())
    kind = "mixed" if type(call.module).__name__ == "GPSA" else None
    return Layout(queries=places, keys=places, kind=kind)  # type: ignore[arg-type]


@family(f"{_TIMM}.cait.TalkingHeadAttn")
def talking_heads(call: Call) -> Layout:
    """Describe the trunk of CaiT, which mixes the heads before and after the softmax."""
    height, width = call.around[-1].patch_embed.grid_size  # type: ignore[union-attr,misc]
    places = plain_grid(int(height), int(width))
    return Layout(queries=places, keys=places, kind="mixed")


@family(
    f"{_TIMM}.cait.ClassAttn",
    f"{_TIMM}.volo.ClassAttention",
    watch=[f"{_TIMM}.volo.Transformer", f"{_TIMM}.xcit.ConvPatchEmbed"],
)
def class_attention(call: Call) -> Layout:
    """Describe class attention: the class token alone asks, among itself and the map."""
    model: Any = call.around[-1]
    keys = plain_grid(*_class_grid(call, model))
    prefix = ("class",)
    keys = plain_grid(keys.height, keys.width, prefix, call.pyramid(keys.height, keys.width))
    return Layout(queries=Places("slots", 1, prefix), keys=keys)


def _class_grid(call: Call, model: Any) -> tuple[int, int]:
    """Return the map behind the class token in CaiT, XCiT and VOLO."""
    if hasattr(model, "network"):
        shapes = [call.given(m) for m in call.inputs if type(m).__name__ == "Transformer"]
        return shapes[-1][1], shapes[-1][2]
    embed = model.patch_embed
    if embed in call.results:
        height, width = call.results[embed][1]  # type: ignore[index]
        return int(height), int(width)
    return int(embed.grid_size[0]), int(embed.grid_size[1])


@family(f"{_TIMM}.crossvit.CrossAttention")
def crossvit_cross(call: Call) -> Layout:
    """Describe the cross attention of CrossViT: a branch's class token among the other branch's patches."""
    model: Any = call.around[-1]
    branch = int(call.path.split(".fusion.")[1].split(".")[0])
    keys = crossvit_places(model, (branch + 1) % model.num_branches)
    return Layout(queries=Places("slots", 1, ("class",)), keys=keys)


def crossvit_places(model: Any, branch: int) -> Places:
    """Return the places of the tokens of one branch of CrossViT."""
    embed = model.patch_embed[branch]
    height, width = (int(i) // int(p) for i, p in zip(embed.img_size, embed.patch_size, strict=True))
    return plain_grid(height, width, ("class",))
