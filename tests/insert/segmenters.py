"""Small segmenters of every form, with the places that are to be found in them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
import torchvision.models as tv
from torch import Tensor, nn
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.resnet import BasicBlock
from torchvision.models.segmentation.fcn import FCN, FCNHead

import foveate as fv
from tests.insert.handwritten import randomise

TINY = (4, 8, 16, 32)


@dataclass(frozen=True)
class Segmenter:
    """One model and its places, the skip connections from the deepest to the finest.

    Args:
        build: Makes it.
        skip: Where each skip connection is to be found; empty where there is none.
        bottleneck: Where the spatial pooling layer or the deepest map is.
        output: Where the scores are.
        size: Side of the image.
        whole: Whether images enter the model at more than one module.
    """

    build: Callable[[], nn.Module]
    skip: tuple[str, ...]
    bottleneck: str
    output: str
    size: int = 64
    whole: bool = False

    def model(self) -> nn.Module:
        torch.manual_seed(0)
        return randomise(self.build()).eval()

    def example(self) -> Tensor:
        return torch.rand(2, 3, self.size, self.size, generator=torch.Generator().manual_seed(0))


def _ours(name: str, *places: object, whole: bool = False, **options: object) -> Segmenter:
    if name not in ("u2netp", "attention_unet"):
        options = {"encoder": "timm/test_resnet", **options}
    return Segmenter(lambda: fv.create_model(name, classes=4, **options), *places, whole=whole)  # type: ignore[arg-type]


def _smp(name: str, *places: object, size: int = 64, encoder: str = "tu-test_resnet") -> Segmenter:
    def build() -> nn.Module:
        smp = pytest.importorskip("segmentation_models_pytorch")
        return getattr(smp, name)(encoder, encoder_weights=None, classes=4)

    return Segmenter(build, *places, size=size)  # type: ignore[arg-type]


def _monai(name: str, *places: object, **options: object) -> Segmenter:
    def build() -> nn.Module:
        nets = pytest.importorskip("monai.networks.nets")
        return getattr(nets, name)(spatial_dims=2, in_channels=3, out_channels=4, **options)

    return Segmenter(build, *places)  # type: ignore[arg-type]


def _fcn() -> nn.Module:
    network = tv.ResNet(BasicBlock, [1, 1, 1, 1])
    return FCN(IntermediateLayerGetter(network, {"layer4": "out"}), FCNHead(512, 4))


def _lraspp() -> nn.Module:
    build = tv.segmentation.lraspp_mobilenet_v3_large
    return build(weights=None, weights_backbone=None, num_classes=4)


def _numbered(form: str, *numbers: int | str) -> tuple[str, ...]:
    return tuple(form.format(number) for number in numbers)


_DOWN = _numbered("before:decoder.{}", 0, 1, 2, 3)
_BLOCKS = _numbered("before:decoder.blocks.{}", 0, 1, 2, 3)
_LAST, _SMP_LAST = "encoder.network.layer4", "encoder.model.layer4"
_KINDS = {"channels": TINY, "strides": (2, 2, 2)}
_SIZES = {"kernel_size": [3] * 4, "strides": [1, 2, 2, 2], "upsample_kernel_size": [2] * 3}

SEGMENTERS: dict[str, Segmenter] = {
    "deeplabv3plus": _ours("deeplabv3plus", ("before:fine",), "context", "head"),
    "bisenet": _ours("bisenet", ("before:arms.1", "spatial"), _LAST, "scores", whole=True),
    "u2netp": _ours("u2netp", _numbered("before:stage{}d", 5, 4, 3, 2, 1), "stage6", "fusion"),
    "attention_unet": _ours(
        "attention_unet",
        ("before:skips.2", "before:skips.1", "before:joins.0"),
        "down.3",
        "head",
        widths=TINY,
    ),
    "unet": _ours("unet", _DOWN, _LAST, "head"),
    "unet_dilated": _ours("unet", _DOWN, _LAST, "head", output_stride=16),
    "unet_plain": _ours(
        "unet", _numbered("before:joins.{}", 2, 1, 0), "down.3", "head", encoder=None, widths=TINY
    ),
    "pan": _ours("pan", _numbered("before:gates.{}", 0, 1, 2), "pyramid", "head"),
    "fcn": _ours("fcn", (), _LAST, "head"),
    "danet": _ours("danet", (), _LAST, "head.scores"),
    "ccnet": _ours("ccnet", (), _LAST, "head.join"),
    "psanet": _ours("psanet", (), _LAST, "head.join", size=9),
    "encnet": _ours("encnet", _numbered("before:head.lateral.{}", 0, 1), _LAST, "head.scores", lateral=True),
    "ocnet": _ours("ocnet", (), _LAST, "head.scores"),
    "attention_to_scale": _ours(
        "attention_to_scale", (), "features.4", "mixed", whole=True, width=32, hidden=16
    ),
    "smp_unet_of_a_transformer": _smp(
        "Unet", _BLOCKS[:3], "encoder.norm4", "segmentation_head", encoder="mit_b0"
    ),
    "smp_unet_plus_plus": _smp(
        "UnetPlusPlus",
        _numbered("before:decoder.blocks.x_0_{}", 0, 1, 2, 3),
        _SMP_LAST,
        "segmentation_head",
    ),
    "smp_manet": _smp("MAnet", _BLOCKS, "decoder.center", "segmentation_head"),
    "smp_linknet": _smp("Linknet", _BLOCKS, _SMP_LAST, "segmentation_head"),
    "smp_fpn": _smp("FPN", _numbered("before:decoder.p{}", 4, 3, 2), _SMP_LAST, "segmentation_head.0"),
    "smp_pspnet": _smp("PSPNet", (), "decoder.psp", "segmentation_head.0"),
    "smp_deeplabv3plus": _smp(
        "DeepLabV3Plus", ("before:decoder.block1",), "decoder.aspp", "segmentation_head.0"
    ),
    "smp_pan": _smp(
        "PAN", _numbered("before:decoder.gau{}", 3, 2, 1), "decoder.fpa", "segmentation_head.0", size=128
    ),
    "smp_upernet": _smp(
        "UPerNet",
        _numbered("before:decoder.fpn_lateral_blocks.{}", 0, 1, 2),
        _SMP_LAST,
        "segmentation_head.0",
    ),
    "smp_segformer": _smp(
        "Segformer",
        _numbered("before:decoder.mlp_stage.{}", 1, 2, 3),
        "encoder.norm4",
        "segmentation_head.0",
        encoder="mit_b0",
    ),
    "torchvision_fcn": Segmenter(_fcn, (), "backbone.layer4", "classifier"),
    "torchvision_lraspp": Segmenter(
        _lraspp, ("before:classifier.low_classifier",), "backbone.16", "classifier"
    ),
    "monai_unet": _monai(
        "UNet",
        ("before:model.1.submodule.1.submodule.2", "before:model.1.submodule.2", "before:model.2"),
        "model.1.submodule.1.submodule.1.submodule",
        "model",
        num_res_units=1,
        **_KINDS,
    ),
    "monai_attention_unet": _monai(
        "AttentionUnet",
        _numbered("before:model.1.{}attention", *(("submodule.1." * n) for n in (2, 1, 0))),
        "model.1.submodule.1.submodule.1.submodule",
        "model",
        **_KINDS,
    ),
    "monai_basic_unet": _monai(
        "BasicUNet",
        _numbered("before:upcat_{}", 4, 3, 2, 1),
        "down_4",
        "final_conv",
        features=(4, 4, 8, 8, 16, 4),
    ),
    "monai_segresnet": _monai(
        "SegResNet",
        _numbered("before:up_layers.{}", 0, 1, 2),
        "down_layers.3",
        "conv_final",
        init_filters=8,
    ),
    "monai_dynunet": _monai(
        "DynUNet",
        _numbered("before:upsamples.{}", 0, 1, 2),
        "bottleneck",
        "output_block",
        filters=list(TINY),
        **_SIZES,
    ),
}
