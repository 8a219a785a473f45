"""The toy classifier of the reference values: every weight by a formula, in float64.

``reference.json`` was computed with it by other programs, in NumPy, and checked against torch-cam,
pytorch-grad-cam's imputer, captum and Quantus where those are right.
"""

import json
import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

REFERENCE = json.loads((Path(__file__).parent / "reference.json").read_text())
SEEDS = (0, 1, 2, 3)
TARGET_LAYER = 3  # the second ReLU


def wave(shape, k, seed, scale):
    i = torch.arange(math.prod(shape))
    m = (37 * i * i + 131 * i + 211 * k + 71 * seed) % 997
    return (scale * torch.sin(2 * math.pi * m.double() / 997)).view(shape)


def picture(seed):
    i, j = torch.arange(12.0, dtype=torch.float64)[:, None], torch.arange(12.0, dtype=torch.float64)
    rows = [0.5 + 0.5 * torch.sin(0.55 * i + 0.35 * j * (1 + 0.1 * seed) + 1.3 * c + seed) for c in range(3)]
    return torch.stack(rows)[None]


WEIGHTS = {
    "0": ((4, 3, 3, 3), 1, 0.35),
    "2": ((6, 4, 3, 3), 3, 0.3),
    "4": ((8, 6, 3, 3), 5, 0.3),
    "8": ((5, 8), 7, 1.0),
}


def weights(layer, seed):
    shape, k, scale = WEIGHTS[layer]
    return wave(shape, k, seed, scale), wave(shape[:1], k + 1, seed, 0.1)


class Mean(nn.Module):
    def forward(self, x):
        return x.mean(dim=(2, 3))


def network(seed):
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(4, 6, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(6, 8, 3, padding=1),
        nn.ReLU(),
        Mean(),
        nn.Identity(),
        nn.Linear(8, 5),
    ).double()
    with torch.no_grad():
        for layer in WEIGHTS:
            weight, bias = weights(layer, seed)
            model[int(layer)].weight.copy_(weight)
            model[int(layer)].bias.copy_(bias)
    return model.eval()


def up(small):
    small = torch.as_tensor(small, dtype=torch.float64)
    return F.interpolate(small.view(1, 1, 6, 6), size=(12, 12), mode="bilinear", align_corners=False)[0]


def hires(model, x, target):
    """Return the raw HiResCAM of the target layer (B, 12, 12)."""
    a = model[: TARGET_LAYER + 1](x.detach())
    a.requires_grad_()
    logits = model[TARGET_LAYER + 1 :](a)
    rows = torch.arange(len(x))
    (g,) = torch.autograd.grad(logits[rows, torch.as_tensor(target).expand(len(x))].sum(), a)
    small = (g * a).sum(dim=1, keepdim=True).detach()
    return F.interpolate(small, size=x.shape[-2:], mode="bilinear", align_corners=False)[:, 0]


def gradient(model, x, target):
    x = x.detach().requires_grad_()
    return torch.autograd.grad(model(x)[:, target].sum(), x)[0]


def integrated_gradients(model, x, target, nodes=50):
    places, shares = np.polynomial.legendre.leggauss(nodes)
    parts = [w / 2 * gradient(model, x * (p + 1) / 2, target) for p, w in zip(places, shares, strict=True)]
    return x * torch.stack(parts).sum(dim=0)


def judged_maps(seed):
    """Return the eight maps of the reference values (1, 12, 12)."""
    found, model, x = REFERENCE[str(seed)], network(seed), picture(seed)
    i, j = torch.arange(12.0, dtype=torch.float64)[:, None], torch.arange(12.0, dtype=torch.float64)
    sparse = torch.zeros(12, 12, dtype=torch.float64)
    sparse[:3, :3] = torch.linspace(0.1, 1, 9, dtype=torch.float64).view(3, 3)
    centre = torch.exp(-((i - 5.5) ** 2 + (j - 5.5) ** 2) / (2 * 3.0**2))
    ig = integrated_gradients(model, x, found["target"])
    return {
        "hires_cam": up(found["cams_6x6"]["hires_cam_raw"]),
        "grad_cam_relu": up(
            torch.tensor(found["cams_6x6"]["grad_cam_raw"], dtype=torch.float64).clamp_min(0)
        ),
        "layer_cam": up(found["cams_6x6"]["layer_cam"]),
        "ig_abs": ig.abs().sum(dim=1),
        "centre_gauss_sigma_3": centre[None],
        "sobel_magnitude_grey_mean": torch.tensor(
            found["maps_12x12"]["sobel_magnitude_grey_mean"], dtype=torch.float64
        )[None],
        "random_wave": wave((1, 12, 12), 60, seed, 1.0),
        "sparse_9_of_144": sparse[None],
    }


def true_mask(seed):
    i, j = torch.arange(12)[:, None], torch.arange(12)
    return ((i - 3 - seed) ** 2 + (j - 8 + seed) ** 2 <= 2.5**2)[None]
