from functools import partial

import timm
import torch
import torchvision
from pytest import mark, param, raises
from tests.drawn import drawn, unset

import foveate as fv
from foveate.errors import OptionError, UnknownNameError
from foveate.models.encoders.build_encoder import build_encoder
from foveate.models.normalisation import model_normalisation

slow, nightly = (partial(param, marks=which) for which in (mark.slow, mark.nightly))


def parameters(module):
    return sum(p.numel() for p in module.parameters())


@mark.parametrize(
    "name, options, total",
    [
        ("resnet18", {}, 11_176_512),
        ("resnet50", {"output_stride": 8}, 23_508_032),
        ("resnet101", {}, 42_500_160),
        ("resnet101", {"stem": "deep"}, 42_623_936),
        ("xception39", {}, 299_448),
        ("xception65", {}, 54_705_317 - 16_838_005),  # jfzhang95's network less its head
    ],
)
def test_published_numbers_of_parameters(name, options, total):
    with torch.device("meta"):
        assert parameters(build_encoder(name, **options)) == total


@mark.parametrize(
    "name", ["resnet18", slow("mobilenet_v2"), "xception39", nightly("xception65"), slow("timm/resnet10t")]
)
@mark.parametrize("stride", [8, 32])
def test_channels_and_strides_are_as_they_say(name, stride):
    with torch.device("meta"):
        encoder = build_encoder(name, output_stride=stride, in_channels=2)
        maps = encoder(torch.zeros(1, 2, 65, 97))
    assert encoder.in_channels == 2 and encoder.strides[-1] == stride
    assert [tuple(y.shape[1:]) for y in maps] == [
        (c, -(-65 // s), -(-97 // s)) for c, s in zip(encoder.channels, encoder.strides, strict=True)
    ]


@mark.parametrize("name, last", [("densenet121", 32), ("resnet8", 4)])
@mark.parametrize("size", [(65, 97), (1, 30)])
def test_encoders_without_dilation_take_any_size(name, last, size):
    encoder = unset(build_encoder, name, in_channels=2).eval()
    with torch.no_grad():
        maps = encoder(torch.zeros(1, 2, *size))
    assert encoder.in_channels == 2 and encoder.strides[-1] == last
    assert [tuple(y.shape[1:]) for y in maps] == [
        (c, -(-size[0] // s), -(-size[1] // s))
        for c, s in zip(encoder.channels, encoder.strides, strict=True)
    ]


@mark.parametrize(
    "name", [slow("resnet18"), slow("densenet121"), "xception39", "resnet8", "timm/test_resnet"]
)
def test_only_the_maps_that_are_wanted_are_kept(name):
    encoder, x = drawn(unset(build_encoder, name)), torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        every = encoder(x)
        encoder.wanted = 2
        last = encoder(x)
    assert len(every) == len(encoder.channels) and len(last) == 2
    assert all(map(torch.equal, last, every[-2:]))


@mark.slow
@mark.parametrize("stride, dilated", [nightly(16, [False, False, True]), (8, [False, True, True])])
def test_dilated_as_torchvision_dilates(stride, dilated):
    theirs = drawn(unset(torchvision.models.resnet50, replace_stride_with_dilation=dilated))
    ours = unset(build_encoder, "resnet50", output_stride=stride).eval()
    state = {name: value for name, value in theirs.state_dict().items() if not name.startswith("fc.")}
    ours.load_state_dict(state)
    x = torch.rand(1, 3, 40, 33)
    y = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(x))))
    with torch.no_grad():
        expected = theirs.layer4(theirs.layer3(theirs.layer2(theirs.layer1(y))))
        torch.testing.assert_close(ours(x)[-1], expected)


@mark.slow
@mark.parametrize("stride", [nightly(8), 32])
def test_xception65_is_the_one_of_timm(stride):
    theirs = timm.create_model("xception65", features_only=True, output_stride=stride).eval()
    ours = build_encoder("xception65", output_stride=stride).eval()
    kept = [value for name, value in theirs.state_dict().items() if "num_batches" not in name]
    kept = iter(sorted_shortcuts_last(theirs, kept))
    own = {name: next(kept) for name in ours.state_dict() if "num_batches" not in name}
    ours.load_state_dict(own, strict=False)
    x = torch.rand(1, 3, 33, 47)
    with torch.no_grad():
        torch.testing.assert_close(ours(x)[-1], theirs(x)[-1], atol=1e-4, rtol=1e-4)


def sorted_shortcuts_last(network, values):
    """timm registers a block's shortcut before its branch, ours after it."""
    names = [name for name in network.state_dict() if "num_batches" not in name]
    order, held, block = [], [], None
    for name, value in zip(names, values, strict=True):
        of = name.rsplit(".", 3)[0].split(".stack")[0].split(".shortcut")[0]
        if of != block:
            order, held, block = order + held, [], of
        (held if ".shortcut." in name else order).append(value)
    return order + held


def test_dilations_of_a_multi_grid_and_of_the_first_block():
    def dilations(stage):
        return [block.conv2.dilation[0] for block in stage]

    with torch.device("meta"):
        plain = build_encoder("resnet50", output_stride=8)
        grid = build_encoder("resnet50", output_stride=8, multi_grid=(1, 2, 4))
        first = build_encoder("resnet50", output_stride=8, dilate_first=True)
    assert (dilations(plain.layer3), dilations(plain.layer4)) == ([1] + [2] * 5, [2, 4, 4])
    assert (dilations(grid.layer3), dilations(grid.layer4)) == ([1] + [2] * 5, [4, 8, 16])
    assert (dilations(first.layer3), dilations(first.layer4)) == ([2] * 6, [4, 4, 4])


def test_a_selective_kernel_looks_as_many_times_further_as_its_stage():
    with torch.device("meta"):
        encoder = build_encoder("sknet50", output_stride=8)
    convs = [m for m in encoder.layer4[1].attention.modules() if isinstance(m, torch.nn.Conv2d)]
    assert [conv.dilation[0] for conv in convs if conv.kernel_size == (3, 3)] == [4, 8]


def test_pooling_rounds_up_if_asked_to():
    with torch.device("meta"):
        for ceil_pool, size in ((False, (23, 24)), (True, (24, 25))):
            encoder = build_encoder("resnet18", ceil_pool=ceil_pool)
            assert encoder(torch.zeros(1, 3, 92, 95))[1].shape[2:] == size


def test_one_image_of_one_pixel_can_be_trained_on():
    encoder = build_encoder("xception39").train()
    assert encoder(torch.rand(1, 3, 1, 1))[-1].shape == (1, 256, 1, 1)


@mark.slow
def test_weights_that_come_as_a_package_are_those_of_the_classifier():
    with torch.no_grad():
        classifier = fv.create_model("tf_efficientnet_lite0", pretrained=True).eval()
        encoder = build_encoder("timm/tf_efficientnet_lite0", pretrained=True).eval()
        x = torch.rand(1, 3, 64, 64)
        features = classifier.blocks(classifier.bn1(classifier.conv_stem(x)))
        torch.testing.assert_close(encoder(x)[-1], features)
        grey = build_encoder("timm/tf_efficientnet_lite0", pretrained=True, in_channels=1).eval()
        torch.testing.assert_close(grey(x[:, :1])[-1], encoder(x[:, :1].expand(-1, 3, -1, -1))[-1])


def test_a_segmenter_expects_the_images_that_its_encoder_does():
    with torch.device("meta"):
        for encoder, mean in (("timm/tf_efficientnet_lite0", 0.5), ("resnet18", 0.485)):
            model = fv.create_model("unet", classes=2, encoder=encoder)
            assert model_normalisation(model)[0][0] == mean


def test_impossible_encoders_are_refused():
    for name, options, said in (
        ("resnet18", {"output_stride": 4}, "output_stride"),
        ("resnet18", {"widen": True}, "widen"),
        ("resnet18", {"stem": "wide"}, "stem"),
        ("resnet18", {"multi_grid": (1, 2, 4)}, "multi_grid"),
        ("xception65", {"low_level": "block3"}, "low_level"),
        ("xception39", {"pretrained": True}, "pretrained"),
        ("vit_b_16", {}, "timm/NAME"),
        ("vgg11", {"output_stride": 8}, "output_stride"),
        ("swin_t", {"output_stride": 16}, "output_stride"),
        ("timm/resnet18", {"colour": 1}, "colour"),
        ("timm/vgg11", {"output_stride": 8}, "output_stride=32"),
    ):
        with torch.device("meta"), raises(OptionError, match=said):
            build_encoder(name, **options)
    with raises(UnknownNameError):
        build_encoder("resnet19")


@mark.slow
def test_densenet_is_torchvisions_where_32_divides_the_size():
    theirs = drawn(unset(torchvision.models.densenet121))
    ours = unset(build_encoder, "densenet121").eval()
    state = {key: value for key, value in theirs.state_dict().items() if not key.startswith("classifier.")}
    ours.load_state_dict(state)
    x = torch.rand(1, 3, 64, 32)
    with torch.no_grad():
        torch.testing.assert_close(ours(x)[-1], theirs.features(x).relu())


@mark.parity("encoders.small_resnet_encoder")
def test_small_resnet_is_the_classifier_without_its_head():
    theirs = fv.create_model("resnet14").eval()
    ours = build_encoder("resnet14").eval()
    ours.load_state_dict({key: v for key, v in theirs.state_dict().items() if not key.startswith("fc.")})
    x = torch.rand(2, 3, 13, 9)
    with torch.no_grad():
        torch.testing.assert_close(theirs.fc(ours(x)[-1].mean((2, 3))), theirs(x))


@mark.parametrize("name, stride", [("densenet121", 8), ("resnet8", 16)])
def test_networks_that_cannot_be_dilated_say_so(name, stride):
    with raises(OptionError, match="output_stride"):
        build_encoder(name, output_stride=stride)
