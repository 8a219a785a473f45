"""Selective kernels in an encoder: foveate's own, timm's, and what heads make of them."""

from functools import partial

import pytest
import timm
import torch
from tests.authors_resnet import parameters
from tests.drawn import drawn, unset

import foveate as fv
from foveate.models import create_model
from foveate.models.encoders.build_encoder import build_encoder

slow, nightly = (partial(pytest.param, marks=mark) for mark in (pytest.mark.slow, pytest.mark.nightly))


@pytest.mark.slow
@pytest.mark.parametrize("stride", [pytest.param(8, marks=pytest.mark.nightly), 32])
def test_the_maps_are_those_of_timm_with_its_weights(stride):
    options = {"output_stride": stride} if stride < 32 else {}
    theirs = drawn(unset(timm.create_model, "skresnext50_32x4d", features_only=True, **options))
    with torch.device("meta"):
        network = create_model("sknet50")
    ours = unset(build_encoder, "sknet50", output_stride=stride)
    ours.load_state_dict(network.from_published(theirs.state_dict()))
    x = torch.rand(1, 3, 33, 47)
    with torch.no_grad():
        for own, expected in zip(ours.eval()(x), theirs(x), strict=True):
            torch.testing.assert_close(own, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, channels",
    [
        nightly("sknet50", (64, 256, 512, 1024, 2048)),
        nightly("sknet101", (64, 256, 512, 1024, 2048)),
        nightly("timm/skresnext50_32x4d", (64, 256, 512, 1024, 2048)),
        ("timm/skresnet18", (64, 64, 128, 256, 512)),
    ],
)
def test_channels_and_strides(name, channels):
    with torch.device("meta"):
        encoder = build_encoder(name)
        maps = encoder(torch.zeros(1, 3, 64, 96))
    assert encoder.channels == tuple(y.shape[1] for y in maps) == channels
    assert encoder.strides == (2, 4, 8, 16, 32)


@pytest.mark.parametrize(
    "encoder, total",
    [
        ("timm/skresnet18", 14_596_898),
        nightly("timm/skresnext50_32x4d", 34_444_002),
        slow("sknet50", 34_444_002),
    ],
)
def test_published_parameters_of_a_unet_on_it(encoder, total):
    assert parameters("unet", classes=2, encoder=encoder) == total


@pytest.mark.parametrize("name, encoder", [slow("bisenet", "sknet26"), ("danet", "timm/skresnet18")])
def test_heads_segment_by_it(name, encoder):
    model = create_model(name, classes=3, encoder=encoder, in_channels=2).train()
    logits = model(torch.rand(1, 2, 33, 47))
    assert {tuple(y.shape) for y in logits.values()} == {(1, 3, 33, 47)}


def test_which_kernel_each_channel_chose_is_recorded_beside_the_heads_maps():
    model = create_model("danet", classes=3, encoder="sknet26").eval()
    with torch.no_grad(), fv.record(model) as maps:
        model(torch.rand(1, 3, 33, 47))
    chosen = [name for name in maps if name.startswith("encoder.layer")]
    assert len(chosen) == 8 and {"head.position", "head.channel"} <= set(maps)
    for name in chosen:
        torch.testing.assert_close(maps[name].sum(1), torch.ones_like(maps[name][:, 0]))
