"""Networks whose weights others published, by their formulas and under their authors' names of weights."""

import timm
import torch
import torchvision
from torch import nn
from torch.nn.functional import interpolate, pad


def convolution(channels, out, size, stride=1, dilation=1, groups=1, padding=None):
    padding = dilation * (size // 2) if padding is None else padding
    return nn.Conv2d(channels, out, size, stride, padding, dilation, groups, bias=False)


def chain(*triples):
    """Convolutions, each normalised and rectified, as one flat sequence: arguments of each are given."""
    layers = []
    for arguments in triples:
        layers += [convolution(*arguments), nn.BatchNorm2d(arguments[1]), nn.ReLU()]
    return nn.Sequential(*layers)


class Apart(nn.Module):
    """jfzhang95's separable convolution: normalised between its two parts; Chollet's has nothing there."""

    def __init__(self, channels, out, stride=1, dilation=1, norm=True, padding=None):
        super().__init__()
        self.conv1 = convolution(channels, channels, 3, stride, dilation, channels, padding)
        self.bn = nn.BatchNorm2d(channels) if norm else nn.Identity()
        self.pointwise = convolution(channels, out, 1)

    def forward(self, x):
        return self.pointwise(self.bn(self.conv1(x)))


class JFBlock(nn.Module):
    """What comes in is rectified, for the branch and for the shortcut (a layer in place does that there)."""

    def __init__(self, channels, widths, stride, dilations, relu_listed=True):
        super().__init__()
        self.rep = nn.Sequential()
        for number, (out, dilation) in enumerate(zip(widths, dilations, strict=True)):
            come = widths[number - 1] if number else channels
            if number or relu_listed:
                self.rep.append(nn.ReLU())
            self.rep.append(Apart(come, out, stride if number == 2 else 1, dilation))
            self.rep.append(nn.BatchNorm2d(out))
        self.skip = None
        if stride == 2 or channels != widths[-1]:
            self.skip = convolution(channels, widths[-1], 1, stride)
            self.skipbn = nn.BatchNorm2d(widths[-1])

    def forward(self, x):
        x = x.relu()
        return self.rep(x) + (x if self.skip is None else self.skipbn(self.skip(x)))


class JFXception(nn.Module):
    def __init__(self, stride):
        super().__init__()
        third, middle, out, last = (2, 1, 1, 2) if stride == 16 else (1, 2, 2, 4)
        self.conv1, self.bn1 = convolution(3, 32, 3, 2), nn.BatchNorm2d(32)
        self.conv2, self.bn2 = convolution(32, 64, 3), nn.BatchNorm2d(64)
        self.block1 = JFBlock(64, (128,) * 3, 2, (1, 1, 1), relu_listed=False)
        self.block2 = JFBlock(128, (256,) * 3, 2, (1, 1, 1), relu_listed=False)
        self.block3 = JFBlock(256, (728,) * 3, third, (1, 1, 1))
        for number in range(4, 20):
            self.add_module(f"block{number}", JFBlock(728, (728,) * 3, 1, (middle,) * 3))
        self.block20 = JFBlock(728, (728, 1024, 1024), 1, (out, out, 1))
        for number, (a, b) in enumerate(((1024, 1536), (1536, 1536), (1536, 2048)), start=3):
            self.add_module(f"conv{number}", Apart(a, b, dilation=last))
            self.add_module(f"bn{number}", nn.BatchNorm2d(b))

    def forward(self, x):
        x = self.bn1(self.conv1(x)).relu()
        x = self.block1(self.bn2(self.conv2(x)).relu())
        fine = x.relu()
        for number in range(2, 21):
            x = self.get_submodule(f"block{number}")(x)
        x = x.relu()
        for number in (3, 4, 5):
            x = self.get_submodule(f"bn{number}")(self.get_submodule(f"conv{number}")(x)).relu()
        return fine, x


class JFMobile(nn.Module):
    """MobileNetV2 whose blocks pad what comes in, the layers of a block in one row; two names a layer."""

    def __init__(self, stride):
        super().__init__()
        widths = (16, *[24] * 2, *[32] * 3, *[64] * 4, *[96] * 3, *[160] * 3, 320)
        self.rates = (*[1] * 16, 2) if stride == 16 else (*[1] * 10, *[2] * 6, 4)
        self.steps = {1: 2, 3: 2, 6: 2} if stride == 16 else {1: 2, 3: 2}
        self.features = nn.Sequential(nn.Sequential(convolution(3, 32, 3, 2), nn.BatchNorm2d(32), nn.ReLU6()))
        channels = 32
        for number, width in enumerate(widths):
            inner = channels * (6 if number else 1)
            layers = [convolution(channels, inner, 1), nn.BatchNorm2d(inner), nn.ReLU6()] if number else []
            step, rate = self.steps.get(number, 1), self.rates[number]
            layers += [convolution(inner, inner, 3, step, rate, inner, 0), nn.BatchNorm2d(inner), nn.ReLU6()]
            block = nn.Module()
            block.conv = nn.Sequential(*layers, convolution(inner, width, 1), nn.BatchNorm2d(width))
            self.features.append(block)
            channels = width
        self.low_level_features, self.high_level_features = self.features[:4], self.features[4:]

    def forward(self, x):
        x, fine = self.features[0](x), None
        for number, block in enumerate(self.features[1:]):
            y = block.conv(pad(x, (self.rates[number],) * 4))
            x = x + y if y.shape == x.shape else y
            fine = x if number == 2 else fine
        return fine, x


class DRNBlock(nn.Module):
    def __init__(self, channels, width, stride, dilation):
        super().__init__()
        self.conv1, self.bn1 = convolution(channels, width, 1), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = convolution(width, width, 3, stride, dilation), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = convolution(width, 4 * width, 1), nn.BatchNorm2d(4 * width)
        self.downsample = None
        if stride == 2 or channels != 4 * width:
            down = convolution(channels, 4 * width, 1, stride)
            self.downsample = nn.Sequential(down, nn.BatchNorm2d(4 * width))

    def forward(self, x):
        y = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu())).relu()
        return (self.bn3(self.conv3(y)) + (x if self.downsample is None else self.downsample(x))).relu()


class DRN54(nn.Module):
    def __init__(self, stride=8):
        super().__init__()
        self.layer0, self.layer1 = chain((3, 16, 7)), chain((16, 16, 3))
        self.layer2 = chain((16, 32, 3, 2))
        channels = 32
        levels = ((64, 3, 2, 1), (128, 4, 2, 1), (256, 6, 1, 2), (512, 3, 1, 4))
        for level, (width, count, step, dilation) in enumerate(levels, start=3):
            blocks = []
            for number in range(count):
                blocks.append(DRNBlock(channels, width, 1 if number else step, dilation))
                channels = 4 * width
            self.add_module(f"layer{level}", nn.Sequential(*blocks))
        self.layer7, self.layer8 = chain((2048, 512, 3, 1, 2)), chain((512, 512, 3))

    def forward(self, x):
        fine = None
        for level in range(9):
            x = self.get_submodule(f"layer{level}")(x)
            fine = x if level == 3 else fine
        return fine, x


def dilated_resnet(stride):
    """torchvision's ResNet-50 dilated as jfzhang95 has it: whole stages, the last by 1, 2 and 4 times."""
    net = torchvision.models.resnet50()
    for layer, rates in ((net.layer3, [2] * 6), (net.layer4, [4, 8, 16])) if stride == 8 else (
        (net.layer4, [2, 4, 8]),
    ):  # fmt: skip
        for block, rate in zip(layer, rates, strict=True):
            block.conv2.stride, block.conv2.dilation, block.conv2.padding = (1, 1), (rate,) * 2, (rate,) * 2
        layer[0].downsample[0].stride = (1, 1)
    del net.fc
    return net


class Stages(nn.Module):
    """A ResNet's first and last stage, under the names that it has."""

    def __init__(self, stride):
        super().__init__()
        for name, child in dilated_resnet(stride).named_children():
            self.add_module(name, child)

    def forward(self, x):
        fine = self.layer1(self.maxpool(self.bn1(self.conv1(x)).relu()))
        return fine, self.layer4(self.layer3(self.layer2(fine)))


class JFZhang(nn.Module):
    """jfzhang95/pytorch-deeplab-xception in evaluation."""

    def __init__(self, backbone, low, deep, rates, classes):
        super().__init__()
        self.backbone = backbone
        self.aspp, self.decoder = nn.Module(), nn.Module()
        for number, rate in enumerate((1, *rates), start=1):
            look = nn.Module()
            look.atrous_conv = convolution(deep, 256, 1 if number == 1 else 3, dilation=rate)
            look.bn = nn.BatchNorm2d(256)
            self.aspp.add_module(f"aspp{number}", look)
        self.aspp.global_avg_pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), *chain((deep, 256, 1)))
        self.aspp.conv1, self.aspp.bn1 = convolution(1280, 256, 1), nn.BatchNorm2d(256)
        self.decoder.conv1, self.decoder.bn1 = convolution(low, 48, 1), nn.BatchNorm2d(48)
        first, second = chain((304, 256, 3)), chain((256, 256, 3))
        self.decoder.last_conv = nn.Sequential(
            *first, nn.Dropout(0.5), *second, nn.Dropout(0.1), nn.Conv2d(256, classes, 1)
        )

    def forward(self, x):
        fine, deep = self.backbone(x)
        looks = [getattr(self.aspp, f"aspp{number}") for number in (1, 2, 3, 4)]
        seen = [look.bn(look.atrous_conv(deep)).relu() for look in looks]
        seen.append(self.aspp.global_avg_pool(deep).expand_as(seen[0]))
        deep = self.aspp.bn1(self.aspp.conv1(torch.cat(seen, 1))).relu()
        fine = self.decoder.bn1(self.decoder.conv1(fine)).relu()
        deep = interpolate(deep, fine.shape[2:], mode="bilinear", align_corners=True)
        y = self.decoder.last_conv(torch.cat([deep, fine], 1))
        return interpolate(y, x.shape[2:], mode="bilinear", align_corners=True)


class VainFXception(nn.Module):
    """timm's Xception up to its last convolution, dilated as VainF has it, the last two not padded more."""

    def __init__(self):
        super().__init__()
        net = timm.create_model("legacy_xception", num_classes=0)
        block = net.block12
        block.skip.stride = (1, 1)
        del block.rep[-1]  # the pooling
        for module in block.rep.modules():
            if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3):
                module.dilation = module.padding = (2, 2)
        for conv in (net.conv3.conv1, net.conv4.conv1):
            conv.dilation = (2, 2)
        kept = ("conv1", "bn1", "conv2", "bn2", *(f"block{n}" for n in range(1, 13)), "conv3", "bn3", "conv4")
        for name in kept:
            self.add_module(name, getattr(net, name))

    def forward(self, x):
        x = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu())).relu()
        fine = x = self.block1(x)
        for number in range(2, 13):
            x = self.get_submodule(f"block{number}")(x)
        return fine, self.conv4(self.bn3(self.conv3(x)).relu())


class Unit39(nn.Module):
    def __init__(self, channels, out, size, stride=1, relu=True):
        super().__init__()
        self.conv, self.bn, self.relu = convolution(channels, out, size, stride), nn.BatchNorm2d(out), relu

    def forward(self, x):
        x = self.bn(self.conv(x))
        return x.relu() if self.relu else x


class Apart39(nn.Module):
    def __init__(self, channels, out, stride=1, relu=True):
        super().__init__()
        self.conv1 = convolution(channels, channels, 3, stride, 1, channels)
        self.point_wise_cbr = Unit39(channels, out, 1, relu=relu)

    def forward(self, x):
        return self.point_wise_cbr(self.conv1(x))


class Block39(nn.Module):
    def __init__(self, channels, middle, stride):
        super().__init__()
        out = 4 * middle
        self.proj = Apart39(channels, out, 2, relu=False) if stride == 2 else None
        self.residual_branch = nn.Sequential(
            Apart39(channels, middle, stride), Apart39(middle, middle), Apart39(middle, out, relu=False)
        )

    def forward(self, x):
        return (self.residual_branch(x) + (x if self.proj is None else self.proj(x))).relu()


class Xception39(nn.Module):
    """TorchSeg's: its last three maps."""

    def __init__(self):
        super().__init__()
        self.conv1, self.maxpool, channels = Unit39(3, 8, 3, 2), nn.MaxPool2d(3, 2, 1), 8
        for number, (count, middle) in enumerate(((4, 16), (8, 32), (4, 64)), start=1):
            blocks = []
            for block in range(count):
                blocks.append(Block39(channels, middle, 1 if block else 2))
                channels = 4 * middle
            self.add_module(f"layer{number}", nn.Sequential(*blocks))

    def forward(self, x):
        maps = [self.maxpool(self.conv1(x))]
        for number in (1, 2, 3):
            maps.append(self.get_submodule(f"layer{number}")(maps[-1]))
        return maps[1:]
