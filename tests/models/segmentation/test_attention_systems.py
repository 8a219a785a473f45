"""What every attention system keeps, whatever its head: sizes, batches, channels, names, gradients, maps."""

import pytest
import torch

import foveate as fv
from foveate.errors import OptionError
from foveate.models import create_model
from tests.drawn import drawn

SMALL = {
    "bisenet": {"aux_width": 8},
    "danet": {"side": True},
    "ccnet": {},
    "psanet": {"size": 9},
    "encnet": {"lateral": True},
    "ocnet": {},
    "attention_to_scale": {"width": 16, "hidden": 8, "dropout": 0.0},
}
AUX = {
    "bisenet": ["aux_16", "aux_8"],
    "danet": ["aux_position", "aux_channel", "aux"],
    "ccnet": ["aux"],
    "psanet": ["aux"],
    "encnet": ["presence", "aux"],
    "ocnet": ["aux"],
    "attention_to_scale": ["aux_1", "aux_2", "aux_3"],
}
MAPS = {
    "bisenet": ["arms.0.1", "arms.1.1", "fusion"],
    "danet": ["head.channel", "head.position"],
    "ccnet": ["head.attention"],
    "psanet": ["head.attention.collect.map", "head.attention.distribute.map"],
    "encnet": ["head.attention.codes", "head.attention.map"],
    "ocnet": ["head.attention"],
    "attention_to_scale": ["attention"],
}


def small(name, **options):
    torch.manual_seed(0)
    return create_model(name, **{"classes": 3, "encoder": "timm/test_resnet", **SMALL[name], **options})


@pytest.mark.parametrize("name", SMALL)
def test_one_image_of_any_size_and_channels_trains_every_weight(name):
    model = small(name, in_channels=2).train()
    assert model.in_channels == 2 and model.aux == tuple(AUX[name])
    for height, width in ((33, 47), (8, 8)):
        logits = model(torch.rand(1, 2, height, width))
        assert list(logits) == ["out", *AUX[name]]
        shapes = {output: tuple(y.shape) for output, y in logits.items()}
        assert shapes.pop("presence", (1, 3)) == (1, 3)
        assert set(shapes.values()) == {(1, 3, height, width)}
    for parameter_name, parameter in model.named_parameters():
        if parameter_name.endswith("gamma"):  # at zero nothing behind it has a gradient
            torch.nn.init.ones_(parameter)
        if parameter_name.endswith("attention.merge.weight"):
            torch.nn.init.normal_(parameter)
    logits = model(torch.rand(2, 2, 40, 48))
    sum(y.square().mean() for y in logits.values()).backward()
    without = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert without == []


@pytest.mark.parametrize("name", SMALL)
def test_in_evaluation_an_image_is_segmented_alone_and_the_auxiliary_heads_are_not_needed(name):
    model = drawn(small(name))
    x = torch.rand(2, 3, 41, 64)
    with torch.no_grad():
        both = model(x)
        assert both.shape == (2, 3, 41, 64)
        for image, logits in zip(x, both, strict=True):
            torch.testing.assert_close(model(image[None])[0], logits, rtol=1e-4, atol=1e-5)
        bare = small(name, side=False, **({"presence": False} if name == "encnet" else {}))
        missing, _ = bare.load_state_dict(model.state_dict(), strict=False)
        assert missing == []
        torch.testing.assert_close(bare.eval()(x), both)


@pytest.mark.parametrize("name", SMALL)
def test_its_attention_is_recorded(name):
    model = small(name).eval()
    with torch.no_grad(), fv.record(model) as maps:
        model(torch.rand(1, 3, 40, 33))
    assert sorted(maps) == MAPS[name]


def test_options_out_of_range_are_refused_by_name():
    for name, options in (
        ("bisenet", {"layout": "mine"}),
        ("bisenet", {"encoder": "timm/vit_tiny_patch16_224"}),
        ("attention_to_scale", {"scales": (1, 0)}),
        ("attention_to_scale", {"dropout": 1.0}),
        ("ccnet", {"recurrence": 0}),
        ("danet", {"dropout": 1.0}),
        ("psanet", {"size": 0}),
        ("encnet", {"lateral": True, "output_stride": 16}),
        ("ocnet", {"colour": 1}),
    ):
        with pytest.raises(OptionError, match=next(iter(options))):
            small(name, **options)
