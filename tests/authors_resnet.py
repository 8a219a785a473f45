"""Residual networks as the authors of segmentation systems build them, of torchvision's blocks."""

import torch
import torchvision
from torch import nn

from tests.drawn import unset


class AuthorsResNet(nn.Module):
    """The four stages, dilated to stride 8, under the authors' names.

    Args:
        depth: Layers.
        stem: ``"one"`` convolution; ``"three"``, each with a name; ``"deep"``, all of them ``conv1``.
        alike: Whether the first block of a dilated stage is dilated as the rest.
        grid: What the dilations of the last stage's blocks are multiplied by.
        ceil: Whether the pooling rounds up.
    """

    def __init__(self, depth, *, stem="one", alike=False, grid=None, ceil=False):
        super().__init__()
        net = getattr(torchvision.models, f"resnet{depth}")()
        self.conv1, self.bn1, self.stem = net.conv1, net.bn1, stem
        if stem != "one":
            three = [
                nn.Conv2d(a, b, 3, s, 1, bias=False) for a, b, s in ((3, 64, 2), (64, 64, 1), (64, 128, 1))
            ]
            norms = [nn.BatchNorm2d(64), nn.BatchNorm2d(64), nn.BatchNorm2d(128)]
            if stem == "deep":
                self.conv1 = nn.Sequential(
                    three[0], norms[0], nn.ReLU(), three[1], norms[1], nn.ReLU(), three[2]
                )
                self.bn1 = norms[2]
            else:
                self.conv1, self.conv2, self.conv3 = three
                self.bn1, self.bn2, self.bn3 = norms
            net.inplanes = 128
            net.layer1 = net._make_layer(type(net.layer1[0]), 64, len(net.layer1))
        self.maxpool = nn.MaxPool2d(3, 2, 1, ceil_mode=ceil)
        self.layer1, self.layer2, self.layer3, self.layer4 = net.layer1, net.layer2, net.layer3, net.layer4
        dilate(self.layer3, [2 if alike or number else 1 for number in range(len(net.layer3))])
        last = [4 if alike or number else 2 for number in range(len(net.layer4))]
        dilate(self.layer4, last if grid is None else [4 * factor for factor in grid])

    def maps(self, x):
        x = self.bn1(self.conv1(x)).relu()
        if self.stem == "three":
            x = self.bn3(self.conv3(self.bn2(self.conv2(x)).relu())).relu()
        out = [self.layer1(self.maxpool(x))]
        for layer in (self.layer2, self.layer3, self.layer4):
            out.append(layer(out[-1]))
        return out


def dilate(stage, dilations):
    for block, dilation in zip(stage, dilations, strict=True):
        for conv in block.modules():
            if isinstance(conv, nn.Conv2d):
                conv.stride = (1, 1)
                if conv.kernel_size == (3, 3):
                    conv.dilation = conv.padding = (dilation, dilation)


class InPlaceABN(nn.BatchNorm2d):
    """What the authors of CCNet and OCNet normalise with: scale by |weight| + eps, leak 1 %."""

    def __init__(self, channels, leak=0.01):
        super().__init__(channels)
        self.leak = leak

    def forward(self, x):
        scale = self.weight.abs() + self.eps
        y = nn.functional.batch_norm(x, self.running_mean, self.running_var, scale, self.bias, eps=self.eps)
        return torch.where(y < 0, self.leak * y, y)


def everywhere_in_place(network):
    """Return ``network`` with its plain normalisations scaling as in-place ones, without an activation."""
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__, module.leak = InPlaceABN, 1.0
    return network


def corners(x, like):
    return nn.functional.interpolate(x, like.shape[2:], mode="bilinear", align_corners=True)


def loaded(theirs, name, tmp_path, **options):
    """Return foveate's network with the weights of ``theirs``, read from a checkpoint as published."""
    import foveate as fv

    path = tmp_path / "published.pth"
    torch.save({"state_dict": {f"module.{n}": value for n, value in theirs.state_dict().items()}}, path)
    model = unset(fv.create_model, name, **options)
    assert fv.load_published(model, path) == ()
    return model.eval()


def shapes_fit(theirs, name, **options):
    """Whether a checkpoint of ``theirs`` has the model's names and shapes, none left over."""
    from foveate.models import create_model

    with torch.device("meta"):
        model = create_model(name, **options)
        found = model.from_published(theirs().state_dict())
    own = model.state_dict()
    return {n: v.shape for n, v in found.items()} == {n: v.shape for n, v in own.items()}


def parameters(name, **options):
    """Return how many parameters a model has."""
    from foveate.models import create_model

    with torch.device("meta"):
        return sum(p.numel() for p in create_model(name, **options).parameters())
