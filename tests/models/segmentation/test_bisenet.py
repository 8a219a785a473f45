from functools import partial

import pytest
import torch
import torchvision
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from foveate.models import create_model
from foveate.models.encoders.build_encoder import build_encoder
from tests.authors_resnet import AuthorsResNet, corners, loaded, parameters
from tests.drawn import drawn, unset

slow, nightly = (partial(pytest.param, marks=mark) for mark in (pytest.mark.slow, pytest.mark.nightly))

COUNTS = [
    ({}, 13_494_777),
    ({"aux_width": 128}, 13_194_489),
    ({"side": False}, 12_894_163),
    ({"encoder": "xception39", "aux_width": 128}, 1_842_289),
    ({"encoder": "xception39", "side": False}, 1_541_963),
    ({"layout": "coincheung"}, 13_425_721),
    ({"layout": "coincheung", "side": False}, 13_275_539),
]


class Unit(nn.Module):
    """Convolution, normalisation and ReLU, under the names that both codes have."""

    def __init__(self, channels, out, size=3, stride=1, relu=True, norm=True):
        super().__init__()
        self.conv = nn.Conv2d(channels, out, size, stride, size // 2, bias=False)
        self.bn = nn.BatchNorm2d(out) if norm else nn.Identity()
        self.relu = relu

    def forward(self, x):
        x = self.bn(self.conv(x))
        return x.relu() if self.relu else x


def mean(x):
    return x.mean((2, 3), keepdim=True)


def named(**parts):
    module = nn.Module()
    for name, part in parts.items():
        setattr(module, name, part)
    return module


class Torchvision(nn.Module):
    """ResNet-18 without its head, and its last three maps."""

    def __init__(self):
        super().__init__()
        net = torchvision.models.resnet18()
        for name in ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4"):
            setattr(self, name, getattr(net, name))

    def forward(self, x):
        x = self.layer2(self.layer1(self.maxpool(self.relu(self.bn1(self.conv1(x))))))
        y = self.layer3(x)
        return x, y, self.layer4(y)


class Deep(nn.Module):
    """The context path of the configuration with ResNet-101: a deep stem, and no dilation."""

    def __init__(self, depth):
        super().__init__()
        net, blocks = AuthorsResNet(depth, stem="deep"), getattr(torchvision.models, f"resnet{depth}")()
        for name in ("conv1", "bn1", "maxpool", "layer1"):
            setattr(self, name, getattr(net, name))
        self.layer2, self.layer3, self.layer4 = blocks.layer2, blocks.layer3, blocks.layer4

    def forward(self, x):
        x = self.layer2(self.layer1(self.maxpool(self.bn1(self.conv1(x)).relu())))
        y = self.layer3(x)
        return x, y, self.layer4(y)


class Small(nn.Module):
    """Xception39 by foveate: under the authors' names already."""

    def __init__(self):
        super().__init__()
        for name, child in build_encoder("xception39").named_children():
            setattr(self, name, child)

    def forward(self, x):
        x = self.layer1(self.maxpool(self.conv1(x)))
        y = self.layer2(x)
        return x, y, self.layer3(y)


class Authors(nn.Module):
    """The authors' network (TorchSeg): its output, and the two auxiliary ones from stride 16 and 8."""

    def __init__(self, context, deep, classes, aux_width, head_width=64):
        super().__init__()
        self.context_path = context
        self.spatial_path = named(
            conv_7x7=Unit(3, 64, 7, 2),
            conv_3x3_1=Unit(64, 64, 3, 2),
            conv_3x3_2=Unit(64, 64, 3, 2),
            conv_1x1=Unit(64, 128, 1),
        )
        self.global_context = nn.Sequential(nn.AdaptiveAvgPool2d(1), Unit(deep[0], 128, 1))
        self.arms = nn.ModuleList(
            named(
                conv_3x3=Unit(channels, 128),
                channel_attention=nn.Sequential(
                    nn.AdaptiveAvgPool2d(1), Unit(128, 128, 1, relu=False), nn.Sigmoid()
                ),
            )
            for channels in deep
        )
        self.refines = nn.ModuleList(Unit(128, 128) for _ in deep)
        one, two = Unit(256, 256, 1, norm=False), Unit(256, 256, 1, norm=False, relu=False)
        self.ffm = named(
            conv_1x1=Unit(256, 256, 1),
            channel_attention=nn.Sequential(nn.AdaptiveAvgPool2d(1), one, two, nn.Sigmoid()),
        )
        self.heads = nn.ModuleList(
            named(conv_3x3=Unit(channels, width), conv_1x1=nn.Conv2d(width, classes, 1))
            for channels, width in ((128, aux_width), (128, aux_width), (256, head_width))
        )

    def forward(self, x):
        eighth, *rest = self.context_path(x)
        flow, flows = self.global_context(rest[-1]), []
        for y, finer, arm, refine in zip(rest[::-1], (rest[0], eighth), self.arms, self.refines, strict=True):
            z = arm.conv_3x3(y)
            flow = refine(corners(z * arm.channel_attention(z) + flow, finer))
            flows.append(flow)
        s = self.spatial_path
        detail = s.conv_1x1(s.conv_3x3_2(s.conv_3x3_1(s.conv_7x7(x))))
        y = self.ffm.conv_1x1(torch.cat([detail, flow], 1))
        flows.append(y + y * self.ffm.channel_attention(y))
        return [corners(h.conv_1x1(h.conv_3x3(y)), x) for h, y in zip(self.heads, flows, strict=True)]


class CoinCheung(nn.Module):
    """CoinCheung's network: the same three outputs."""

    def __init__(self, classes):
        super().__init__()

        def arm(channels):
            attention = nn.Conv2d(128, 128, 1, bias=False)
            return named(conv=Unit(channels, 128), conv_atten=attention, bn_atten=nn.BatchNorm2d(128))

        def out(channels, width):
            return named(conv=Unit(channels, width), conv_out=nn.Conv2d(width, classes, 1))

        self.cp = named(resnet=Torchvision(), arm16=arm(256), arm32=arm(512), conv_avg=Unit(512, 128, 1))
        self.cp.conv_head32, self.cp.conv_head16 = Unit(128, 128), Unit(128, 128)
        self.sp = named(conv1=Unit(3, 64, 7, 2), conv2=Unit(64, 64, 3, 2), conv3=Unit(64, 64, 3, 2))
        self.sp.conv_out = Unit(64, 128, 1)
        self.ffm = named(convblk=Unit(256, 256, 1), conv=nn.Conv2d(256, 256, 1, bias=False))
        self.ffm.bn = nn.BatchNorm2d(256)
        self.conv_out, self.conv_out16, self.conv_out32 = out(256, 256), out(128, 64), out(128, 64)

    def forward(self, x):
        _, sixteenth, last = self.cp.resnet(x)
        flow, flows = self.cp.conv_avg(mean(last)), []
        for y, arm, head in (
            (last, self.cp.arm32, self.cp.conv_head32),
            (sixteenth, self.cp.arm16, self.cp.conv_head16),
        ):
            z = arm.conv(y)
            z = z * arm.bn_atten(arm.conv_atten(mean(z))).sigmoid() + flow
            flow = head(nn.functional.interpolate(z, scale_factor=2))
            flows.append(flow)
        s = self.sp
        y = self.ffm.convblk(torch.cat([s.conv_out(s.conv3(s.conv2(s.conv1(x)))), flow], 1))
        flows.append(y + y * self.ffm.bn(self.ffm.conv(mean(y))).sigmoid())
        heads = (self.conv_out32, self.conv_out16, self.conv_out)
        return [
            nn.functional.interpolate(h.conv_out(h.conv(y)), x.shape[2:], mode="bilinear")
            for h, y in zip(heads, flows, strict=True)
        ]


@pytest.mark.slow
@pytest.mark.parametrize(("options", "total"), COUNTS)
def test_published_parameters(options, total):
    assert parameters("bisenet", classes=19, **options) == total


@pytest.mark.parametrize(
    ("options", "size", "macs"),
    [
        ({}, (360, 640), 11.58e9),
        nightly({}, (768, 1536), 58.34e9),
        slow({"encoder": "xception39"}, (360, 640), 3.07e9),
        nightly({"encoder": "xception39"}, (768, 1536), 15.62e9),
        slow({"layout": "coincheung"}, (1024, 2048), 118.34e9),
    ],
)
def test_published_macs(options, size, macs):
    with torch.device("meta"):
        model, x = create_model("bisenet", classes=19, **options).eval(), torch.zeros(1, 3, *size)
    with FlopCounterMode(display=False) as counted, torch.no_grad():
        model(x)
    assert abs(counted.get_total_flops() / 2 - macs) <= 5e6


@pytest.mark.slow
@pytest.mark.parametrize(
    "build, size, options",
    [
        (lambda: Authors(Torchvision(), (512, 256), 5, 256), (64, 96), {}),
        nightly(lambda: Authors(Torchvision(), (512, 256), 5, 256), (72, 40), {}),
        (lambda: Authors(Small(), (256, 128), 5, 128), (64, 32), {"encoder": "xception39", "aux_width": 128}),
        (lambda: CoinCheung(5), (64, 96), {"layout": "coincheung"}),
        nightly(
            lambda: Authors(Deep(18), (512, 256), 5, 256, head_width=256),
            (64, 96),
            {"encoder": "resnet18", "stem": "deep", "head_width": 256},
        ),
    ],
)
def test_a_checkpoint_of_the_authors_computes_what_it_did(tmp_path, build, size, options):
    theirs = drawn(unset(build))
    ours = loaded(theirs, "bisenet", tmp_path, classes=5, **options)
    x = torch.rand(2, 3, *size)
    with torch.no_grad():
        aux_16, aux_8, out = theirs(x)
        torch.testing.assert_close(ours(x), out, rtol=1e-4, atol=1e-4)
        ours.training = True
        logits = ours(x)
    torch.testing.assert_close(logits["aux_16"], aux_16, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(logits["aux_8"], aux_8, rtol=1e-4, atol=1e-4)


@pytest.mark.nightly
def test_a_checkpoint_of_the_configuration_with_resnet101_fits():
    with torch.device("meta"):
        theirs = Authors(Deep(101), (2048, 1024), 19, 256, head_width=256).state_dict()
        model = create_model("bisenet", classes=19, encoder="resnet101", stem="deep", head_width=256)
        own = model.state_dict()
    assert {n: v.shape for n, v in model.from_published(theirs).items()} == {
        n: v.shape for n, v in own.items()
    }


@pytest.mark.parametrize("layout", ["authors", "coincheung"])
def test_a_checkpoint_fits_a_model_without_auxiliary_heads(layout):
    with torch.device("meta"):
        theirs = CoinCheung(5) if layout == "coincheung" else Authors(Torchvision(), (512, 256), 5, 256)
        model = create_model("bisenet", classes=5, layout=layout, side=False)
    assert model.from_published(theirs.state_dict()).keys() == model.state_dict().keys()


def test_gates_of_one_half_and_fusion_by_one_and_a_half():
    model = create_model("bisenet", classes=2, encoder="xception39").eval()
    arm, x = model.arms[0], torch.rand(1, 256, 3, 4)
    nn.init.zeros_(arm[1].norm.weight)
    torch.testing.assert_close(arm(x), arm[0](x) / 2)
    nn.init.zeros_(model.fusion.excite.weight)
    maps = [torch.rand(1, 128, 3, 4), torch.rand(1, 128, 3, 4)]
    mixed = model.fusion.norm(model.fusion.mix(torch.cat(maps, 1))).relu()
    torch.testing.assert_close(model.fusion(maps), 1.5 * mixed)


def discs_and_squares(images=8, size=64, radius=12):
    """Return images of noise with a reddish disc and a bluish square in each, and what is where."""
    generator = torch.Generator().manual_seed(0)
    x = 0.3 * torch.rand(images, 3, size, size, generator=generator)
    masks = torch.zeros(images, size, size, dtype=torch.long)
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    for image, mask in zip(x, masks, strict=True):
        for shape, colour in ((1, (0.6, 0.1, 0.1)), (2, (0.1, 0.1, 0.6))):
            row, column = torch.randint(14, size - 14, (2,), generator=generator)
            down, along = (rows - row).abs(), (columns - column).abs()
            inside = down**2 + along**2 < radius**2 if shape == 1 else (down < 10) & (along < 10)
            mask[inside] = shape
            image[:, inside] += torch.tensor(colour)[:, None]
    return x, masks


@pytest.mark.nightly
def test_it_learns_eight_images_by_heart():
    torch.manual_seed(0)
    model = create_model("bisenet", classes=3, encoder="xception39", aux_width=32).train()
    x, masks = discs_and_squares()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(150):
        logits = model(x)
        found = logits["out"].argmax(1)
        shares = [((found == k) & (masks == k)).sum() / ((found == k) | (masks == k)).sum() for k in range(3)]
        if sum(shares) / 3 > 0.95:
            break
        optimizer.zero_grad()
        sum(nn.functional.cross_entropy(each, masks) for each in logits.values()).backward()
        optimizer.step()
    assert sum(shares) / 3 > 0.95
