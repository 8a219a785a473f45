"""The CRFs as models by name: trained, recorded and kept as every other system."""

import pytest
import torch

import foveate as fv
from foveate.errors import CheckpointError, OptionError
from foveate.models import model_normalisation
from foveate.models.crf import CRFasRNN, DenseCRF
from foveate.models.normalisation import keep_normalisation

MEAN, STD = (torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))


def small(name, **options):
    torch.manual_seed(0)
    return fv.create_model(name, classes=3, encoder="resnet8", **options)


def pictures(size=(16, 20)):
    return torch.randint(0, 256, (2, 3, *size), generator=torch.Generator().manual_seed(1)).float()


def normalised(pixels, model):
    mean, std = (torch.tensor(v)[:, None, None] for v in model_normalisation(model))
    return (pixels / 255 - mean) / std


@pytest.mark.parametrize("name", ["crf_rnn", "dense_crf"])
def test_it_is_the_network_and_the_crf_on_the_picture(name):
    model, pixels = small(name).eval(), pictures()
    crf = (CRFasRNN if name == "crf_rnn" else DenseCRF)(3).eval()
    x = normalised(pixels, model)
    with torch.no_grad():
        torch.testing.assert_close(model(x), crf(model.network(x), pixels))


def test_the_picture_is_what_the_normalisation_was_made_of():
    model, pixels = small("crf_rnn"), pictures()
    keep_normalisation(model, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert torch.equal(model.pictures((pixels / 255 - MEAN) / STD), pixels)
    black = small("dense_crf").eval()
    with torch.no_grad():
        assert black(normalised(torch.zeros(1, 3, 8, 8), black)).isfinite().all()
    grey = small("dense_crf", in_channels=1)
    assert torch.equal(grey.pictures((pixels[:, :1] / 255 - 0.5) / 0.5), pixels[:, :1])


def test_crf_rnn_and_a_trainable_crf_learn_with_the_network_and_the_plain_one_leaves_training_alone():
    x = torch.randn(2, 3, 16, 20)
    for name, learns in (("crf_rnn", 3), ("dense_crf(trainable=True)", 2), ("dense_crf", 0)):
        model = small(name).train()
        model(x).square().mean().backward()
        gradients = [p.grad for p in model.crf.parameters()]
        assert len(gradients) == learns and all(g is not None and g.abs().sum() > 0 for g in gradients)
        assert all(p.grad is not None for p in model.network.parameters())
        if not learns:
            torch.testing.assert_close(model(x), model.network(x))


@pytest.mark.parametrize("name", ["crf_rnn", "dense_crf"])
def test_the_map_is_how_much_of_a_pixel_the_crf_moved(name):
    model, x = small(name).eval(), torch.randn(2, 3, 16, 20)
    with fv.record(model) as maps, torch.no_grad():
        refined = model(x)
        alone = model.network(x)
    expected = (refined.softmax(1) - alone.softmax(1)).abs().sum(1, keepdim=True) / 2
    torch.testing.assert_close(maps["map"], expected)
    assert 0 < expected.max() <= 1


def test_other_outputs_come_out_as_the_network_gives_them():
    model = fv.create_model("crf_rnn(model=danet(encoder=timm/test_resnet, side=True))", classes=3)
    out = model.train()(torch.randn(2, 3, 33, 40))
    assert set(out) == {"out", "aux_position", "aux_channel", "aux"} == {"out", *model.aux}
    assert model.aux_weights == model.network.aux_weights != {}


def test_weights_of_the_network_alone_leave_the_crf_its_start(tmp_path):
    network = fv.create_model("unet(encoder=resnet8)", classes=3)
    torch.save(network.state_dict(), tmp_path / "unet.pth")
    model = fv.create_model("crf_rnn(model=unet, encoder=resnet8)", classes=3, weights=tmp_path / "unet.pth")
    assert all(torch.equal(v, model.network.state_dict()[n]) for n, v in network.state_dict().items())
    assert torch.equal(model.crf.compatibility_matrix, torch.eye(3))
    torch.save(model.state_dict(), tmp_path / "both.pth")
    again = fv.create_model("crf_rnn(model=unet, encoder=resnet8)", classes=3, weights=tmp_path / "both.pth")
    x = torch.randn(1, 3, 16, 20)
    with torch.no_grad():
        assert torch.equal(again.eval()(x), model.eval()(x))


def test_the_authors_file_goes_into_two_parts(tmp_path):
    matrices = {f"crfrnn.{n}": torch.eye(3) for n in CRFasRNN(3).state_dict()}
    torch.save(matrices, tmp_path / "crfrnn_weights.pth")
    model = small("crf_rnn")
    with pytest.raises(CheckpointError, match=r"fv.load_published\(model.crf"):
        fv.load_published(model, tmp_path / "crfrnn_weights.pth")
    assert fv.load_published(model.crf, tmp_path / "crfrnn_weights.pth") == ()


@pytest.mark.parametrize(
    ("name", "classes", "said"),
    [
        ("crf_rnn(model=resnet8)", 3, "segmentation network"),
        ("dense_crf(model=torchvision/resnet18)", 3, "segmentation network"),
        ("crf_rnn", 1, "classes"),
        ("crf_rnn(colour=0)", 3, "colour"),
        ("dense_crf(normalise=always)", 3, "normalise"),
    ],
)
def test_what_cannot_be_is_told(name, classes, said):
    with pytest.raises(OptionError, match=said):
        fv.create_model(name, classes=classes)
