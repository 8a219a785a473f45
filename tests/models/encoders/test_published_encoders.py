"""Encoders against networks of others, or written out, with the same weights."""

import timm
import torch
from pytest import mark, raises
from tests.drawn import drawn, unset
from tests.models.segmentation.published_networks import DRN54, Xception39

from foveate.errors import OptionError, ShapeError
from foveate.models.encoders.build_encoder import build_encoder
from foveate.models.weight_names import translated
from foveate.models.weights import put_weights


def image(size=(65, 49)):
    return torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(3))


def same(ours, theirs):
    assert theirs.std() > 1e-3
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@mark.parity("encoders.xception39")
def test_xception39_is_the_one_of_bisenets_authors():
    theirs, ours = drawn(Xception39()), build_encoder("xception39").eval()
    ours.load_state_dict(theirs.state_dict())
    with torch.no_grad():
        for mine, other in zip(ours(image())[-3:], theirs(image()), strict=True):
            same(mine, other)


@mark.slow
def test_the_authors_xception65_adds_more_to_a_variance_and_its_names_load():
    theirs = drawn(unset(timm.create_model, "xception65"))
    x = image()
    with torch.no_grad():
        expected = theirs.forward_features(x)
        for eps, equal in ((1e-3, True), (1e-5, False)):
            ours = unset(build_encoder, "xception65", eps=eps).eval()
            put_weights(ours, translated(theirs.state_dict(), ours), classes=1000, origin="timm's")
            found = ours(x)[-1]
            assert torch.allclose(found, expected, rtol=1e-4, atol=1e-4) == equal


@mark.slow
@mark.parity("encoders.xception")
def test_xception_is_timms():
    theirs, ours = drawn(unset(timm.create_model, "legacy_xception")), unset(build_encoder, "xception").eval()
    own = {name: value for name, value in theirs.state_dict().items() if not name.startswith("fc.")}
    ours.load_state_dict(own)
    with torch.no_grad():
        same(ours(image((71, 58)))[-1], theirs.forward_features(image((71, 58))))


@mark.slow
@mark.parity("encoders.drn")
def test_drn_is_the_authors():
    theirs, ours = drawn(unset(DRN54)), unset(build_encoder, "drn_d_54", output_stride=8).eval()
    state = translated({**theirs.state_dict(), "fc.weight": torch.ones(1)}, ours)
    put_weights(ours, state, classes=1000, origin="the authors'")
    with torch.no_grad():
        maps, (fine, last) = ours(image()), theirs(image())
    same(maps[2], fine)
    same(maps[-1], last)
    assert [tuple(y.shape[1:]) for y in maps] == [
        (16, 65, 49), (32, 33, 25), (256, 17, 13), (512, 9, 7), (512, 9, 7),
    ]  # fmt: skip


@mark.parametrize(
    "name, total",
    [("drn_d_22", 15_880_752), ("drn_d_54", 35_296_176), ("drn_d_105", 54_288_304), ("xception", 20_806_952)],
)
def test_numbers_of_parameters(name, total):
    with torch.device("meta"):
        encoder = build_encoder(name, output_stride=8)
    assert sum(p.numel() for p in encoder.parameters()) == total


def test_what_they_cannot_do_is_told():
    with torch.device("meta"):
        with raises(OptionError, match="output_stride=8"):
            build_encoder("drn_d_54")
        with raises(OptionError, match="eps"):
            build_encoder("xception65", eps=0)
        with raises(OptionError, match="layout"):
            build_encoder("xception65", layout="vainf")
    with raises(ShapeError, match="larger images"):
        build_encoder("xception", output_stride=16, layout="vainf").eval()(image((33, 33)))
