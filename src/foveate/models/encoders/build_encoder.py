"""Encoders by name: networks that turn images into feature maps of falling size."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from foveate.errors import CheckpointError, OptionError, in_one_line
from foveate.mechanisms.batch_norm import BatchNorm
from foveate.models.classification.resnet import PLANS, ResNet
from foveate.models.classification.resnet_small import SmallResNet
from foveate.models.create import create_model, named_normalisation
from foveate.models.encoders.densenet import DenseNetEncoder
from foveate.models.encoders.drn import DRNS
from foveate.models.encoders.encoder import Encoder
from foveate.models.encoders.layer_chain import LayerChainEncoder
from foveate.models.encoders.mobilenet_v2 import MobileNetV2Encoder
from foveate.models.encoders.resnet_encoder import ResNetEncoder
from foveate.models.encoders.small_resnet_encoder import SmallResNetEncoder
from foveate.models.encoders.timm_encoder import TimmEncoder
from foveate.models.encoders.xception import Xception
from foveate.models.encoders.xception39 import Xception39
from foveate.models.encoders.xception65 import Xception65
from foveate.models.library import expect_no_files, packaged_weights
from foveate.models.names import resolve
from foveate.models.normalisation import keep_normalisation
from foveate.models.weight_names import translated
from foveate.models.weights import read_weights
from foveate.options import checked, whole
from foveate.trust import may_download

OUTPUT_STRIDES = (8, 16, 32)
_OWN = (
    "dilate_first",
    "multi_grid",
    "ceil_pool",
    "widen",
    "early_padding",
    "pad_image",
    "late_dilation",
)  # an encoder's options; the rest are the network's
_NAMED: dict[str, Callable[..., Encoder]] = {
    "xception": Xception,
    "xception39": Xception39,
    "xception65": Xception65,
    **DRNS,
}


def _encoders() -> dict[type[nn.Module], Callable[..., Encoder]]:
    """Return the encoder for each class of classifier, late, since importing torchvision takes a second."""
    import torchvision

    return {
        ResNet: ResNetEncoder,
        torchvision.models.ResNet: ResNetEncoder,
        torchvision.models.MobileNetV2: MobileNetV2Encoder,
        torchvision.models.DenseNet: DenseNetEncoder,
        SmallResNet: SmallResNetEncoder,
    }


def encoder_class(network: nn.Module) -> Callable[..., Encoder]:
    """Return what makes an encoder of a classifier; a chain of layers if nothing else is known."""
    return next((of for kind, of in _encoders().items() if isinstance(network, kind)), LayerChainEncoder)


def build_encoder(
    name: str,
    *,
    in_channels: int = 3,
    output_stride: int = 32,
    pretrained: bool = False,
    **options: Any,
) -> Encoder:
    """Return an encoder by name.

    Args:
        name: A residual network of torchvision or foveate's own (``"resnet50"``, ``"se_resnet50"``,
            ``"sknet50"``, ``"resnet8"`` for small images), ``"mobilenet_v2"``, ``"densenet121"``,
            ``"xception"``, ``"xception39"``, ``"xception65"``, ``"drn_d_54"`` (of stride 8); another of
            torchvision that is a chain of layers (``"efficientnet_b0"``, ``"mobilenet_v3_large"``,
            ``"vgg16_bn"``, ``"convnext_tiny"``, ``"regnet_y_400mf"``, ``"swin_t"``); or ``"timm/NAME"``.
        in_channels: Channels of the images.
        output_stride: The greatest stride: 8, 16 or 32.
        pretrained: Fetch the weights of the published classifier. With other than 3 channels the first
            convolution's are summed for 1, repeated and scaled for more.
        options: Residual networks: ``dilate_first``, ``multi_grid``, ``ceil_pool`` (see ``ResNetEncoder``),
            ``stem="deep"`` (3 x 3 convolutions of 64, 64 and 128), and those of the network; others, see
            their classes; timm's go to timm.

    Raises:
        UnknownNameError: There is no such network.
        OptionError: It cannot be an encoder, or an option does not exist or has an impossible value.

    Example:
        >>> import torch
        >>> encoder = build_encoder("resnet18", output_stride=16, in_channels=1)
        >>> [tuple(y.shape[1:]) for y in encoder(torch.rand(1, 1, 33, 47))][-2:]
        [(256, 3, 3), (512, 3, 3)]
    """
    if output_stride not in OUTPUT_STRIDES:
        raise OptionError(f"output_stride: got {output_stride!r}, expected 8, 16 or 32")
    whole("in_channels", in_channels)
    pretrained = pretrained and may_download()
    encoder = _built(name, output_stride, pretrained, options, in_channels)
    if encoder.in_channels != in_channels:
        _receive(encoder, in_channels, pretrained)
    for module in encoder.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = BatchNorm  # the same numbers; but one value a channel does not end the run
    return encoder


def _built(
    name: str, output_stride: int, pretrained: bool, options: dict[str, Any], in_channels: int
) -> Encoder:
    if name in _NAMED:
        if pretrained:
            raise OptionError(f"pretrained: {name} has no published classifier here")
        return _called(name, _NAMED[name], options, output_stride=output_stride)
    source, bare = resolve(name)
    if source == "timm":
        encoder = _of_timm(bare, output_stride, pretrained, options, in_channels)
    else:
        encoder = _of_network(name, output_stride, pretrained, options)
    keep_normalisation(encoder, *named_normalisation(name))
    return encoder


def _of_network(name: str, output_stride: int, pretrained: bool, options: dict[str, Any]) -> Encoder:
    own = {n: options.pop(n) for n in list(options) if n in _OWN}
    network = _network(name, pretrained, options)
    return _called(name, encoder_class(network), own, network=network, output_stride=output_stride)


def _network(name: str, pretrained: bool, options: dict[str, Any]) -> nn.Module:
    plain = re.fullmatch(r"resnet(18|34|50|101|152)", name)
    stem = options.pop("stem", None) if plain else None
    if stem not in (None, "imagenet", "deep"):
        raise OptionError(f'stem: got {stem!r}, expected "imagenet" or "deep"')
    if plain and stem == "deep":
        if pretrained:
            raise OptionError(f'pretrained: there are no weights of {name} for stem="deep"')
        plan = dataclasses.replace(PLANS[int(plain[1])], stem=128)
        return ResNet(plan, None, classes=1000, stem="deep", **options)
    return create_model(name, classes=1000, pretrained=pretrained, **options)


def _of_timm(
    name: str, output_stride: int, pretrained: bool, options: dict[str, Any], in_channels: int
) -> Encoder:
    import timm

    expect_no_files(f"timm/{name}", options)
    options = options if output_stride == 32 else {**options, "output_stride": output_stride}
    build = functools.partial(timm.create_model, name, features_only=True, in_chans=in_channels, **options)
    try:
        network: Any = build()
    except Exception as error:  # each network rejects options in its own way
        said = ", ".join(["features_only", *options])
        hint = (
            "" if output_stride == 32 else " Many networks of timm cannot be dilated: try output_stride=32."
        )
        raise OptionError(
            f"timm/{name} cannot be built with {said} ({str(error) or type(error).__name__}).{hint}"
        ) from error
    packaged = packaged_weights(name) if pretrained else None
    if packaged is not None:
        _fill(network, translated(read_weights(packaged), network), in_channels)
    elif pretrained:
        try:
            network = build(pretrained=True)
        except Exception as error:  # hubs raise what their HTTP client raises
            raise CheckpointError(
                f"the pretrained weights of timm/{name} cannot be fetched ({in_one_line(error)}). Train from "
                "scratch with pretrained_encoder=False."
            ) from error
    encoder = TimmEncoder(network, output_stride=output_stride)
    encoder.in_channels = in_channels
    return encoder


def _fill(network: nn.Module, state: dict[str, Tensor], in_channels: int) -> None:
    """Load a classifier's weights into an encoder, which has no head."""
    from timm.models import adapt_input_conv

    own = network.state_dict()
    kept = {name: state[name] for name in own if name in state}
    first = next(name for name, value in kept.items() if value.ndim == 4)
    kept[first] = adapt_input_conv(in_channels, kept[first])
    missing, _ = network.load_state_dict(kept, strict=False)
    lacking = [name for name in missing if not name.endswith(".num_batches_tracked")]
    if lacking:
        raise CheckpointError(f"{len(lacking)} weights of the encoder are missing, such as {lacking[0]}")


def _called(name: str, cls: Callable[..., Encoder], options: dict[str, Any], **fixed: Any) -> Encoder:
    return cls(**fixed, **checked(name, cls, options))


def _receive(encoder: Encoder, in_channels: int, pretrained: bool) -> None:
    """Replace the first convolution, for colour images, by one for ``in_channels``."""
    from timm.models import adapt_input_conv

    path, old = next((p, m) for p, m in encoder.named_modules() if isinstance(m, nn.Conv2d))
    conv = nn.Conv2d(
        in_channels,
        old.out_channels,
        old.kernel_size,  # type: ignore[arg-type]
        stride=old.stride,  # type: ignore[arg-type]
        padding=old.padding,  # type: ignore[arg-type]
        bias=old.bias is not None,
    )
    if pretrained:
        conv.weight = nn.Parameter(adapt_input_conv(in_channels, old.weight.detach()))
    else:
        nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    encoder.set_submodule(path, conv)
    encoder.in_channels = in_channels
