"""Noisy linear imputation: removed pixels become weighted means of their neighbours, all at once.

Paper   Rong, Leemann, Borisov, Kasneci, Kasneci. A Consistent and Efficient Evaluation Strategy for
        Attribution Methods. ICML 2022. arXiv:2202.00449, sec. 4.3 (weights 1/6 beside, 1/12 across corners).
Differs from the paper: weights of neighbours outside of the picture are dropped and the others divided by
        what is left, as the authors' code does.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.sparse import csr_matrix, diags, identity
from scipy.sparse.linalg import splu
from torch import Tensor

_BESIDE, _CORNER = 1 / 6, 1 / 12
_STEPS = [
    (down, right, _CORNER if down and right else _BESIDE)
    for down in (-1, 0, 1)
    for right in (-1, 0, 1)
    if down or right
]


def impute(
    image: Float[Tensor, "c h w"],
    removed: Bool[Tensor, "h w"],
    *,
    noise: float = 0.01,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "c h w"]:
    """Return a picture with removed pixels imputed from those that are left.

    One sparse system is factorised and solved for all channels. Where nothing is left there is nothing to
    impute from: each channel takes its mean over the picture.

    Args:
        image: The picture.
        removed: Which pixels are gone.
        noise: Standard deviation of the noise on imputed pixels, in the unit of the picture.
        generator: Draws the noise.
    """
    gone = removed.cpu().numpy().ravel()
    if not gone.any():
        return image
    if gone.all():
        return image.mean(dim=(1, 2), keepdim=True).expand_as(image)
    height, width = removed.shape
    weights = _weights(height, width)
    known, unknown = np.flatnonzero(~gone), np.flatnonzero(gone)
    pixels = image.detach().cpu().double().flatten(1).numpy()  # C x N
    rows = weights[unknown]
    system = (identity(len(unknown), format="csr") - rows[:, unknown]).tocsc()
    found = splu(system).solve(rows[:, known] @ pixels[:, known].T)  # of all channels together
    out = pixels.copy()
    out[:, unknown] = found.T
    result = torch.from_numpy(out)
    if noise:
        draws = torch.randn(len(pixels), len(unknown), generator=generator, dtype=torch.float64)
        result[:, torch.from_numpy(unknown)] += noise * draws
    return result.view(image.shape).to(image)


def imputed(
    images: Float[Tensor, "n c h w"],
    removed: Bool[Tensor, "n h w"],
    *,
    noise: float,
    generators: Sequence[torch.Generator],
) -> Float[Tensor, "n c h w"]:
    """Return several pictures, each imputed where it has been removed, with noise of its own generator."""
    return torch.stack(
        [
            impute(image, gone, noise=noise, generator=generator)
            for image, gone, generator in zip(images, removed, generators, strict=True)
        ]
    )


@lru_cache(maxsize=4)
def _weights(height: int, width: int) -> csr_matrix:
    """Return what each pixel takes of each other one (N, N); rows sum to 1."""
    numbers = np.arange(height * width).reshape(height, width)
    row, column, value = [], [], []
    for down, right, weight in _STEPS:
        here = numbers[max(0, -down) : height - max(0, down), max(0, -right) : width - max(0, right)]
        row.append(here.ravel())
        column.append((here + down * width + right).ravel())
        value.append(np.full(here.size, weight))
    entries = (np.concatenate(value), (np.concatenate(row), np.concatenate(column)))
    plain = csr_matrix(entries, shape=(height * width, height * width))
    totals = np.asarray(plain.sum(axis=1)).ravel()
    return csr_matrix(diags(1 / np.where(totals > 0, totals, 1)) @ plain)
