from functools import partial

import segmentation_models_pytorch as smp
import torch
import torchvision
from pytest import mark, param, raises
from torch import nn

import foveate as fv
from foveate.errors import CheckpointError, OptionError
from foveate.models.published import load_published
from tests.drawn import drawn, unset

slow, nightly = (partial(param, marks=which) for which in (mark.slow, mark.nightly))


def built(**options):
    return fv.create_model("deeplabv3plus", classes=21, **options)


@mark.parametrize(
    "layout, encoder, options, total",
    [
        slow("paper", "resnet101", {}, 59_344_309),
        nightly("paper", "xception65", {"low_level": "block1"}, 54_705_317),
        ("paper", "mobilenet_v2", {}, 5_816_053),
        ("vainf", "resnet50", {}, 39_761_845),
        nightly("vainf", "resnet101", {}, 58_753_973),
        slow("vainf", "resnet101", {"separable": "all"}, 45_606_501),
        ("vainf", "mobilenet_v2", {}, 5_225_717),
        ("smp", "resnet18", {}, 12_334_437),
        nightly("smp", "resnet50", {}, 26_682_725),
        nightly("smp", "resnet101", {}, 45_674_853),
        ("smp", "mobilenet_v2", {}, 4_383_653),
        slow("smp", "resnet50", {"separable": "decoder"}, 39_210_341),
    ],
)
def test_published_numbers_of_parameters(layout, encoder, options, total):
    with torch.device("meta"):
        model = built(layout=layout, encoder=encoder, **options)
    assert sum(p.numel() for p in model.parameters()) == total


@mark.parametrize(
    "encoder, stride",
    [("resnet18", 16), nightly("resnet18", 8), slow("mobilenet_v2", 8), nightly("mobilenet_v2", 16)],
)
def test_a_checkpoint_of_segmentation_models_pytorch_computes_the_same(tmp_path, encoder, stride):
    theirs = drawn(
        unset(smp.DeepLabV3Plus, encoder, encoder_weights=None, encoder_output_stride=stride, classes=21)
    )
    ours = unset(built, layout="smp", encoder=encoder, output_stride=stride)
    torch.save(theirs.state_dict(), tmp_path / "theirs.pth")
    assert load_published(ours, tmp_path / "theirs.pth") == ()
    x = torch.rand(1, 3, 64, 48)
    with torch.no_grad():
        torch.testing.assert_close(ours.eval()(x), theirs.eval()(x), atol=1e-4, rtol=1e-4)


class VainFMobile(nn.Module):
    """VainF's MobileNetV2, of torchvision's blocks: its last map at stride 4 and its last of all."""

    def __init__(self, stride):
        super().__init__()
        features = torchvision.models.mobilenet_v2().features
        self.low_level_features, self.high_level_features = features[:4], features[4:-1]
        self.dilations = [1] * 14 + [1, 2, 2, 2] if stride == 16 else [1] * 8 + [2] * 7 + [4] * 3
        for number in (14,) if stride == 16 else (7, 14):
            features[number].conv[1][0].stride = (1, 1)
        for number, dilation in enumerate(self.dilations):
            conv = next(c for c in features[number].modules() if getattr(c, "kernel_size", 0) == (3, 3))
            conv.padding, conv.dilation = (0, 0), (dilation, dilation)

    def forward(self, x):
        x = self.low_level_features[0](x)
        for number, block in enumerate([*self.low_level_features[1:], *self.high_level_features], 1):
            y = block.conv(nn.functional.pad(x, (self.dilations[number],) * 4))
            x = x + y if block.use_res_connect else y
            if number == 3:
                fine = x
        return fine, x


class VainF(nn.Module):
    """The head of VainF/DeepLabV3Plus-Pytorch by its formula, under its names."""

    def __init__(self, separable, encoder=None, low=64, last=512, rates=(6, 12, 18)):
        super().__init__()
        self.encoder = encoder or built(encoder="resnet18").encoder
        self.classifier = nn.Module()
        self.classifier.project = nn.Sequential(*conv(low, 48, 1))
        self.classifier.aspp = aspp = nn.Module()
        pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), *conv(last, 256, 1))
        atrous = [nn.Sequential(*conv(last, 256, 3, rate, separable)) for rate in rates]
        aspp.convs = nn.ModuleList([nn.Sequential(*conv(last, 256, 1)), *atrous, pool])
        aspp.project = nn.Sequential(*conv(1280, 256, 1))
        self.classifier.classifier = nn.Sequential(*conv(304, 256, 3, 1, separable), nn.Conv2d(256, 21, 1))

    def forward(self, x):
        maps, head = self.encoder(x), self.classifier
        looks = [look(maps[-1]) for look in head.aspp.convs]
        looks[4] = looks[4].expand_as(looks[0])
        deep = head.aspp.project(torch.cat(looks, 1))
        deep = nn.functional.interpolate(deep, maps[0].shape[2:], mode="bilinear")
        y = head.classifier(torch.cat([head.project(maps[0]), deep], 1))
        return nn.functional.interpolate(y, x.shape[2:], mode="bilinear")


class Separable(nn.Module):
    def __init__(self, channels, width, rate):
        super().__init__()
        depth = nn.Conv2d(channels, channels, 3, padding=rate, dilation=rate, groups=channels, bias=False)
        self.body = nn.Sequential(depth, nn.Conv2d(channels, width, 1, bias=False))

    def forward(self, x):
        return self.body(x)


def conv(channels, width, size, rate=1, separable=False):
    plain = nn.Conv2d(channels, width, size, padding=rate * (size // 2), dilation=rate, bias=False)
    return Separable(channels, width, rate) if separable else plain, nn.BatchNorm2d(width), nn.ReLU()


@mark.parametrize("separable", [nightly(False), slow(True)])
def test_a_checkpoint_of_vainf_computes_the_same(tmp_path, separable):
    theirs = drawn(unset(VainF, separable))
    names = {name.replace("encoder.", "backbone."): value for name, value in theirs.state_dict().items()}
    torch.save({"model_state_dict": names}, tmp_path / "theirs.pth")
    ours = unset(built, layout="vainf", encoder="resnet18", separable="all" if separable else "none")
    assert load_published(ours, tmp_path / "theirs.pth") == ()
    x = torch.rand(1, 3, 65, 33)
    with torch.no_grad():
        torch.testing.assert_close(ours.eval()(x), theirs(x), atol=1e-4, rtol=1e-4)
    with raises(CheckpointError):
        load_published(unset(built, layout="paper", encoder="resnet18"), tmp_path / "theirs.pth")


@mark.parametrize("stride, rates", [nightly(16, (6, 12, 18)), slow(8, (12, 24, 36))])
def test_a_checkpoint_of_vainf_on_a_mobilenet_computes_the_same(tmp_path, stride, rates):
    theirs = drawn(unset(lambda: VainF(False, VainFMobile(stride), 24, 320, rates)))
    names = {name.replace("encoder.", "backbone."): value for name, value in theirs.state_dict().items()}
    torch.save({"model_state": names}, tmp_path / "theirs.pth")
    ours = unset(built, layout="vainf", encoder="mobilenet_v2", output_stride=stride)
    assert load_published(ours, tmp_path / "theirs.pth") == ()
    x = torch.rand(1, 3, 65, 50)
    with torch.no_grad():
        torch.testing.assert_close(ours.eval()(x), theirs(x), atol=1e-4, rtol=1e-4)


@mark.parametrize("attention", ["cbam", "pam", nightly("cc"), nightly("psa"), nightly("gate")])
def test_attention_adds_weights_and_nothing_else(attention):
    options = {"encoder": "timm/test_resnet", "in_channels": 2, "width": 16}
    plain, model = built(**options), built(spatial_attention=attention, **options)
    extra = [name for name in model.state_dict() if name not in plain.state_dict()]
    assert extra and all(name.startswith("attention.") for name in extra)
    assert set(plain.state_dict()) < set(model.state_dict())
    with fv.record(model) as maps:
        assert model.eval()(torch.rand(1, 2, 33, 20)).shape == (1, 21, 33, 20)
    assert maps and all(name.startswith("attention") for name in maps)


def test_one_image_trains_every_weight():
    model = built(encoder="timm/test_resnet", width=8, depthwise_norm=True, separable="all")
    model(torch.rand(1, 3, 17, 9)).square().sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    assert model.eval()(torch.rand(1, 3, 1, 1)).shape == (1, 21, 1, 1)


def test_rates_follow_the_output_stride():
    with torch.device("meta"):
        for stride, rates in ((8, [12, 24, 36]), (16, [6, 12, 18])):
            convs = built(output_stride=stride).context.convs
            assert [look[0].dilation[0] for look in convs[1:4]] == rates
    for wrong in ({"layout": "mine"}, {"separable": "some"}, {"spatial_attention": "se"}, {"rates": (1, 2)}):
        with raises(OptionError, match=next(iter(wrong))):
            built(encoder="timm/test_resnet", **wrong)
