"""Every formula against values computed elsewhere, in float64; and where other packages are wrong."""

import pytest
import torch
from torch.nn import functional as F

from foveate.explain.methods import (
    GradCAM,
    GradCAMPlusPlus,
    HiResCAM,
    IntegratedGradients,
    LayerCAM,
    Occlusion,
    ScoreCAM,
    XGradCAM,
)
from foveate.explain.methods.eigen_cam import first_component
from foveate.explain.question import Question
from tests.each import each
from tests.explain.methods.toy_networks import SEEDS, ToyCNN, image, tensor, values

CLOSE = {"atol": 1e-9, "rtol": 0}


def at_act2(seed, target=None):
    (found,) = Question(ToyCNN(seed), image(seed), target, ["act2"]).layer_maps()
    return found.activations, found.gradients


@each(SEEDS)
def test_maps_of_a_layer(seed):
    known, (a, g) = values(seed)["cnn"]["cams_6x6"], at_act2(seed)
    for method, name in (
        (GradCAM(), "grad_cam_raw"),
        (HiResCAM(), "hires_cam_raw"),
        (LayerCAM(), "layer_cam"),
        (GradCAMPlusPlus(), "grad_cam_pp_paper"),
        (XGradCAM(), "x_grad_cam_raw"),
    ):
        expected = tensor(known[name])
        expected = expected.relu() if not method.signed else expected
        torch.testing.assert_close(method.combine(a, g)[0], expected, **CLOSE, msg=name)
    torch.testing.assert_close(first_component(a)[0], tensor(known["eigen_cam_centred_sign_fixed"]), **CLOSE)


@each(SEEDS)
def test_maps_of_another_class(seed):
    known = values(seed)["cnn"]
    a, g = at_act2(seed, known["second_class"])
    for method, name in (
        (GradCAM(), "grad_cam_raw"),
        (HiResCAM(), "hires_cam_raw"),
        (LayerCAM(), "layer_cam"),
    ):
        expected = tensor(known["cams_6x6_second_class"][name])
        expected = expected.relu() if not method.signed else expected
        torch.testing.assert_close(method.combine(a, g)[0], expected, **CLOSE, msg=name)


@each(SEEDS)
def test_score_cam(seed):
    found = ScoreCAM()(Question(ToyCNN(seed), image(seed), None, ["act2"]))
    known = tensor(values(seed)["cnn"]["cams_6x6"]["score_cam_raw"]).relu()
    expected = F.interpolate(known[None, None], (12, 12), mode="bilinear", align_corners=False)[0]
    torch.testing.assert_close(found, expected, **CLOSE)


@each(SEEDS)
def test_integrated_gradients(seed):
    """50 nodes leave some percent to the kinks of ReLU; captum's trapezoid rule loses 1 / n besides."""
    known = values(seed)["cnn"]
    found = IntegratedGradients()(Question(ToyCNN(seed), image(seed)))
    torch.testing.assert_close(found[0], tensor(known["integrated_gradients_channel_sum"]), **CLOSE)
    model, x = ToyCNN(seed), image(seed)
    change = (model(x) - model(torch.zeros_like(x)))[0, known["target"]].item()
    assert change == pytest.approx(known["integrated_gradients_delta"], abs=1e-9)
    assert found.sum().item() == pytest.approx(change, rel=0.02)


@each(SEEDS)
def test_occlusion(seed):
    found = Occlusion(size=3, stride=3)(Question(ToyCNN(seed), image(seed)))
    known = tensor(values(seed)["cnn"]["occlusion_3x3_prob_drop"])
    torch.testing.assert_close(found[0], known.repeat_interleave(3, 0).repeat_interleave(3, 1), **CLOSE)


@each(SEEDS)
def test_grad_cam_pp_is_not_the_sum_of_products(seed):
    """The sum in its denominator is over A. Copies that sum A g^3 or never divide are far from the paper."""
    known, (a, g) = values(seed)["cnn"]["cams_6x6"], at_act2(seed)
    found = GradCAMPlusPlus().combine(a, g)[0]
    wrong = tensor(known["grad_cam_pp_sum_of_products"])
    undivided = ((g.relu() ** 3).sum(dim=(2, 3), keepdim=True) * a).sum(dim=1).relu()[0]
    for other in (wrong, undivided):
        assert (found - other).norm() > 1e-3 * found.norm()


def test_grad_cam_pp_without_gradient_is_zero():
    a, g = torch.rand(1, 2, 3, 3), torch.zeros(1, 2, 3, 3)
    assert not GradCAMPlusPlus().combine(a, g).any()


@each(SEEDS)
def test_eigen_cam_is_not_inverted(seed):
    """The decomposition leaves the sign open: here the largest absolute value is positive."""
    a, _ = at_act2(seed)
    found = first_component(a)
    assert found.max() >= -found.min()
    x = (a - a.mean(dim=(2, 3), keepdim=True)).flatten(2)[0].T
    _, variance, _ = torch.linalg.svd(x)
    assert found.square().sum().item() == pytest.approx(variance[0].square().item())
