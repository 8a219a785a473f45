"""Cross-entropy of every pixel.

Formula L = sum_i w_i l_i / sum_i w_i, l_i = -sum_k q_ik log p_ik; w_i the class weight of pixel i's class.
        q is 1 for the class without smoothing; with smoothing e it is 1 - e + e/K for it and e/K elsewhere.
Paper   label smoothing: Szegedy et al. Rethinking the Inception Architecture. CVPR 2016, section 7.
Absent  a class without pixels adds nothing but the smoothing's share.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F

from foveate.data.class_numbers import IGNORE
from foveate.options import between
from foveate.tasks.losses.loss import PixelLoss, losses, share


@losses.register("ce")
@dataclass(frozen=True)
class CrossEntropy(PixelLoss):
    """Mean negative log-likelihood over the known pixels, in nats; as ``nn.CrossEntropyLoss``.

    Args:
        label_smoothing: Share of the target that is spread over all classes, in [0, 1].

    Raises:
        OptionError: ``label_smoothing`` is not in [0, 1].

    Example:
        >>> import torch
        >>> CrossEntropy()(torch.zeros(1, 4, 2, 2), torch.zeros(1, 2, 2, dtype=torch.long))
        tensor(1.3863)
    """

    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        between("label_smoothing", self.label_smoothing, 0, 1)

    def of(
        self,
        logits: Float[Tensor, "b k *s"],
        targets: Int64[Tensor, " b *s"],
        class_weights: Float[Tensor, " k"] | None,
    ) -> Float[Tensor, ""]:
        """Return the mean over the known pixels."""
        total = F.cross_entropy(
            logits,
            targets,
            weight=class_weights,
            ignore_index=IGNORE,
            reduction="sum",
            label_smoothing=self.label_smoothing,
        )
        known = targets != IGNORE
        if class_weights is None:
            return total / known.sum().clamp(min=1)
        return share(total, class_weights[targets[known]].sum())
