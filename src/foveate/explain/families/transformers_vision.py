"""Vision models of transformers: ViT and its kin, CLIP, SigLIP, Swin, SegFormer, SAM, DETR, Mask2Former."""

from __future__ import annotations

from typing import Any

from foveate.explain.families.layout import Call, Layout, family
from foveate.explain.families.windowed_vision import pair
from foveate.explain.geometry.places import Places, sequence, slots
from foveate.explain.geometry.plain_grid import plain_grid
from foveate.explain.geometry.pooled_keys import adaptive_blocks, blocks
from foveate.explain.geometry.windows import windows

_HF = "transformers.models"
_PREFIX = {  # class of the attention -> tokens before the patches, without registers
    f"{_HF}.vit.modeling_vit.ViTAttention": ("class",),
    f"{_HF}.deit.modeling_deit.DeiTAttention": ("class", "distillation"),
    f"{_HF}.beit.modeling_beit.BeitAttention": ("class",),
    f"{_HF}.dinov2.modeling_dinov2.Dinov2Attention": ("class",),
    f"{_HF}.dinov2_with_registers.modeling_dinov2_with_registers.Dinov2WithRegistersAttention": ("class",),
    f"{_HF}.clip.modeling_clip.CLIPAttention": ("class",),
    f"{_HF}.blip.modeling_blip.BlipAttention": ("class",),
    f"{_HF}.siglip.modeling_siglip.SiglipAttention": (),
}


@family(*_PREFIX)
def patches(call: Call) -> Layout:
    """Describe plain trunks, and the text side of models that share the layer with them."""
    layer: Any = call.module
    if not hasattr(layer.config, "patch_size"):  # the words of CLIP and SigLIP
        return Layout(queries=sequence(call.shape[-2]), keys=sequence(call.shape[-1]))
    name = f"{type(layer).__module__}.{type(layer).__name__}"
    registers = ("register",) * int(getattr(layer.config, "num_register_tokens", 0) or 0)
    places = patch_places(call, layer.config, _PREFIX[name] + registers)
    return Layout(queries=places, keys=places)


def patch_places(call: Call, config: Any, prefix: tuple[str, ...]) -> Places:
    """Return the places of patches of a size that the configuration tells."""
    patch, size = pair(config.patch_size), call.picture or pair(config.image_size)
    height, width = size[0] // patch[0], size[1] // patch[1]
    return plain_grid(height, width, prefix, call.reach(patch, height, width))


@family(f"{_HF}.swin.modeling_swin.SwinAttention", watch=[f"{_HF}.swin.modeling_swin.SwinLayer"])
def swin(call: Call) -> Layout:
    """Describe Swin: padded, then rolled, one window after the other in the batch."""
    return _shifted(call, call.parent("SwinLayer"))


@family(
    f"{_HF}.swinv2.modeling_swinv2.Swinv2SelfAttention", watch=[f"{_HF}.swinv2.modeling_swinv2.Swinv2Layer"]
)
def swinv2(call: Call) -> Layout:
    """Describe Swin V2: padded, then rolled, one window after the other in the batch."""
    return _shifted(call, call.parent("Swinv2Layer"))


def _shifted(call: Call, layer: Any) -> Layout:
    height, width = call.given(layer, 1, "input_dimensions")
    window, shift = pair(int(layer.window_size)), pair(int(layer.shift_size))
    places = windows(
        int(height), int(width), window, shift, "pad, roll", call.pyramid(int(height), int(width))
    )
    return Layout("(b g) k n m", places, places, {"g": places.groups}, window=window, shift=shift)


_SEGFORMER = f"{_HF}.segformer.modeling_segformer.SegformerAttention"
_PVT = f"{_HF}.pvt_v2.modeling_pvt_v2.PvtV2SelfAttention"


@family(_SEGFORMER, watch=[_SEGFORMER])
def segformer(call: Call) -> Layout:
    """Describe SegFormer: keys from a convolution with kernel and stride r."""
    layer: Any = call.module
    return _reduced(call, layer.sequence_reduction_ratio, pooled=False)


@family(_PVT, watch=[_PVT])
def pvt_v2(call: Call) -> Layout:
    """Describe PVT v2: keys from a convolution with kernel and stride r, or from a pooling to 7×7."""
    layer: Any = call.module
    return _reduced(call, layer.spatial_reduction_ratio, pooled=layer.linear_attention)


def _reduced(call: Call, ratio: int, pooled: bool) -> Layout:
    height, width = int(call.given(call.module, 1, "height")), int(call.given(call.module, 2, "width"))
    reach = call.pyramid(height, width)
    queries = plain_grid(height, width, reach=reach)
    if pooled:
        return Layout(queries=queries, keys=adaptive_blocks(height, width, 7, 7, reach))
    keys = blocks(height, width, (ratio, ratio), reach=reach) if ratio > 1 else queries
    return Layout(queries=queries, keys=keys)


@family(
    f"{_HF}.sam.modeling_sam.SamVisionAttention",
    f"{_HF}.sam.modeling_sam.SamVisionSdpaAttention",
    watch=[f"{_HF}.sam.modeling_sam.SamVisionLayer"],
)
def sam(call: Call) -> Layout:
    """Describe SAM's encoder: windows, padded, padding not masked, or the whole map in some blocks."""
    layer: Any = call.module
    block = call.parent("SamVisionLayer")
    _, height, width, _ = call.given(block)
    window = pair(block.window_size) if block.window_size else (height, width)
    places = windows(height, width, window, reach=call.pyramid(height, width))
    pattern = "(b g k) n m" if len(call.shape) == 3 else "(b g) k n m"
    sizes = {"g": places.groups, "k": layer.num_attention_heads}
    return Layout(pattern, places, places, sizes, window=window if block.window_size else None)


_DETR = f"{_HF}.detr.modeling_detr"


@family(f"{_DETR}.DetrSelfAttention", f"{_DETR}.DetrCrossAttention", watch=[f"{_DETR}.DetrConvEncoder"])
def detr(call: Call) -> Layout:
    """Describe DETR: the map of the backbone, and object queries that look at it and at each other."""
    if "Decoder" in type(call.around[0]).__name__ and type(call.module).__name__ == "DetrSelfAttention":
        return Layout(queries=slots(call.shape[-2]), keys=slots(call.shape[-1]))
    backbone = next(m for m in call.results if type(m).__name__ == "DetrConvEncoder")
    features: Any = call.results[backbone]
    height, width = features[-1][0][2:]
    keys = plain_grid(height, width, reach=call.pyramid(height, width))
    queries = keys if type(call.module).__name__ == "DetrSelfAttention" else slots(call.shape[-2])
    return Layout(queries=queries, keys=keys)


_MASK = f"{_HF}.mask2former.modeling_mask2former"
MASKED_DECODER = (
    f"{_MASK}.Mask2FormerMaskedAttentionDecoder",
    f"{_MASK}.Mask2FormerMaskedAttentionDecoderLayer",
)


@family(f"{_MASK}.Mask2FormerAttention")
def between_slots(call: Call) -> Layout:
    """Describe the self-attention of Mask2Former's object queries: images and heads in one axis."""
    layer: Any = call.module
    places = slots(call.shape[-1])
    return Layout("(b k) n m", places, places, {"k": layer.num_heads})


def masked_cross_attention(call: Call, layer: Any) -> Layout:
    """Describe the masked attention of Mask2Former: object queries look at one of three maps, in turn.

    The places that the query's mask of the layer before leaves out have weights of 0.
    """
    level = int(call.given(layer, 1, "level_index"))
    decoder = call.parent("Mask2FormerMaskedAttentionDecoder")
    height, width = call.given(decoder, 5, "feature_size_list")[level]
    keys = plain_grid(int(height), int(width), reach=call.pyramid(int(height), int(width)))
    return Layout(queries=slots(call.shape[-2]), keys=keys)
