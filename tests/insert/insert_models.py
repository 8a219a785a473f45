"""The models over which the laws of insertion are tested: builder, example and loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import timm
import torch
import torchvision.models as tv
from torch import Tensor, nn
from torchvision.models.convnext import CNBlockConfig
from torchvision.models.efficientnet import MBConvConfig
from torchvision.models.resnet import BasicBlock

from foveate.nested_tensors import tensors_in
from foveate.running import call_with
from tests.insert.handwritten import Branches, randomise


@dataclass(frozen=True)
class Case:
    """One model of the matrix."""

    build: Callable[[], nn.Module]
    small: Callable[[], nn.Module] | None = None  # the same classes, fewer and narrower layers
    size: int = 64
    wrap: str = "tensor"  # how the images are given: tensor, keyword or list

    def model(self, whole: bool = False) -> nn.Module:
        torch.manual_seed(0)
        return randomise(self.build() if whole or self.small is None else self.small()).eval()

    def example(self, seed: int = 0) -> object:
        images = torch.rand(2, 3, self.size, self.size, generator=torch.Generator().manual_seed(seed))
        return {"tensor": images, "keyword": {"pixel_values": images}, "list": list(images)}[self.wrap]

    def loss(self, model: nn.Module, example: object) -> Tensor:
        """Return a number that all that is inserted has to do with (a detector may find no boxes at all)."""
        if self.wrap == "list":
            example, model = torch.stack(example), model.backbone  # type: ignore[call-overload, assignment]
        outputs = [t for t in tensors_in(call_with(model, example)) if t.is_floating_point()]
        generator = torch.Generator().manual_seed(7)
        return sum((t * torch.rand(t.shape, generator=generator)).mean() for t in outputs)


def _timm(name: str, small: dict[str, object] | None = None, **options: object) -> Case:
    def build(**more: object) -> nn.Module:
        return timm.create_model(name, num_classes=10, **options, **more)

    return Case(build, None if small is None else lambda: build(**small))


def _torchvision(name: str, small: Callable[[], nn.Module] | None = None, **options: object) -> Case:
    return Case(lambda: getattr(tv, name)(num_classes=10, **options), small)


def _resnet() -> nn.Module:
    return tv.ResNet(BasicBlock, [1, 2, 1, 1], num_classes=10)


def _convnext() -> nn.Module:
    return tv.ConvNeXt(
        [CNBlockConfig(8, 16, 2), CNBlockConfig(16, 24, 2), CNBlockConfig(24, None, 2)], num_classes=9
    )


def _densenet() -> nn.Module:
    return tv.DenseNet(growth_rate=4, block_config=(2, 3, 2), num_init_features=8, num_classes=10)


def _efficientnet() -> nn.Module:
    settings = [MBConvConfig(1, 3, 1, 32, 8, 1, 0.5, 1), MBConvConfig(6, 3, 2, 16, 24, 2, 0.5, 1)]
    return tv.EfficientNet(settings, dropout=0.2, num_classes=10, last_channel=32)


def _vit() -> nn.Module:
    return tv.VisionTransformer(64, 16, num_layers=3, num_heads=2, hidden_dim=24, mlp_dim=32, num_classes=10)


def _swin() -> nn.Module:
    return tv.SwinTransformer([4, 4], 12, [2, 2], [2, 2], window_size=[4, 4], num_classes=10)


def _detector() -> nn.Module:
    build = tv.detection.fasterrcnn_mobilenet_v3_large_320_fpn
    return build(weights=None, weights_backbone=None, min_size=64, max_size=64)


def _hugging_face() -> nn.Module:
    from transformers import ViTConfig, ViTForImageClassification

    sizes = {"hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64}
    return ViTForImageClassification(ViTConfig(**sizes, image_size=64, patch_size=16, num_labels=7))


def _unet() -> nn.Module:
    import segmentation_models_pytorch as smp

    return smp.Unet("resnet18", encoder_weights=None, classes=4)


def _deeplab() -> nn.Module:
    return tv.segmentation.deeplabv3_resnet50(weights=None, weights_backbone=None, num_classes=6)


def _small_deeplab() -> nn.Module:
    build = tv.segmentation.deeplabv3_mobilenet_v3_large
    return build(weights=None, weights_backbone=None, num_classes=6)


CASES: dict[str, Case] = {
    "handwritten": Case(Branches, size=32),
    "resnet18": _torchvision("resnet18", _resnet),
    "mobilenet_v3_small": _torchvision("mobilenet_v3_small"),
    "convnext_tiny": _torchvision("convnext_tiny", _convnext),
    "densenet121": _torchvision("densenet121", _densenet),
    "efficientnet_b0": _torchvision("efficientnet_b0", _efficientnet),
    "vit_b_16": _torchvision("vit_b_16", _vit, image_size=64),
    "swin_t": _torchvision("swin_t", _swin),
    "deeplabv3_resnet50": Case(_deeplab, _small_deeplab),
    "fasterrcnn": Case(_detector, wrap="list"),
    "timm_resnet50": _timm("resnet50", {"layers": (1, 1, 2, 1), "channels": (8, 16, 24, 32)}),
    "timm_lite0": _timm("tf_efficientnet_lite0"),
    "timm_vit_tiny": _timm("vit_tiny_patch16_224", {"depth": 3, "embed_dim": 24}, img_size=64),
    "timm_convnext_atto": _timm("convnext_atto", {"depths": (1, 1, 2, 1), "dims": (8, 16, 24, 32)}),
    "timm_mobilevitv2": _timm("mobilevitv2_050"),
    "timm_swin_tiny": _timm(
        "swin_tiny_patch4_window7_224",
        {"depths": (2, 2), "num_heads": (2, 2), "embed_dim": 12},
        img_size=64,
    ),
    "hugging_face_vit": Case(_hugging_face, wrap="keyword"),
    "smp_unet": Case(_unet),
}
