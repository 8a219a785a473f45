"""Transformers with one grid of patches behind class and register tokens: ViT, DeiT, DINOv2, EVA, BEiT."""

from __future__ import annotations

from typing import Any

from torch import nn

from foveate.explain.families.layout import Call, Layout, family
from foveate.explain.geometry.places import Places, slots
from foveate.explain.geometry.plain_grid import plain_grid

_TIMM_TRUNKS = (
    "timm.layers.attention.Attention",
    "timm.layers.attention.AttentionRope",
    "timm.layers.diff_attention.DiffAttention",
    "timm.models.eva.EvaAttention",
    "timm.models.beit.Attention",
    "timm.models.vision_transformer_relpos.RelPosAttention",
    "timm.models.vision_transformer.ParallelScalingBlock",
    "timm.models.vision_transformer.DiffParallelScalingBlock",
)
_PATCHES = (
    "timm.layers.patch_embed.PatchEmbed",
    "timm.layers.hybrid_embed.HybridEmbed",
    "timm.layers.hybrid_embed.HybridEmbedWithSize",
)


@family(*_TIMM_TRUNKS, watch=_PATCHES)
def timm_trunk(call: Call) -> Layout:
    """Describe the self-attention of timm's plain trunks."""
    places = timm_places(call, next(m for m in call.around if hasattr(m, "patch_embed")))
    return Layout(queries=places, keys=places)


@family("timm.layers.attention_pool.AttentionPoolLatent", watch=_PATCHES)
def timm_latent_pool(call: Call) -> Layout:
    """Describe learned queries that pool the tokens of a plain trunk, as in SigLIP."""
    keys = timm_places(call, next(m for m in call.around if hasattr(m, "patch_embed")))
    return Layout(queries=slots(call.shape[-2]), keys=keys)


@family(
    "torch.nn.modules.activation.MultiheadAttention",
    watch=["torchvision.models.vision_transformer.VisionTransformer"],
)
def multi_head_module(call: Call) -> Layout:
    """Describe PyTorch's module, where it is known what the model around it makes of it."""
    for module in call.around:
        if type(module).__module__ == "torchvision.models.vision_transformer" and hasattr(
            module, "patch_size"
        ):
            _, _, height, width = call.given(module)
            size = int(getattr(module, "patch_size"))  # noqa: B009  # an attribute that a module need not have
            places = plain_grid(
                height // size, width // size, ("class",), call.reach(size, height // size, width // size)
            )
            return Layout(queries=places, keys=places)
    return Layout(note="nn.MultiheadAttention does not know where its tokens lie")


def timm_places(call: Call, trunk: Any) -> Places:
    """Return the places of the tokens of a timm trunk with a ``patch_embed``."""
    embed = trunk.patch_embed
    picture = _picture(call, embed)
    height, width = embed.dynamic_feat_size(picture) if picture else embed.grid_size
    ratio = embed.feat_ratio(as_scalar=False)
    reach = (height * ratio[0] / picture[0], width * ratio[1] / picture[1]) if picture else (1.0, 1.0)
    return plain_grid(int(height), int(width), timm_prefix(trunk), reach)


def _picture(call: Call, embed: nn.Module) -> tuple[int, int] | None:
    if embed in call.inputs:
        shape = call.given(embed)
        return (shape[2], shape[3]) if len(shape) == 4 else None
    return call.picture


def timm_prefix(trunk: Any) -> tuple[str, ...]:
    """Return what the tokens in front of a timm trunk's patches are."""
    names = ["class"] if getattr(trunk, "cls_token", None) is not None else []
    names += ["distillation"] if getattr(trunk, "dist_token", None) is not None else []
    names += ["register"] * int(getattr(trunk, "num_reg_tokens", 0))
    count = int(getattr(trunk, "num_prefix_tokens", len(names)))
    return tuple((names + ["register"] * count)[:count])
