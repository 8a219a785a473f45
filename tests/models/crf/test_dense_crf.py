"""The dense CRF: laws of mean field, closed forms, exact kernels in plain loops, and another library."""

import importlib
import itertools
import math

import numpy as np
import pytest
import torch

from foveate.errors import CheckpointError, OptionError, ShapeError
from foveate.models.crf import CRFasRNN, DenseCRF, backend, mean_field, refine
from foveate.models.crf.kernels import bilateral, gaussian

SMALL = {"position": 4.0, "colour": 20.0, "gaussian_std": 1.5}


def picture(height: int = 16, width: int = 20, labels: int = 3, seed: int = 0, noise: float = 1.0):
    """A picture of smooth colours, and noisy logits of labels that follow them."""
    draw = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, 3, 4, generator=draw) * 255
    image = torch.nn.functional.interpolate(coarse, size=(height, width), mode="nearest")
    true = (image[:, 0] // (256 / labels)).long()
    logits = 2.0 * torch.nn.functional.one_hot(true, labels).permute(0, 3, 1, 2)
    image = (image + 4 * torch.randn(image.shape, generator=draw)).clamp(0, 255)
    return logits + noise * torch.randn(logits.shape, generator=draw), image, true


def kernel(image: torch.Tensor, position: float, colour: float | None) -> np.ndarray:
    """Every pair of pixels, one by one."""
    height, width = image.shape[2:]
    places = list(itertools.product(range(height), range(width)))
    pixels, found = image[0].double().numpy(), np.zeros((len(places),) * 2)
    for i, (y, x) in enumerate(places):
        for j, (v, u) in enumerate(places):
            apart = ((y - v) ** 2 + (x - u) ** 2) / (2 * position**2)
            if colour is not None:
                apart += np.square(pixels[:, y, x] - pixels[:, v, u]).sum() / (2 * colour**2)
            found[i, j] = math.exp(-apart)
    return found


def by_hand(logits, image, iterations, how, weights=(3.0, 10.0), stds=(1.5, 4.0, 20.0)):
    """Mean field over kernels in plain loops."""
    u = logits[0].double().flatten(1).numpy()
    near, alike = kernel(image, stds[0], None), kernel(image, stds[1], stds[2])
    kernels = []
    for weight, k in zip(weights, (near, alike), strict=True):
        d = k.sum(axis=1)
        scaled = {
            "none": k,
            "symmetric": k / np.sqrt(d[:, None] * d[None, :]),
            "after": k / d[:, None],
            "before": k / d[None, :],
        }[how]
        kernels.append(weight * scaled)
    x = u
    for _ in range(iterations):
        q = np.exp(x - x.max(axis=0))
        q /= q.sum(axis=0)
        x = u + sum((k @ q.T).T for k in kernels)
    q = np.exp(x - x.max(axis=0))
    return q / q.sum(axis=0)


@pytest.mark.parametrize("how", ["symmetric", "after", "before", "none"])
def test_exact_is_mean_field_over_all_pairs_written_out(how):
    logits, image, _ = picture(6, 7)
    crf = DenseCRF(3, **SMALL, normalise=how, method="exact", iterations=3).double()
    found = crf(logits.double(), image.double()).softmax(1)[0].flatten(1)
    np.testing.assert_allclose(found, by_hand(logits, image, 3, how), atol=1e-10)


@pytest.mark.parametrize("method", ["exact", "fast"])
def test_without_weight_nothing_changes(method):
    logits, image, _ = picture()
    crf = DenseCRF(3, bilateral_weight=0, gaussian_weight=0, method=method)
    assert torch.equal(crf(logits, image), logits + 0)


@pytest.mark.parametrize("method", ["exact", "fast"])
def test_one_label_is_certain_and_a_blank_picture_stays_as_it_is(method):
    logits, image, _ = picture(labels=1)
    assert (DenseCRF(1, method=method)(logits, image).softmax(1) == 1).all()
    blank, even = torch.full((1, 3, 9, 9), 100.0), torch.tensor([0.3, -1.0]).view(1, 2, 1, 1)
    even = even.expand(1, 2, 9, 9)
    found = DenseCRF(2, method=method, iterations=1, normalise="after")(even, blank).softmax(1)
    assert (found - found[:, :, :1, :1]).abs().max() < 1e-4  # each pixel as every other


def test_a_scalar_weight_is_the_matrix_that_rewards_agreement_and_potts_differs_by_a_constant():
    logits, image, _ = picture()
    scalar = DenseCRF(3, **SMALL)(logits, image).softmax(1)
    potts = DenseCRF(3, **SMALL)
    for name, weight in (("bilateral_compatibility", 10.0), ("gaussian_compatibility", 3.0)):
        setattr(potts, name, weight * (1 - torch.eye(3)))
    # sum over other labels = what the kernel makes of 1, less the label itself; alike for all labels
    torch.testing.assert_close(potts(logits, image).softmax(1), scalar, atol=1e-5, rtol=0)


def test_the_energy_never_rises():
    """With symmetric positive kernels, the self term and Potts, each update is a concave-convex step."""
    for seed in range(2):
        logits, image, _ = picture(5, 6, seed=seed)
        logits, image = logits.double(), image.double()
        near = gaussian(image, 1.5, method="exact")
        alike = bilateral(image, 4.0, 20.0, method="exact")

        def energy(x, logits=logits, near=near, alike=alike):
            q = x.softmax(1)
            together = (q * (3 * near(q) + 10 * alike(q))).sum() / 2
            return float((q * q.log()).sum() - (q * logits).sum() - together)

        energies = [
            energy(DenseCRF(3, **SMALL, method="exact", iterations=n).double()(logits, image))
            for n in range(1, 8)
        ]
        assert all(later <= before + 1e-9 for before, later in itertools.pairwise(energies))


def test_two_pixels_and_two_labels_in_closed_form():
    logits = torch.tensor([[[[0.4, -0.2]], [[0.0, 0.3]]]])
    image = torch.tensor([[[[0.0, 10.0]]] * 3])
    k = math.exp(-1 / (2 * 4.0**2) - 3 * 100 / (2 * 20.0**2))
    crf = DenseCRF(2, **SMALL, gaussian_weight=0, bilateral_weight=2, iterations=1, normalise="none")
    q = logits.softmax(1)[0, :, 0]
    expected = logits[0, :, 0] + 2 * (q + k * q.flip(1))
    torch.testing.assert_close(crf(logits, image)[0, :, 0], expected)


def test_weak_coupling_is_near_the_marginals_of_all_labelings():
    draw = np.random.default_rng(0)
    u, k = draw.normal(size=(2, 6)), draw.random((6, 6)) * 0.1
    k = (k + k.T) / 2
    np.fill_diagonal(k, 0)
    total, marginals = 0.0, np.zeros((2, 6))
    for labeling in itertools.product(range(2), repeat=6):
        agree = sum(k[i, j] for i in range(6) for j in range(i) if labeling[i] == labeling[j])
        weight = math.exp(sum(u[x, i] for i, x in enumerate(labeling)) + agree)
        total += weight
        for i, x in enumerate(labeling):
            marginals[x, i] += weight
    given = torch.from_numpy(u)[None, :, None]
    agreement = [(lambda q: q @ torch.from_numpy(k), torch.eye(2))]
    found = mean_field(given, agreement, 30).softmax(1)[0, :, 0]
    np.testing.assert_allclose(found, marginals / total, atol=0.05)


@pytest.mark.parametrize("compiled", [True, False])
def test_fast_gives_the_labels_of_exact_kernels(compiled, monkeypatch):
    if compiled:
        pytest.importorskip("numba", reason="the compiled loops need numba: pip install 'foveate[crf]'")
    monkeypatch.setattr(backend, "compiled", backend.compiled if compiled else lambda subject: None)
    logits, image, _ = picture(32, 40, 5)
    exact = DenseCRF(5, method="exact")(logits, image).softmax(1)
    fast = DenseCRF(5, method="fast")(logits, image).softmax(1)
    assert (exact.argmax(1) == fast.argmax(1)).float().mean() >= 0.995
    assert (exact - fast).abs().mean() < 0.005


@pytest.mark.parametrize("method", ["fine", "fast"])
@pytest.mark.parametrize("size", [(1, 1), (1, 30), (70, 3), (40, 56)])
def test_compiled_loops_equal_plain_pytorch_with_their_gradients(size, method, monkeypatch):
    pytest.importorskip("numba", reason="the compiled loops need numba: pip install 'foveate[crf]'")
    torch.manual_seed(0)
    image = torch.nn.functional.avg_pool2d(torch.rand(2, 3, *size, dtype=torch.float64) * 255, 3, 1, 1)
    values = torch.randn(2, 5, *size, dtype=torch.float64, requires_grad=True)
    slope, found = torch.randn_like(values), []
    for how in (backend.compiled, lambda subject: None):
        monkeypatch.setattr(backend, "compiled", how)
        for kernel in (bilateral(image, 80, 13, method=method), gaussian(image, 3, method=method)):
            filtered = kernel(values)
            found.append((filtered, *torch.autograd.grad(filtered, values, slope)))
    for compiled, plain in zip(found[:2], found[2:], strict=True):
        torch.testing.assert_close(compiled, plain)


def test_noise_goes_and_edges_stay():
    logits, image, true = picture(32, 40, 4, noise=2.5)
    for method in ("exact", "fast"):
        refined = DenseCRF(4, method=method)(logits, image).argmax(1)
        assert (refined == true).float().mean() > (logits.argmax(1) == true).float().mean() + 0.05


def test_images_of_a_batch_do_not_meet():
    first, second = picture(seed=0), picture(seed=1)
    logits, images = (torch.cat([a, b]) for a, b in zip(first[:2], second[:2], strict=True))
    for method in ("exact", "fast"):
        crf = DenseCRF(3, method=method)
        alone = torch.cat([crf(*first[:2]), crf(*second[:2])])
        torch.testing.assert_close(crf(logits, images), alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("method", ["exact", "fine", "fast"])
def test_gradients_of_logits_and_matrices(method):
    logits, image, _ = picture(3, 4)
    crf = DenseCRF(3, **SMALL, method=method, iterations=2, trainable=True).double()

    def run(x, near, alike):
        matrices = {"gaussian_compatibility": near, "bilateral_compatibility": alike}
        return torch.func.functional_call(crf, matrices, (x, image.double()))

    inputs = (logits.double().requires_grad_(), crf.gaussian_compatibility, crf.bilateral_compatibility)
    # Along random directions where each input would take long; the exact kernels are checked by each input.
    torch.autograd.gradcheck(run, inputs, fast_mode=method != "exact")


def test_gradients_of_the_picture_where_kernels_are_exact():
    logits, image, _ = picture(3, 4)
    crf = DenseCRF(3, **SMALL, method="exact", iterations=1).double()
    torch.autograd.gradcheck(lambda x: crf(logits.double(), x), image.double().requires_grad_())


def test_refine_takes_a_picture_and_probabilities():
    logits, image, _ = picture()
    picture8 = image[0].permute(1, 2, 0).round().to(torch.uint8).numpy()
    found = refine(logits.softmax(1)[0], picture8, iterations=3)
    torch.testing.assert_close(found.sum(0), torch.ones(16, 20))
    whole = torch.from_numpy(picture8).permute(2, 0, 1)[None].float()
    expected = DenseCRF(3, iterations=3)(logits.softmax(1).log(), whole).softmax(1)[0]
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_crf_as_rnn_is_the_dense_crf_normalised_after():
    logits, image, _ = picture()
    options = {"position": 4.0, "colour": 20.0, "gaussian_std": 1.5}
    rnn = CRFasRNN(3, **options).eval()
    plain = DenseCRF(3, **options, gaussian_weight=3, bilateral_weight=5, normalise="after", iterations=10)
    torch.testing.assert_close(rnn(logits, image), plain(logits, image))
    plain.iterations = 5
    torch.testing.assert_close(rnn.train()(logits, image), plain(logits, image))


def test_the_authors_weights_of_crf_as_rnn_load(tmp_path):
    from foveate.models import load_published

    names = ("spatial_ker_weights", "bilateral_ker_weights", "compatibility_matrix")
    state = {f"crfrnn.{name}": torch.randn(21, 21) for name in names} | {"score_fr.bias": torch.zeros(21)}
    torch.save(state, tmp_path / "crfasrnn.pth")
    model = CRFasRNN(21)
    load_published(model, tmp_path / "crfasrnn.pth")
    assert all(torch.equal(getattr(model, name), state[f"crfrnn.{name}"]) for name in names)


@pytest.mark.parametrize("labels", [3, 5])
@pytest.mark.parametrize(("how", "number"), [("symmetric", 3), ("after", 2)])
def test_another_library_agrees(labels, how, number):
    pytest.importorskip("pydensecrf.densecrf", reason="pydensecrf does not build everywhere")
    other = importlib.import_module("pydensecrf.densecrf")
    logits, image, _ = picture(32, 40, labels)
    pixels = image[0].permute(1, 2, 0).round().to(torch.uint8).numpy()
    crf = other.DenseCRF2D(40, 32, labels)
    crf.setUnaryEnergy(np.ascontiguousarray(-logits[0].flatten(1).numpy()))
    rule = other.NormalizationType(number)
    crf.addPairwiseGaussian(sxy=3, compat=3, normalization=rule)
    crf.addPairwiseBilateral(
        sxy=80, srgb=13, rgbim=np.ascontiguousarray(pixels), compat=10, normalization=rule
    )
    theirs = np.array(crf.inference(5)).reshape(labels, 32, 40)
    whole = torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
    for method in ("exact", "fast"):
        ours = DenseCRF(labels, normalise=how, method=method)(logits, whole).softmax(1)[0].numpy()
        assert np.abs(ours - theirs).mean() < 0.005 and np.abs(ours - theirs).max() < 0.05
        assert (ours.argmax(0) == theirs.argmax(0)).mean() >= 0.995


def test_mistakes_are_told():
    crf, (logits, image, _) = DenseCRF(3), picture()
    with pytest.raises(ShapeError, match=r"\(1, 3, 16, 20\) and images \(1, 3, 8, 20\).*Resize"):
        crf(logits, image[:, :, :8])
    with pytest.raises(ShapeError, match=r"expected \(B, 4, H, W\)"):
        DenseCRF(4)(logits, image)
    with pytest.raises(ShapeError, match=r"images.float\(\)"):
        crf(logits, image.to(torch.uint8))
    with pytest.raises(ShapeError, match="Resize one to the other"):
        refine(logits[0].softmax(0), np.zeros((3, 3, 3), np.uint8))
    for option in ({"position": 0.0}, {"method": "quick"}, {"normalise": "rows"}):
        with pytest.raises(OptionError, match=next(iter(option))):
            DenseCRF(3, **option)


@pytest.mark.parametrize("method", ["fine", "fast"])
def test_the_refined_masks_of_noisy_logits_are_better(method):
    logits, image, true = picture(64, 80, 4, noise=2.5)

    def miou(found):
        pairs = [((found == k) & (true == k), (found == k) | (true == k)) for k in range(4)]
        return np.mean([float(both.sum() / either.sum()) for both, either in pairs if either.any()])

    assert miou(DenseCRF(4, method=method)(logits, image).argmax(1)) > miou(logits.argmax(1)) + 0.2


@pytest.mark.parametrize("method", ["exact", "fine", "fast"])
def test_odd_inputs_work(method):
    logits, image, _ = picture(9, 13)
    crf = DenseCRF(3, method=method)
    whole = crf(logits, image)
    turned = crf(logits.mT.contiguous().mT, image.to(memory_format=torch.channels_last))
    torch.testing.assert_close(turned, whole, atol=1e-4, rtol=1e-4)
    assert crf(logits, image[:, :1]).isfinite().all()
    assert crf(logits[:0], image[:0]).shape == (0, 3, 9, 13)
    for half in (torch.float16, torch.bfloat16):
        found = crf(logits.to(half), image)
        assert found.dtype == half
        torch.testing.assert_close(found, crf(logits.to(half).float(), image).to(half))


def test_images_in_another_unit_than_colour_are_refused():
    logits, image, _ = picture()
    for odd in (image / 255, image / 50 - 2.5):
        with pytest.raises(OptionError, match=r"colour=13.*Multiply images of 0 to 1 by 255"):
            DenseCRF(3)(logits, odd)
    assert DenseCRF(3, colour=13 / 255)(logits, image / 255).isfinite().all()
    assert DenseCRF(3)(logits, torch.zeros_like(image)).isfinite().all()  # a black picture
    with pytest.raises(ShapeError, match="infinity or NaN"):
        DenseCRF(3)(logits, image / 0)


def test_weights_that_a_crf_as_rnn_does_not_know_are_named(caplog):
    names = ("spatial_ker_weights", "bilateral_ker_weights", "compatibility_matrix")
    state = {f"crfrnn.{name}": torch.eye(3) for name in names}
    with pytest.raises(CheckpointError, match=r"crfrnn\.more"):
        CRFasRNN(3).from_published(state | {"crfrnn.more": torch.zeros(1)})
    assert len(CRFasRNN(3).from_published(state | {"score_fr.bias": torch.zeros(3)})) == 3
    assert "score_fr.bias" in caplog.text and "load them into that network" in caplog.text
