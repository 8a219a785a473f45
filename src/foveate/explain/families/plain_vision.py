"""Transformers with one grid of patches behind class and register tokens: ViT, DeiT, DINOv2, EVA, BEiT."""

from __future__ import annotations

from typing import Any

from torch import nn

from foveate.explain.families.layout import Call, Layout, family
from foveate.explain.families.local_vision import multiple
from foveate.explain.families.transformers_vision import (
    MASKED_DECODER,
    masked_cross_attention,
    patch_places,
)
from foveate.explain.families.whole_map_vision import crossvit_places
from foveate.explain.families.windowed_vision import pair
from foveate.explain.geometry.pixel_places import pixel_places
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


_MOBILEVIT = "timm.models.mobilevit.MobileVitBlock"


@family(*_TIMM_TRUNKS, watch=(*_PATCHES, _MOBILEVIT))
def timm_trunk(call: Call) -> Layout:
    """Describe the self-attention of timm's plain trunks, and of models that borrow its layer."""
    names = [type(module).__name__ for module in call.around]
    if "MobileVitBlock" in names:
        return _mobilevit(call)
    if "CrossVit" in names:
        places = crossvit_places(call.around[-1], int(call.path.split(".blocks.")[1].split(".")[0]))
        return Layout(queries=places, keys=places)
    naflex = next((m for m in call.around if type(m).__name__ == "NaFlexVit"), None)
    places = _naflex_places(call, naflex) if naflex is not None else timm_places(call, _trunk(call))
    return Layout(queries=places, keys=places)


def _mobilevit(call: Call) -> Layout:
    """Describe MobileViT: the pixels at one place of all patches attend to each other."""
    block = call.parent("MobileVitBlock")
    _, _, height, width = call.given(block)
    size = multiple(height, width, block.patch_size)
    places = pixel_places(*size, block.patch_size, call.pyramid(height, width))
    return Layout("(b g) k n m", places, places, {"g": places.groups})


@family("timm.layers.attention_pool.AttentionPoolLatent", watch=_PATCHES)
def timm_latent_pool(call: Call) -> Layout:
    """Describe learned queries that pool the tokens of a plain trunk, as in SigLIP."""
    keys = timm_places(call, _trunk(call))
    return Layout(queries=slots(call.shape[-2]), keys=keys)


@family(
    "torch.nn.modules.activation.MultiheadAttention",
    watch=["torchvision.models.vision_transformer.VisionTransformer", *MASKED_DECODER],
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
        if type(module).__name__ == "Mask2FormerMaskedAttentionDecoderLayer":
            return masked_cross_attention(call, module)
        if type(module).__name__ == "SiglipMultiheadAttentionPoolingHead":
            config: Any = next(m.config for m in call.around if hasattr(m, "config"))
            return Layout(queries=slots(call.shape[-2]), keys=patch_places(call, config, ()))
    return Layout(note="nn.MultiheadAttention does not know where its tokens lie")


def _trunk(call: Call) -> nn.Module:
    return next(m for m in call.around if hasattr(m, "patch_embed"))


def _naflex_places(call: Call, model: Any) -> Places:
    """Return the places of NaFlexViT's tokens, for pictures and not for patches that were cut before."""
    if call.picture is None:
        raise ValueError("patches were cut before the model, so that their places are not known")
    patch = pair(model.embeds.patch_size)
    height, width = call.picture[0] // patch[0], call.picture[1] // patch[1]
    registers = ("register",) * int(model.num_prefix_tokens)
    prefix = (("class", *registers) if model.embeds.cls_token is not None else registers)[: len(registers)]
    return plain_grid(height, width, prefix, call.reach(patch, height, width))


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
