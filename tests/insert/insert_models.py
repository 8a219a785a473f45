"""The models over which the laws of insertion are tested: a builder, what it takes, and how its loss is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import timm
import torch
import torchvision.models as tv
from handwritten import Branches, randomise
from torch import Tensor, nn

from foveate.insert.holder import tensors_of
from foveate.insert.probe import call_with


@dataclass(frozen=True)
class Case:
    """One model of the matrix."""

    build: Callable[[], nn.Module]
    size: int = 64
    wrap: str = "tensor"  # how the images are given: tensor, keyword or list

    def model(self) -> nn.Module:
        torch.manual_seed(0)
        return randomise(self.build()).eval()

    def example(self, seed: int = 0) -> object:
        images = torch.rand(2, 3, self.size, self.size, generator=torch.Generator().manual_seed(seed))
        return {"tensor": images, "keyword": {"pixel_values": images}, "list": list(images)}[self.wrap]

    def loss(self, model: nn.Module, example: object) -> Tensor:
        """Return one number that everything inserted has to do with (a detector's boxes may be none at all)."""
        if self.wrap == "list":
            example, model = torch.stack(example), model.backbone  # type: ignore[call-overload, assignment]
        outputs = [t for t in tensors_of(call_with(model, example)) if t.is_floating_point()]
        generator = torch.Generator().manual_seed(7)
        return sum((t * torch.rand(t.shape, generator=generator)).mean() for t in outputs)


def _timm(name: str, **options: object) -> Case:
    return Case(lambda: timm.create_model(name, num_classes=10, **options))


def _torchvision(name: str, size: int = 64, **options: object) -> Case:
    return Case(lambda: getattr(tv, name)(num_classes=10, **options), size)


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


CASES: dict[str, Case] = {
    "handwritten": Case(Branches, 32),
    "resnet18": _torchvision("resnet18"),
    "mobilenet_v3_small": _torchvision("mobilenet_v3_small"),
    "convnext_tiny": _torchvision("convnext_tiny"),
    "densenet121": _torchvision("densenet121"),
    "efficientnet_b0": _torchvision("efficientnet_b0"),
    "vit_b_16": _torchvision("vit_b_16", image_size=64),
    "swin_t": _torchvision("swin_t"),
    "deeplabv3_resnet50": Case(_deeplab),
    "fasterrcnn": Case(_detector, wrap="list"),
    "timm_resnet50": _timm("resnet50"),
    "timm_lite0": _timm("tf_efficientnet_lite0"),
    "timm_vit_tiny": _timm("vit_tiny_patch16_224", img_size=64),
    "timm_convnext_atto": _timm("convnext_atto"),
    "timm_mobilevitv2": _timm("mobilevitv2_050"),
    "timm_swin_tiny": _timm("swin_tiny_patch4_window7_224", img_size=64),
    "hugging_face_vit": Case(_hugging_face, wrap="keyword"),
    "smp_unet": Case(_unet),
}
