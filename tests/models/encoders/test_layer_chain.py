from functools import partial

import torch
from pytest import mark, param
from tests.drawn import drawn, unset
from torchvision.models import mobilenet_v3_small

import foveate as fv
from foveate.models.encoders.build_encoder import build_encoder

nightly = partial(param, marks=mark.nightly)


@mark.slow
@mark.parametrize(
    "name, channels, strides",
    [
        ("vgg11_bn", (64, 128, 256, 512, 512, 512), (1, 2, 4, 8, 16, 32)),
        nightly("mobilenet_v3_large", (16, 24, 40, 112, 960), (2, 4, 8, 16, 32)),
        nightly("shufflenet_v2_x0_5", (24, 24, 48, 96, 1024), (2, 4, 8, 16, 32)),
        nightly("convnext_tiny", (96, 192, 384, 768), (4, 8, 16, 32)),
        ("swin_t", (96, 192, 384, 768), (4, 8, 16, 32)),
    ],
)
def test_maps_of_the_networks_of_torchvision(name, channels, strides):
    with torch.device("meta"):
        encoder = build_encoder(name, in_channels=2)
        maps = encoder(torch.zeros(1, 2, 96, 160))
    assert (encoder.channels, encoder.strides) == (channels, strides)
    assert [tuple(y.shape[1:]) for y in maps] == [
        (c, 96 // s, 160 // s) for c, s in zip(channels, strides, strict=True)
    ]


@mark.slow
def test_dilated_it_keeps_the_size_and_the_weights():
    with torch.device("meta"):
        plain = build_encoder("mnasnet0_5")
        encoder = build_encoder("mnasnet0_5", output_stride=8)
        maps = encoder(torch.zeros(1, 3, 65, 97))
    assert [y.shape[2:] for y in maps[2:]] == [(9, 13)] * 3 and encoder.strides == (2, 4, 8, 8, 8)
    assert {n: v.shape for n, v in plain.state_dict().items()} == {
        n: v.shape for n, v in encoder.state_dict().items()
    }


@mark.slow
def test_a_dilated_mobilenet_is_the_one_of_torchvisions_segmenters():
    theirs = drawn(unset(mobilenet_v3_small, dilated=True)).features
    encoder = unset(build_encoder, "mobilenet_v3_small", output_stride=16, dilate_first=True).eval()
    encoder.features.load_state_dict(theirs.state_dict())
    x = torch.rand(1, 3, 65, 33)
    with torch.no_grad():
        torch.testing.assert_close(encoder(x)[-1], theirs(x))


def test_what_is_inserted_into_it_is_not_passed_by():
    model = fv.create_model("fcn", classes=2, encoder="mobilenet_v3_small", output_stride=32).eval()
    x = torch.rand(1, 3, 64, 64)
    attended = fv.insert(model, "eca@encoder.features.3", example=x).eval()
    with torch.no_grad(), fv.record(attended) as maps:
        torch.testing.assert_close(attended(x), model(x))
    assert len(maps) > len(_recorded(model, x))


def _recorded(model, x):
    with torch.no_grad(), fv.record(model) as maps:
        model(x)
    return list(maps)
