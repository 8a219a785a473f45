"""Tools that people apply to a model after the insertion, and small models with attention of every kind."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable

import timm.layers
import torch
from timm.models.resnet import BasicBlock, ResNet
from torch import Tensor, nn
from torch.ao.quantization import get_default_qconfig_mapping, quantize_dynamic
from torch.ao.quantization.quantize_fx import prepare_fx
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import apply_activation_checkpointing
from torch.fx.experimental.optimization import fuse
from torch.nn.utils import parametrizations, parametrize, prune
from torch.optim.swa_utils import AveragedModel
from torch.utils.checkpoint import checkpoint_sequential
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

from tests.insert.handwritten import randomise

Tool = Callable[[nn.Module, Tensor], object]

# --- models


def resnet() -> nn.Module:
    torch.manual_seed(0)
    return randomise(ResNet(BasicBlock, (1, 2, 1, 1), num_classes=5, channels=(8, 12, 16, 24))).eval()


class Encoder(nn.Module):
    """A transformer of torch's own layers, which PyTorch runs as one operation in inference."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 8, stride=8)
        layer = nn.TransformerEncoderLayer(16, 2, 24, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.head = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(self.patches(x).flatten(2).transpose(1, 2)).mean(dim=1))


def encoder() -> nn.Module:
    torch.manual_seed(0)
    return randomise(Encoder()).eval()


HOSTS = {
    "norm": (resnet, "se@*.bn2"),
    "activation": (resnet, "se@*.act2"),
    "convolution": (resnet, "cbam@conv1"),
    "block": (resnet, "se@blocks"),
    "stage": (resnet, "se@features"),
    "before a stage": (resnet, "eca@before:layer2"),
    "instead of a layer": (resnet, "se@replace:layer2.1.conv2"),
    "pool": (resnet, "attention_pool@pool"),
    "scores": (resnet, "csra@output"),
    "fused layer": (encoder, "se@encoder.layers.*"),
    "inside a fused layer": (encoder, "se@encoder.layers.0.linear2+se@encoder.layers.1.norm1"),
}

# --- tools that leave what the plain model computes as it was


def freeze_norms(model: nn.Module, x: Tensor) -> nn.Module:
    return timm.layers.freeze_batch_norm_2d(model)


def sync_by_torch(model: nn.Module, x: Tensor) -> nn.Module:
    return nn.SyncBatchNorm.convert_sync_batchnorm(model)


def sync_by_timm(model: nn.Module, x: Tensor) -> nn.Module:
    return timm.layers.convert_sync_batchnorm(model)


def replace_layers(model: nn.Module, x: Tensor) -> nn.Module:
    """Put a new layer of the same class and values in the place of every one."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            for kind in (nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.Linear, nn.LayerNorm, nn.AdaptiveAvgPool2d):
                if isinstance(child, kind):
                    new = kind.__new__(kind)
                    new.__dict__ = {**copy.deepcopy(child).__dict__, "_modules": {}}
                    setattr(parent, name, new)
    return model


def wrap_layers(model: nn.Module, x: Tensor) -> nn.Module:
    """Put every block and layer into a module of one's own."""

    class Wrapped(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, *args: object, **kwargs: object) -> object:
            return self.inner(*args, **kwargs)

    for parent in list(model.modules()):
        if isinstance(parent, nn.Sequential | ResNet):
            for name, child in list(parent.named_children()):
                if "foveate" not in type(child).__module__ or name != "foveate":
                    setattr(parent, name, Wrapped(child))
    return model


def checkpoint_stages(model: nn.Module, x: Tensor) -> nn.Module:
    if hasattr(model, "set_grad_checkpointing"):
        model.set_grad_checkpointing(True)
    return model


def checkpoint_blocks(model: nn.Module, x: Tensor) -> nn.Module:
    apply_activation_checkpointing(model, check_fn=lambda module: isinstance(module, BasicBlock))
    return model


def run_in_parts(model: nn.Module, x: Tensor) -> object:
    if not isinstance(model, ResNet):
        return model(x)
    x = model.maxpool(model.act1(model.bn1(model.conv1(x))))
    for stage in (model.layer1, model.layer2, model.layer3, model.layer4):
        x = checkpoint_sequential(stage, 2, x, use_reentrant=False) if len(stage) > 1 else stage(x)
    return model.forward_head(x)


def run_block_by_block(model: nn.Module, x: Tensor) -> object:
    if not isinstance(model, ResNet):
        return model(x)
    x = model.maxpool(model.act1(model.bn1(model.conv1(x))))
    for stage in (model.layer1, model.layer2, model.layer3, model.layer4):
        for block in stage:
            x = block.forward(x)
    return model.forward_head(x)


def infer(model: nn.Module, x: Tensor) -> object:
    with torch.inference_mode():
        return model(x)


def call_forward(model: nn.Module, x: Tensor) -> object:
    return model.forward(x)


def call_functionally(model: nn.Module, x: Tensor) -> object:
    return torch.func.functional_call(model, dict(model.state_dict()), (x,))


def average(model: nn.Module, x: Tensor) -> nn.Module:
    return AveragedModel(model).eval()


def share(model: nn.Module, x: Tensor) -> nn.Module:
    model.again = model.layer2 if isinstance(model, ResNet) else model.encoder
    return model


def move(model: nn.Module, x: Tensor) -> nn.Module:
    return nn.Sequential(nn.Identity(), model)


def weight_norm(model: nn.Module, x: Tensor) -> nn.Module:
    for module in plain_layers(model):
        parametrizations.weight_norm(module)
    return model


def weight_norm_and_back(model: nn.Module, x: Tensor) -> nn.Module:
    weight_norm(model, x)
    for module in plain_layers(model):
        parametrize.remove_parametrizations(module, "weight")
    return model


def old_weight_norm(model: nn.Module, x: Tensor) -> nn.Module:
    for module in plain_layers(model):
        nn.utils.weight_norm(module)
    return model


def prepare_for_quantisation(model: nn.Module, x: Tensor) -> nn.Module:
    return prepare_fx(model, get_default_qconfig_mapping(), (x,))


def trace_symbolically(model: nn.Module, x: Tensor) -> nn.Module:
    return torch.fx.symbolic_trace(model)


def fuse_norms(model: nn.Module, x: Tensor) -> nn.Module:
    return fuse(model)


def extract_features(model: nn.Module, x: Tensor) -> object:
    last = get_graph_node_names(model)[1][-1]
    return create_feature_extractor(model, [last])(x)[last]


def trace(model: nn.Module, x: Tensor) -> nn.Module:
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # that it is deprecated, and where sizes are read
        return torch.jit.trace(model, x)


KEEPING: tuple[Tool, ...] = (
    sync_by_torch,
    sync_by_timm,
    freeze_norms,
    replace_layers,
    wrap_layers,
    checkpoint_stages,
    checkpoint_blocks,
    run_in_parts,
    run_block_by_block,
    infer,
    call_forward,
    call_functionally,
    average,
    share,
    move,
    weight_norm,
    weight_norm_and_back,
    old_weight_norm,
    prepare_for_quantisation,
    trace_symbolically,
    fuse_norms,
    extract_features,
    trace,
)

# --- tools that change what the plain model computes


def spectral_norm(model: nn.Module, x: Tensor) -> nn.Module:
    for module in plain_layers(model):
        parametrizations.spectral_norm(module)
    return model.eval()


def old_spectral_norm(model: nn.Module, x: Tensor) -> nn.Module:
    for module in plain_layers(model):
        nn.utils.spectral_norm(module)
    return model.eval()


def prune_weights(model: nn.Module, x: Tensor) -> nn.Module:
    for module in plain_layers(model):
        prune.l1_unstructured(module, "weight", amount=0.3)
    return model


def quantise(model: nn.Module, x: Tensor) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is deprecated
        return quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)


CHANGING: tuple[Tool, ...] = (spectral_norm, old_spectral_norm, prune_weights, quantise)


def plain_layers(model: nn.Module) -> list[nn.Module]:
    """Return the convolutions and linear layers that the plain model has, hosts included."""
    return [
        module
        for path, module in model.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear) and "foveate" not in path and "self_attn" not in path
    ]
