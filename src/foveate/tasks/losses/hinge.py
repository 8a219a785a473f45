"""The hinge loss of generative adversarial networks.

Formula discriminator mean relu(1 - D(x)) + mean relu(1 + D(G(z))), generator -mean D(G(z))
Paper   Lim, Ye. Geometric GAN. 2017. arXiv:1705.02894; Zhang et al. SAGAN. ICML 2019. arXiv:1805.08318,
        equation 4.
Shapes  scores of any shape, above 0 for real.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

Scores = Float[Tensor, "*b"]


def discriminator_hinge(real: Scores, fake: Scores) -> Float[Tensor, ""]:
    """Return the loss of the discriminator: 0 once real scores exceed 1 and the others are below -1.

    Example:
        >>> import torch
        >>> float(discriminator_hinge(torch.tensor([1.0, 0.5]), torch.tensor([-1.0, 0.0])))
        0.75
    """
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def generator_hinge(fake: Scores) -> Float[Tensor, ""]:
    """Return the loss of the generator: how far its pictures are from looking real."""
    return -fake.mean()
