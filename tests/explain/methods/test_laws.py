"""What must hold for methods whatever the network."""

import pytest
import torch
from torch import nn

import foveate as fv
from foveate.explain.methods import RISE, GradCAM, HiResCAM, IntegratedGradients, SmoothGrad
from foveate.explain.methods.occlusion import squares
from foveate.explain.question import Question
from tests.each import each

GAP = (nn.AdaptiveAvgPool2d(1), nn.Flatten())


def small(*head, channels=6):
    torch.manual_seed(0)
    body = nn.Conv2d(3, channels, 3, stride=2), nn.Tanh()
    return nn.Sequential(*body, *(head or (*GAP, nn.Linear(channels, 4)))).double().eval()


X = torch.rand(2, 3, 16, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def test_hires_cam_is_grad_cam_behind_global_average_pooling_and_one_linear_layer():
    (m,) = Question(small(), X).layer_maps()
    assert m.layer.path == "1"
    positive = HiResCAM().combine(m.activations, m.gradients).relu()
    torch.testing.assert_close(GradCAM().combine(m.activations, m.gradients), positive)


def test_hires_cam_adds_up_to_the_logit_where_only_linear_layers_follow():
    model = small(nn.Flatten(), nn.Linear(6 * 7 * 5, 4))
    (m,) = Question(model, X, 2).layer_maps()
    total = HiResCAM().combine(m.activations, m.gradients).sum(dim=(1, 2))
    torch.testing.assert_close(total + model[-1].bias[2], model(X)[:, 2])


def test_a_map_scales_with_the_logit():
    model = small()
    once = fv.explain(model, X, "grad_cam", target=1)
    with torch.no_grad():
        model[-1].weight *= 3
    torch.testing.assert_close(fv.explain(model, X, "grad_cam", target=1), 3 * once)


@each([5, 20, 80])
def test_integrated_gradients_are_complete_for_a_smooth_network(steps):
    model = small()
    found = IntegratedGradients(steps=steps, baseline=0.3)(Question(model, X, 1)).sum(dim=(1, 2))
    change = model(X)[:, 1] - model(torch.full_like(X, 0.3))[:, 1]
    torch.testing.assert_close(found, change, rtol=1e-2 / steps, atol=0)


def test_smooth_grad_without_noise_is_saliency():
    model = small()
    found = SmoothGrad(samples=3, sigma=0.0)(Question(model, X, 1))
    torch.testing.assert_close(found.float(), fv.explain(model, X, "saliency", target=1))


def test_saliency_is_the_largest_absolute_gradient_among_colours():
    model = small()
    x = X.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(model(x)[:, 1].sum(), x)
    torch.testing.assert_close(fv.explain(model, X, "saliency", target=1), gradient.abs().amax(1).float())
    torch.testing.assert_close(
        fv.explain(model, X, "input_x_gradient", target=1), (gradient * X).sum(1).float()
    )


class Pixel(nn.Module):
    """The brightness of one pixel as the logit of class 1 of two."""

    def forward(self, x):
        return torch.stack([x.new_zeros(len(x)), 4 * x[:, :, 10, 3].mean(1) - 2], dim=1)


@each(
    [
        "rise(masks=600)",
        "occlusion(size=2)",
        "saliency",
        "integrated_gradients(steps=4)",
        "smooth_grad(samples=2)",
    ]
)
def test_the_one_pixel_that_counts_is_found(method):
    x = torch.ones(1, 3, 16, 12)
    found = fv.explain(Pixel(), x, method, target=1)[0]
    row, column = divmod(int(found.argmax()), 12)
    assert abs(row - 10) <= 1 and abs(column - 3) <= 1


def test_rise_is_the_mean_of_masks_weighted_by_probability():
    model = small()
    rise = RISE(masks=40, cells=3, visible=0.4, seed=5)
    masks = torch.cat(list(rise.draw(16, 12))).double()
    assert masks.shape == (40, 16, 12) and masks.min() >= 0 and masks.max() <= 1
    for i in range(2):
        p = torch.stack([model(X[i : i + 1] * mask).softmax(1)[0, 2] for mask in masks])
        expected = (p[:, None, None] * masks).sum(0) / (40 * 0.4)
        torch.testing.assert_close(rise(Question(model, X, 2))[i], expected)


def test_rise_masks_show_their_share():
    masks = torch.cat(list(RISE(masks=1000, visible=0.3).draw(30, 20)))
    assert masks.mean().item() == pytest.approx(0.3, abs=0.02)


@each([(5, 7, 2, 2), (12, 9, 4, 3), (3, 3, 5, 1), (1, 8, 1, 1)])
def test_squares_cover_every_pixel(case):
    height, width, size, stride = case
    found = squares(height, width, size, stride)
    assert (found.sum(0) > 0).all()
    assert (found.sum((1, 2)) == min(size, height) * min(size, width)).all()


def test_the_gradients_of_a_named_class_need_no_run_of_the_unchanged_images() -> None:
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 4 * 4, 5))
    runs = []
    model.register_forward_hook(lambda _m, given, _out: runs.append(len(given[0])))
    images = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    named = fv.explain(model, images, "integrated_gradients(steps=4)", target=[1, 3])
    assert runs == [8]
    weights = model[1].weight.detach()[[1, 3]].view(2, 3, 4, 4)
    torch.testing.assert_close(named, (weights * images).sum(dim=1))  # of a linear model, exactly
    runs.clear()
    predicted = model(images).argmax(dim=1).tolist()
    runs.clear()
    torch.testing.assert_close(
        fv.explain(model, images, "integrated_gradients(steps=4)"),
        fv.explain(model, images, "integrated_gradients(steps=4)", target=predicted),
    )
    assert sorted(runs) == [2, 8, 8]  # what is predicted must be known
