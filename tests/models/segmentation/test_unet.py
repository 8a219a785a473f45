import segmentation_models_pytorch as smp
import torch
from pytest import mark, param, raises

import foveate as fv
from foveate.errors import OptionError
from foveate.models.published import load_published
from tests.drawn import drawn, unset


@mark.parametrize(
    "options, total",
    [
        ({"classes": 2}, 24_436_514),
        # The library's finest block has a scSE of 32 channels that nothing passes through.
        ({"classes": 2, "decoder_attention": "scse"}, 24_550_505 - 195),
        ({"classes": 2, "encoder": "timm/skresnet18"}, 14_596_898),
        param({"classes": 2, "encoder": "timm/skresnext50_32x4d"}, 34_444_002, marks=mark.nightly),
        ({"classes": 1, "encoder": None}, 34_527_041),
    ],
)
def test_published_numbers_of_parameters(options, total):
    with torch.device("meta"):
        assert sum(p.numel() for p in fv.create_model("unet", **options).parameters()) == total


@mark.parametrize("attention", [param(None, marks=mark.nightly), "scse"])
def test_a_checkpoint_of_segmentation_models_pytorch_computes_the_same(tmp_path, attention):
    theirs = drawn(
        unset(smp.Unet, "resnet18", encoder_weights=None, classes=3, decoder_attention_type=attention)
    )
    torch.save(theirs.state_dict(), tmp_path / "unet.pth")
    ours = unset(fv.create_model, "unet", classes=3, encoder="resnet18", decoder_attention=attention)
    assert load_published(ours, tmp_path / "unet.pth") == ()
    x = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        torch.testing.assert_close(ours.eval()(x), theirs.eval()(x), atol=1e-4, rtol=1e-4)


def test_attention_in_the_decoder_adds_weights_and_is_recorded():
    options = {"classes": 2, "encoder": "timm/test_resnet", "widths": (8, 8, 8, 4, 4)}
    plain = fv.create_model("unet", **options)
    model = fv.create_model("unet", decoder_attention="eca", **options).eval()
    extra = set(model.state_dict()) - set(plain.state_dict())
    assert set(plain.state_dict()) < set(model.state_dict()) and all(".attention" in name for name in extra)
    with fv.record(model) as maps:
        model(torch.rand(1, 3, 33, 20))
    assert len(maps) == 9  # two a block, but for the finest, which joins nothing


@mark.parametrize("encoder", ["timm/test_resnet", param("timm/convnext_atto", marks=mark.slow)])
def test_any_size_any_channels_one_image(encoder):
    model = fv.create_model("unet", classes=2, encoder=encoder, in_channels=5)
    y = model(torch.rand(1, 5, 65, 33))
    assert y.shape == (1, 2, 65, 33)
    y.square().sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_as_many_widths_as_maps():
    with raises(OptionError, match="widths"):
        fv.create_model("unet", classes=2, encoder="timm/test_resnet", widths=(8, 8))
