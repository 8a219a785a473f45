import torch
import torchvision
from pytest import mark

import foveate as fv
from foveate.models.published import load_published
from tests.drawn import drawn, unset


def test_parameters_of_torchvision():
    with torch.device("meta"):
        for depth, total in ((50, 35_322_218), (101, 54_314_346)):
            model = fv.create_model("fcn", classes=21, encoder=f"resnet{depth}")
            assert sum(p.numel() for p in model.parameters()) == total


@mark.slow
def test_a_checkpoint_of_torchvision_computes_the_same(tmp_path):
    build = torchvision.models.segmentation.fcn_resnet50
    theirs = drawn(unset(build, weights=None, weights_backbone=None, num_classes=3, aux_loss=True))
    torch.save({"model": theirs.state_dict()}, tmp_path / "fcn.pth")
    ours, x = unset(fv.create_model, "fcn", classes=3), torch.rand(1, 3, 33, 47)
    assert load_published(ours, tmp_path / "fcn.pth") == ()
    with torch.no_grad():
        torch.testing.assert_close(ours.eval()(x), theirs.eval()(x)["out"], atol=1e-4, rtol=1e-4)
    lone = unset(fv.create_model, "fcn", classes=2, side=False)
    assert load_published(lone, tmp_path / "fcn.pth") == ("head.4.weight", "head.4.bias")


def test_two_outputs_while_training_on_one_image_of_five_channels():
    model = fv.create_model("fcn", classes=2, encoder="timm/test_resnet", in_channels=5)
    logits = model(torch.rand(1, 5, 33, 20))
    assert {name: tuple(y.shape) for name, y in logits.items()} == dict.fromkeys(
        ("out", "aux"), (1, 2, 33, 20)
    )
    sum(y.sum() for y in logits.values()).backward()
    assert all(p.grad is not None for p in model.parameters())
    assert model.eval()(torch.rand(2, 5, 7, 1)).shape == (2, 2, 7, 1)
