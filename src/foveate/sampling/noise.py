"""Noise for a generator: unit normal, truncated, or on the way from one to another.

Shapes  noise float32 (N, Z).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from foveate.errors import OptionError


def draw_noise(
    number: int, width: int, *, seed: int, truncation: float | None = None
) -> Float[Tensor, "n z"]:
    """Return noise from a unit normal distribution.

    Args:
        number: N.
        width: Z.
        seed: Decides it; the first pictures of a larger number are those of a smaller one.
        truncation: Numbers beyond this many deviations are drawn again (Brock et al. BigGAN. ICLR 2019.
            arXiv:1809.11096, section 3.1); None for no limit.

    Raises:
        OptionError: ``truncation`` is so small that nothing would ever be drawn.

    Example:
        >>> draw_noise(2, 3, seed=0, truncation=0.5).abs().max() <= 0.5
        tensor(True)
    """
    if truncation is not None and truncation < 0.01:
        raise OptionError(
            f"truncation: got {truncation:g}, expected at least 0.01 deviations; usual are 0.5 to 2"
        )
    random = torch.Generator().manual_seed(seed)
    rows = []
    for _ in range(number):
        row = torch.randn(width, generator=random)
        while truncation is not None and bool((far := row.abs() > truncation).any()):
            row[far] = torch.randn(int(far.sum()), generator=random)
        rows.append(row)
    return torch.stack(rows)


def on_the_way(first: Float[Tensor, " z"], last: Float[Tensor, " z"], number: int) -> Float[Tensor, "n z"]:
    """Return noise in equal steps from one to another, both included, along the sphere.

    A straight line would pass nearer to 0 than noise ever lies.

    Example:
        >>> on_the_way(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]), 3)[1]
        tensor([0.7071, 0.7071])
    """
    lengths = first.norm(), last.norm()
    cosine = torch.dot(first / lengths[0], last / lengths[1]).clamp(-1, 1)
    angle = torch.arccos(cosine)
    share = torch.linspace(0, 1, number)[:, None]
    if float(angle.sin().abs()) < 1e-6:
        return first + share * (last - first)
    ahead, behind = torch.sin(share * angle) / angle.sin(), torch.sin((1 - share) * angle) / angle.sin()
    turned = behind * first / lengths[0] + ahead * last / lengths[1]
    return turned * (lengths[0] + share * (lengths[1] - lengths[0]))
