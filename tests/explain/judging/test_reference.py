"""Every metric against values that other programs computed, in float64."""

import numpy as np
import pytest
import torch

from foveate.explain.judging.baselines import baselines
from foveate.explain.judging.fills import rise_kernel
from foveate.explain.judging.infidelity import Infidelity
from foveate.explain.judging.judge import judge
from foveate.explain.judging.metric import Maps
from foveate.explain.judging.randomisation import Randomisation, layers_from_output
from foveate.explain.judging.read_subject import read_subject
from foveate.explain.judging.sensitivity import relative_change
from foveate.explain.judging.similarity import pearson
from tests.explain.judging.toy import (
    REFERENCE,
    SEEDS,
    gradient,
    hires,
    integrated_gradients,
    judged_maps,
    network,
    picture,
    true_mask,
    wave,
    weights,
)

NEAR = pytest.approx
RISE = "blur=rise, kernel=5, sigma=2"
CURVES = {
    "deletion(steps=12)": "deletion_zero",
    "insertion(steps=12, fill=zero)": "insertion_zero",
    "deletion(steps=12, fill=mean)": "deletion_mean",
    "insertion(steps=12, fill=mean)": "insertion_mean",
    f"deletion(steps=12, fill=blur, {RISE})": "deletion_blur",
    f"insertion(steps=12, fill=blur, {RISE})": "insertion_blur",
}
LOCALISED = {
    "energy": "energy_positive",
    "rank": "rank_accuracy",
    "overlap": "iou_top_K",
    "top_k(k=10)": "top10_intersection",
    "roc_auc": "roc_auc",
}
POINTED = {0: "pointing", 2: "pointing(tolerance=2)", 4: "pointing(tolerance=4)"}
FORM = {"gini": "gini", "entropy": "entropy_nats"}
ROAD = "road(steps=4, noise=0)"


@pytest.mark.parametrize("seed", SEEDS)
def test_the_toy_is_that_of_the_reference(seed):
    with torch.no_grad():
        assert network(seed)(picture(seed))[0].tolist() == NEAR(REFERENCE[str(seed)]["logits"], abs=1e-10)
    found = hires(network(seed), picture(seed), REFERENCE[str(seed)]["target"])
    assert torch.allclose(found, judged_maps(seed)["hires_cam"], atol=1e-10)


@pytest.mark.parametrize("seed", SEEDS)
def test_judged_maps(seed):
    known = REFERENCE[str(seed)]
    texts = [*CURVES, ROAD, *LOCALISED, *POINTED.values(), *FORM]
    for name, maps in judged_maps(seed).items():
        expected = known["judged_12x12"][name]
        found = judge(
            network(seed), picture(seed), maps, texts, masks=true_mask(seed), baselines=(), grid=None
        )
        for text, key in CURVES.items():
            assert found[text][0] == NEAR(expected[key]["auc"], abs=1e-9), (name, text)
            assert found[text].curves["curve"][0].tolist() == NEAR(expected[key]["scores"], abs=1e-9)
        road = expected["road"]
        assert found[ROAD][0] == NEAR(road["combined"], abs=1e-9)
        assert found[ROAD].curves["morf"][0].tolist() == NEAR(road["morf"], abs=1e-9)
        assert found[ROAD].curves["lerf"][0].tolist() == NEAR(road["lerf"], abs=1e-9)
        for text, key in (LOCALISED | FORM).items():
            value = expected["localisation"].get(key, expected.get(key))
            assert found[text][0] == NEAR(value, abs=1e-9), (name, text)
        for tolerance, text in POINTED.items():
            assert found[text][0] == expected["localisation"]["pointing"][f"tolerance_{tolerance}"], (
                name,
                text,
            )


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", ["ig", "gradient"])
def test_infidelity(seed, kind):
    known = REFERENCE[str(seed)]
    expected, model, x = known[f"infidelity_{kind}"], network(seed), picture(seed)
    make = {"ig": integrated_gradients, "gradient": gradient}[kind]
    maps = make(model, x, known["target"])
    found = judge(model, x, maps, "infidelity(local=True)", baselines=())["infidelity(local=True)"]
    assert found[0] == NEAR(expected["normalised"], abs=1e-9)
    assert found.extra["raw"][0] == NEAR(expected["infidelity"], abs=1e-9)
    assert found.extra["beta"][0] == NEAR(expected["beta"], abs=1e-9)
    assert found.extra["correlation"][0] == NEAR(expected["pearson_dot_drop"], abs=1e-9)


def test_squares_are_removed_from_the_untouched_picture():
    """Quantus perturbs the already perturbed picture, and so reports 18 times the error of the reference."""
    known, model, x = REFERENCE["0"], network(0), picture(0)
    drops = Infidelity()._drops(read_subject(model, x, None, known["target"]))[0]
    assert drops.tolist() == NEAR(known["infidelity_ig"]["drop"], abs=1e-9)
    ig, kept, cumulative = integrated_gradients(model, x, known["target"]), x.clone(), []
    for square in range(16):
        down, right = 3 * (square // 4), 3 * (square % 4)
        kept[:, :, down : down + 3, right : right + 3] = 0
        with torch.no_grad():
            drop = (model(x) - model(kept))[0, known["target"]]
        cumulative.append(float((((x - kept) * ig).sum() - drop) ** 2))
    assert np.mean(cumulative) == NEAR(0.012072, abs=1e-6)
    assert known["infidelity_ig"]["infidelity"] == NEAR(0.000658, abs=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_sensitivity(seed):
    known, model, x = REFERENCE[str(seed)], network(seed), picture(seed)
    before = gradient(model, x, known["target"])
    changes = [
        float(
            relative_change(before, gradient(model, x + wave(x.shape, 20 + k, 0, 0.02), known["target"]))[0]
        )
        for k in range(4)
    ]
    assert changes == NEAR(known["sensitivity_gradient"]["each"], abs=1e-9)
    assert max(changes) == NEAR(known["sensitivity_gradient"]["max"], abs=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_cascading_randomisation(seed):
    known, model, x = REFERENCE[str(seed)], network(seed), picture(seed)
    names = {"8": "fc", "4": "conv3", "2": "conv2", "0": "conv1"}
    maps = Maps("hires", hires(model, x, known["target"]), explain=hires)

    def other_weights(name, _parameter):
        layer, _, kind = name.partition(".")
        return dict(zip(("weight", "bias"), weights(layer, seed + 1000), strict=True))[kind]

    subject = read_subject(model, x, None, known["target"])
    curve = {names[layer]: one[0] for layer, one in Randomisation().cascade(maps, subject, other_weights)}
    expected = {name: one["spearman"] for name, one in known["cascading_randomisation_hires_cam"].items()}
    assert [*curve] == ["fc", "conv3", "conv2", "conv1"]
    assert curve == NEAR(expected, abs=1e-9)
    assert [name for name, _ in layers_from_output(model, x)] == ["8", "4", "2", "0"]


@pytest.mark.parametrize("seed", SEEDS)
def test_baselines_of_the_reference(seed):
    subject = read_subject(network(seed), picture(seed), None, None)
    maps = judged_maps(seed)
    for name, key in {"centre": "centre_gauss_sigma_3", "edges": "sobel_magnitude_grey_mean"}.items():
        assert torch.allclose(baselines[name].make(subject, (6, 6), 0), maps[key], atol=1e-10)


def test_the_kernel_of_rise():
    """A Gaussian whose tails a box has folded back, not a truncated one: nearly a box itself."""
    assert rise_kernel(5, 2.0).flatten().tolist() == NEAR(
        np.ravel(REFERENCE["0"]["blur_kernel_5_sigma_2"]).tolist(), abs=1e-11
    )
    usual = rise_kernel(11, 5.0)
    assert float(usual[5, 5]) == NEAR(0.008833, abs=1e-6) and float(usual[0, 0]) == NEAR(0.007737, abs=1e-6)
    assert float(usual.sum()) == NEAR(1)


def test_pearson_is_numpys():
    x, y = np.random.default_rng(0).normal(size=(2, 3, 20))
    assert pearson(x, y).tolist() == NEAR([np.corrcoef(a, b)[0, 1] for a, b in zip(x, y, strict=True)])
