"""FID: the Frechet distance of two normal distributions fitted to the features of pictures.

Formula |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)), covariances with n - 1
Paper   Heusel, Ramsauer, Unterthiner, Nessler, Hochreiter. GANs Trained by a Two Time-Scale Update Rule
        Converge to a Local Nash Equilibrium. NeurIPS 2017. arXiv:1706.08500.
Rules   biased upwards with few pictures; only values of equally many pictures and of one net compare.
        Covariances need more pictures than features.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from foveate.tasks.metrics.pictures.picture_metric import (
    Drawn,
    Features,
    PictureMetric,
    expect_features,
    picture_metrics,
)


def frechet_distance(real: Features, drawn: Features) -> float:
    """Return the distance of the normal distributions of two sets of features.

    Raises:
        ShapeError: They do not belong together.

    Example:
        >>> points = np.random.default_rng(0).normal(size=(50, 3))
        >>> abs(frechet_distance(points, points + 2.0) - 12.0) < 1e-9  # 3 axes, each moved by 2
        True
    """
    expect_features(real, drawn)
    means = real.mean(axis=0) - drawn.mean(axis=0)
    one, other = (np.atleast_2d(np.cov(part, rowvar=False)) for part in (real, drawn))
    # The eigenvalues of S1 S2 are those of the symmetric R S2 R with R R = S1: real, and at least 0.
    values, vectors = np.linalg.eigh(one)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    product = np.linalg.eigvalsh(root @ other @ root)
    return float(means @ means + np.trace(one) + np.trace(other) - 2 * np.sqrt(product.clip(0)).sum())


@picture_metrics.register("fid")
@dataclass(frozen=True)
class FID(PictureMetric):
    """Frechet distance of drawn and real pictures; lower is better."""

    name: str = field(default="FID", init=False)
    margin: float = field(default=0.5, init=False)

    def value(self, kept: Drawn) -> float:
        """Return the distance over all items."""
        return self.of_features(kept.drawn, kept.real)

    def of_features(self, drawn: Features, real: Features) -> float:
        """Return the distance."""
        return frechet_distance(real, drawn)
