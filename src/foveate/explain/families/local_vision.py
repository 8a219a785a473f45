"""Layers that attend in neighbourhoods, among places of patches, or without a softmax over keys."""

from __future__ import annotations

from typing import Any

from foveate.explain.families.layout import Call, Layout, family
from foveate.explain.geometry.halo_windows import halo_windows
from foveate.explain.geometry.neighbourhoods import neighbourhoods
from foveate.explain.geometry.pixel_places import pixel_places
from foveate.explain.geometry.places import slots
from foveate.explain.geometry.plain_grid import plain_grid
from foveate.explain.geometry.windows import windows

_TIMM, _LAYERS = "timm.models", "timm.layers"


@family(f"{_LAYERS}.halo_attn.HaloAttn", watch=[f"{_LAYERS}.halo_attn.HaloAttn"])
def halo(call: Call) -> Layout:
    """Describe HaloNet: blocks of queries, and a larger window of keys around each, zero outside the map."""
    layer: Any = call.module
    _, _, height, width = call.given(layer)
    reach = call.pyramid(height, width)
    step = layer.block_stride
    queries = windows(height // step, width // step, (layer.block_size_ds, layer.block_size_ds), reach=reach)
    keys = halo_windows(height, width, layer.block_size, layer.halo_size, reach)
    return Layout("(b k) g n m", queries, keys, {"k": layer.num_heads}, window=(layer.block_size,) * 2)


@family(f"{_TIMM}.volo.OutlookAttention", watch=[f"{_TIMM}.volo.OutlookAttention"])
def outlook(call: Call) -> Layout:
    """Describe VOLO's outlook: in the neighbourhood of each centre, each place gathers from each place."""
    layer: Any = call.module
    _, height, width, _ = call.given(layer)
    places = neighbourhoods(
        height, width, layer.kernel_size, layer.stride, layer.padding, call.pyramid(height, width)
    )
    return Layout("b k g n m", places, places, window=(layer.kernel_size,) * 2)


@family(
    f"{_TIMM}.mobilevit.LinearSelfAttention", watch=[f"{_TIMM}.mobilevit.MobileVitV2Block"], source="softmax"
)
def mobilevit_v2(call: Call) -> Layout:
    """Describe MobileViT v2: one map for all queries, for each place in a patch, over the patches."""
    block = call.parent("MobileVitV2Block")
    _, _, height, width = call.given(block)
    keys = pixel_places(
        *multiple(height, width, block.patch_size), block.patch_size, call.pyramid(height, width)
    )
    return Layout("b k g m", slots(1), keys, note="one map for all queries")


def multiple(height: int, width: int, patch: tuple[int, int]) -> tuple[int, int]:
    """Return the size that MobileViT resizes a map to: the next multiple of the patch."""
    return -(-height // patch[0]) * patch[0], -(-width // patch[1]) * patch[1]


@family(f"{_LAYERS}.lambda_layer.LambdaLayer", watch=[f"{_LAYERS}.lambda_layer.LambdaLayer"])
def lambda_layer(call: Call) -> Layout:
    """Describe the lambda layer: maps of where each of its K content lambdas looks, for all queries."""
    layer: Any = call.module
    _, _, height, width = call.given(layer)
    keys = plain_grid(height, width, reach=call.pyramid(height, width))
    return Layout(
        "b n m",
        slots(layer.dim_qk),
        keys,
        kind="linear",
        note="content lambdas; position lambdas are not in it",
    )


@family(
    f"{_TIMM}.coat.FactorAttnConvRelPosEnc", watch=[f"{_TIMM}.coat.FactorAttnConvRelPosEnc"], source="product"
)
def coat(call: Call) -> Layout:
    """Describe CoaT's factorised attention: queries times a softmax of keys over the tokens; signed."""
    height, width = call.given(call.module, 1, "size")
    places = plain_grid(height, width, ("class",), call.pyramid(height, width))
    return Layout(
        queries=places, keys=places, kind="linear", note="without the layer's scale and its convolution"
    )


@family(f"{_TIMM}.efficientvit_mit.LiteMLA", watch=[f"{_TIMM}.efficientvit_mit.LiteMLA"])
def lite_mla(call: Call) -> Layout:
    """Describe EfficientViT's (MIT) linear attention: relu(q) relu(k)^T over its sum, for each scale."""
    _, _, height, width = call.given(call.module)
    places = plain_grid(height, width, reach=call.pyramid(height, width))
    return Layout(queries=places, keys=places, kind="linear")
