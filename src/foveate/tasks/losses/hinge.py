"""The hinge loss of generative adversarial networks.

Formula discriminator mean relu(1 - D(x, y)) + (1 - m) mean relu(1 + D(G(z, y), y))
        + m mean relu(1 + D(x, y')),
        generator -mean D(G(z, y), y); y' is the goal of another picture, m = 0 as published
Paper   Lim, Ye. Geometric GAN. 2017. arXiv:1705.02894; Zhang et al. SAGAN. ICML 2019. arXiv:1805.08318,
        equation 4; D(x, y') with m = 1/2: Reed, Akata, Yan, Logeswaran, Schiele, Lee. Generative Adversarial
        Text to Image Synthesis. ICML 2016. arXiv:1605.05396, section 4.2.
Shapes  scores of any shape, above 0 for real.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

Scores = Float[Tensor, "*b"]


def discriminator_hinge(
    real: Scores, fake: Scores, mismatched: Scores | None = None, share: float = 0.5
) -> Float[Tensor, ""]:
    """Return the loss of the discriminator: 0 once real scores exceed 1 and the others are below -1.

    Args:
        real: Of real pictures with their own goals.
        fake: Of drawn pictures with the goals they were drawn for.
        mismatched: Of real pictures with the goals of others; None for none.
        share: m, what part these have in the second term, in [0, 1).

    Example:
        >>> import torch
        >>> float(discriminator_hinge(torch.tensor([1.0, 0.5]), torch.tensor([-1.0, 0.0])))
        0.75
    """
    wrong = F.relu(1 + fake).mean()
    if mismatched is not None:
        wrong = (1 - share) * wrong + share * F.relu(1 + mismatched).mean()
    return F.relu(1 - real).mean() + wrong


def generator_hinge(fake: Scores) -> Float[Tensor, ""]:
    """Return the loss of the generator: how far its pictures are from looking real."""
    return -fake.mean()
