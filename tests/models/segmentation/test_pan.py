import segmentation_models_pytorch as smp
import torch
from pytest import mark, param

import foveate as fv
from foveate.models.published import load_published
from tests.drawn import drawn, unset


def test_parameters_of_segmentation_models_pytorch():
    with torch.device("meta"):
        for depth, total in ((50, 24_265_596), (101, 43_257_724)):
            model = fv.create_model("pan", classes=21, encoder=f"resnet{depth}")
            assert sum(p.numel() for p in model.parameters()) == total
            decoder = [*model.pyramid.parameters(), *model.gates.parameters()]
            assert sum(p.numel() for p in decoder) == 751_495
            assert model.pyramid.cost(8, 8).parameters == 231_751


@mark.parity("segmentation.pan")
@mark.parametrize("stride, size", [(16, 128), param(32, 256, marks=mark.nightly)])
def test_a_checkpoint_of_segmentation_models_pytorch_computes_the_same(tmp_path, stride, size):
    theirs = drawn(unset(smp.PAN, "resnet18", encoder_weights=None, encoder_output_stride=stride, classes=3))
    ours = unset(fv.create_model, "pan", classes=3, encoder="resnet18", output_stride=stride)
    torch.save(theirs.state_dict(), tmp_path / "pan.pth")
    assert load_published(ours, tmp_path / "pan.pth") == ()
    x = torch.rand(1, 3, size, size)
    with torch.no_grad():
        torch.testing.assert_close(ours.eval()(x), theirs.eval()(x), atol=1e-4, rtol=1e-4)


def test_its_weights_are_seen_at_sizes_that_the_library_refuses():
    model = fv.create_model("pan", classes=2, encoder="resnet18", in_channels=1).eval()
    with fv.record(model) as maps:
        assert model(torch.rand(1, 1, 65, 33)).shape == (1, 2, 65, 33)
    assert {name: tuple(m.shape[1:]) for name, m in maps.items()} == {
        "pyramid": (1, 5, 3),
        "gates.0": (32, 1, 1),
        "gates.1": (32, 1, 1),
        "gates.2": (32, 1, 1),
    }
    model.train()(torch.rand(1, 1, 9, 7)).sum().backward()
    assert all(p.grad is not None for p in model.parameters())
