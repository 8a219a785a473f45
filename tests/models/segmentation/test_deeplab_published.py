"""DeepLabv3+ with the weights of much-used repositories: loaded, and computing the same."""

import torch
from pytest import mark, param, raises

import foveate as fv
from foveate.errors import CheckpointError
from foveate.models.published import load_published
from tests.drawn import drawn, unset
from tests.models.segmentation import published_networks as networks

BACKBONES = {  # ours: theirs, channels of its fine and of its last map
    "mobilenet_v2": (networks.JFMobile, 24, 320),
    "xception65": (networks.JFXception, 128, 2048),
    "drn_d_54": (networks.DRN54, 256, 512),
    "resnet50": (networks.Stages, 256, 2048),
}


def jfzhang(encoder, stride):
    backbone, low, deep = BACKBONES[encoder]
    rates = (6, 12, 18) if stride == 16 else (12, 24, 36)
    return drawn(unset(networks.JFZhang, backbone(stride), low, deep, rates, 5))


def loaded(tmp_path, theirs, **options):
    torch.save({"epoch": 50, "state_dict": theirs.state_dict(), "best_pred": 0.78}, tmp_path / "best.pth.tar")
    ours = unset(fv.create_model, "deeplabv3plus", classes=5, **options)
    assert load_published(ours, tmp_path / "best.pth.tar") == ()
    return ours.eval()


@mark.slow
@mark.parametrize(
    "encoder, stride",
    [
        ("mobilenet_v2", 16),
        param("mobilenet_v2", 8, marks=mark.nightly),
        param("xception65", 16, marks=mark.nightly),
        param("resnet50", 16, marks=mark.nightly),
        param("drn_d_54", 8, marks=mark.nightly),
    ],
)
def test_jfzhang95s_networks_compute_what_they_did(tmp_path, encoder, stride):
    theirs = jfzhang(encoder, stride)
    asked = 16 if encoder == "drn_d_54" else stride  # as there: 8, whatever is asked for
    ours = loaded(tmp_path, theirs, layout="jfzhang95", encoder=encoder, output_stride=asked)
    x = torch.randn(1, 3, 65, 49, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        expected = theirs(x)
        torch.testing.assert_close(ours(x), expected, rtol=1e-4, atol=1e-4)
    assert expected.std() > 1e-2


@mark.nightly
@mark.parametrize("encoder", ["xception65", "resnet50"])
def test_jfzhang95s_networks_at_stride_8(tmp_path, encoder):
    theirs = jfzhang(encoder, 8)
    ours = loaded(tmp_path, theirs, layout="jfzhang95", encoder=encoder, output_stride=8)
    x = torch.randn(1, 3, 49, 65, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x), rtol=1e-4, atol=1e-4)


def test_dropout_stands_where_jfzhang95_has_it():
    with torch.device("meta"):
        model = fv.create_model("deeplabv3plus", classes=5, layout="jfzhang95", encoder="mobilenet_v2")
    shares = [m.p for m in model.modules() if isinstance(m, torch.nn.Dropout)]
    assert shares == [0.5, 0.5, 0.1]


@mark.slow
def test_vainfs_xception_computes_what_it_did(tmp_path):
    theirs = drawn(unset(VainF, networks.VainFXception()))
    ours = loaded(tmp_path, theirs, layout="vainf", encoder="xception")
    x = torch.randn(1, 3, 129, 113, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        expected = theirs(x)
        torch.testing.assert_close(ours(x), expected, rtol=1e-4, atol=1e-4)


class VainF(torch.nn.Module):
    """The head of VainF/DeepLabV3Plus-Pytorch."""

    def __init__(self, backbone):
        super().__init__()
        self.backbone, self.classifier = backbone, torch.nn.Module()
        self.classifier.project, self.classifier.aspp = networks.chain((128, 48, 1)), torch.nn.Module()
        looks = [networks.chain((2048, 256, 3, 1, rate)) for rate in (6, 12, 18)]
        pool = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), *networks.chain((2048, 256, 1)))
        self.classifier.aspp.convs = torch.nn.ModuleList([networks.chain((2048, 256, 1)), *looks, pool])
        self.classifier.aspp.project = networks.chain((1280, 256, 1))
        scores = torch.nn.Conv2d(256, 5, 1)
        self.classifier.classifier = torch.nn.Sequential(*networks.chain((304, 256, 3)), scores)

    def forward(self, x):
        (fine, deep), head = self.backbone(x), self.classifier
        looks = [look(deep) for look in head.aspp.convs]
        looks[4] = looks[4].expand_as(looks[0])
        fine = head.project(fine)
        deep = head.aspp.project(torch.cat(looks, 1))
        deep = networks.interpolate(deep, fine.shape[2:], mode="bilinear")
        y = head.classifier(torch.cat([fine, deep], 1))
        return networks.interpolate(y, x.shape[2:], mode="bilinear")


@mark.slow
def test_another_layout_is_told_by_name():
    with torch.device("meta"):
        state = fv.create_model("deeplabv3plus", classes=5, layout="jfzhang95", encoder="mobilenet_v2")
        names = networks.JFZhang(networks.JFMobile(16), 24, 320, (6, 12, 18), 5).state_dict()
        assert state.from_published(names).keys() == state.state_dict().keys()
        for layout in ("paper", "vainf", "smp"):
            other = fv.create_model("deeplabv3plus", classes=5, layout=layout, encoder="mobilenet_v2")
            with raises(CheckpointError, match='layout="jfzhang95"'):
                other.from_published(names)
