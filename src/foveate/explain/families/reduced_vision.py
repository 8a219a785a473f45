"""Layers with fewer keys or queries than the map has cells: PVT, Twins, NextViT, LeViT, MViT, Hiera."""

from __future__ import annotations

from typing import Any

from foveate.explain.families.layout import Call, Layout, family
from foveate.explain.geometry.places import Places
from foveate.explain.geometry.plain_grid import plain_grid
from foveate.explain.geometry.pooled_keys import adaptive_blocks, blocks
from foveate.explain.geometry.runs import runs
from foveate.explain.geometry.unrolled import unrolled

_TIMM = "timm.models"


@family(f"{_TIMM}.pvt_v2.Attention", watch=[f"{_TIMM}.pvt_v2.Attention"])
def pvt_v2(call: Call) -> Layout:
    """Describe PVT v2: keys from a convolution with kernel and stride r, or from a pooling to 7×7."""
    layer: Any = call.module
    height, width = call.given(layer, 1, "feat_size")
    reach = call.pyramid(height, width)
    if layer.pool is not None:
        keys = adaptive_blocks(height, width, 7, 7, reach)
    else:
        keys = strided(height, width, layer.sr, reach)
    return Layout(queries=plain_grid(height, width, reach=reach), keys=keys)


@family(f"{_TIMM}.twins.GlobalSubSampleAttn", watch=[f"{_TIMM}.twins.GlobalSubSampleAttn"])
def twins_global(call: Call) -> Layout:
    """Describe the global attention of Twins: keys from a convolution with kernel and stride r."""
    layer: Any = call.module
    height, width = call.given(layer, 1, "size")
    reach = call.pyramid(height, width)
    keys = strided(height, width, layer.sr, reach)
    return Layout(queries=plain_grid(height, width, reach=reach), keys=keys)


def strided(height: int, width: int, convolution: Any, reach: tuple[float, float]) -> Places:
    """Return the places of what a convolution with kernel = stride gives; None is the map itself."""
    if convolution is None:
        return plain_grid(height, width, reach=reach)
    return blocks(height, width, convolution.kernel_size, reach=reach)


@family(
    f"{_TIMM}.nextvit.EfficientAttention",
    watch=[f"{_TIMM}.nextvit.PatchEmbed", f"{_TIMM}.nextvit.NextTransformerBlock"],
)
def nextvit(call: Call) -> Layout:
    """Describe NextViT: keys are means of runs of r² consecutive tokens, stripes and not squares."""
    layer: Any = call.module
    shape: Any = call.results[call.parent("NextTransformerBlock").patch_embed]
    height, width = shape[2:]
    reach = call.pyramid(height, width)
    return Layout(
        queries=plain_grid(height, width, reach=reach), keys=runs(height, width, layer.N_ratio, reach)
    )


@family(f"{_TIMM}.levit.Attention", f"{_TIMM}.efficientformer_v2.Attention2d")
def levit(call: Call) -> Layout:
    """Describe attention over a map of a size that is fixed when the model is built."""
    layer: Any = call.module
    height, width = layer.resolution
    places = plain_grid(height, width, reach=call.pyramid(height, width))
    kind = "mixed" if hasattr(layer, "talking_head2") else None
    return Layout(queries=places, keys=places, kind=kind)  # type: ignore[arg-type]


@family(f"{_TIMM}.levit.AttentionDownsample", f"{_TIMM}.efficientformer_v2.Attention2dDownsample")
def levit_downsample(call: Call) -> Layout:
    """Describe attention that begins a stage: queries are every second cell of the map, keys all of it."""
    layer: Any = call.module
    height, width = layer.resolution
    step = getattr(layer, "stride", 2)
    rows, columns = -(-height // step), -(-width // step)
    reach = call.pyramid(height, width)
    coarse = reach[0] * rows * step / height, reach[1] * columns * step / width
    return Layout(
        queries=plain_grid(rows, columns, reach=coarse), keys=plain_grid(height, width, reach=reach)
    )


@family(
    f"{_TIMM}.mvitv2.MultiScaleAttention",
    f"{_TIMM}.mvitv2.MultiScaleAttentionPoolFirst",
    watch=[f"{_TIMM}.mvitv2.{name}" for name in ("MultiScaleAttention", "MultiScaleAttentionPoolFirst")],
)
def mvit(call: Call) -> Layout:
    """Describe MViT: queries and keys are pooled by convolutions or poolings with strides of their own."""
    layer: Any = call.module
    height, width = call.given(layer, 1, "feat_size")
    reach = call.pyramid(height, width)
    prefix = ("class",) if layer.has_cls_token else ()
    return Layout(
        queries=_by_stride(height, width, layer.pool_q, prefix, reach),
        keys=_by_stride(height, width, layer.pool_k, prefix, reach),
    )


def _by_stride(
    height: int, width: int, pool: Any, prefix: tuple[str, ...], reach: tuple[float, float]
) -> Places:
    """Return the places of what a padded convolution or pooling with a stride gives, as a grid of its own."""
    step = (1, 1) if pool is None else pool.stride
    step = (step, step) if isinstance(step, int) else step
    rows, columns = -(-height // step[0]), -(-width // step[1])
    return plain_grid(
        rows, columns, prefix, (reach[0] * rows * step[0] / height, reach[1] * columns * step[1] / width)
    )


_QUERY = "timm.layers.attention2d.MultiQueryAttention2d"


@family(_QUERY, watch=[_QUERY])
def multi_query(call: Call) -> Layout:
    """Describe MobileNetV4's attention: many heads of queries, one of keys, perhaps on coarser maps."""
    layer: Any = call.module
    _, _, height, width = call.given(layer)
    reach = call.pyramid(height, width)
    return Layout(
        queries=_coarser(height, width, layer.query_strides, reach),
        keys=_coarser(height, width, (layer.kv_stride, layer.kv_stride), reach),
    )


def _coarser(height: int, width: int, step: tuple[int, int], reach: tuple[float, float]) -> Places:
    rows, columns = -(-height // step[0]), -(-width // step[1])
    return plain_grid(
        rows, columns, reach=(reach[0] * rows * step[0] / height, reach[1] * columns * step[1] / width)
    )


@family(f"{_TIMM}.hiera.MaskUnitAttention")
def hiera(call: Call) -> Layout:
    """Describe Hiera: tokens in the order in which they will be pooled, inside mask units or over the map."""
    layer: Any = call.module
    model: Any = call.around[-1]
    index = int(call.path.split("blocks.")[1].split(".")[0])
    schedule, size = model.reroll.schedule[index]
    before, earlier = model.reroll.schedule[index - 1] if layer.q_stride > 1 else (schedule, size)
    groups = call.shape[2] if layer.use_mask_unit_attn else 1
    pattern = "b k g n m" if layer.use_mask_unit_attn else "b k n m"
    return Layout(
        pattern,
        unrolled(size[0], size[1], schedule, groups, call.pyramid(size[0], size[1])),
        unrolled(earlier[0], earlier[1], before, groups, call.pyramid(earlier[0], earlier[1])),
    )
