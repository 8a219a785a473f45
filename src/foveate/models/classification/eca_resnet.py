"""Residual networks with efficient channel attention in every block.

Paper   Wang, Wu, Zhu, Li, Zuo, Hu. ECA-Net: Efficient Channel Attention for Deep Convolutional Neural
        Networks. CVPR 2020. arXiv:1910.03151, section 4.
Cost    with 1000 classes: eca_resnet50 25,557,118 parameters, 86 more than without.
Differs the kernel grows with the channels as equation 12 says; the authors' five files have kernels of their
        own choice for each stage, which their names give: k3577 for 18 layers, k3557 for 50, k3357 for 34,
        101 and 152 (kernel_sizes=(3, 5, 7, 7) and so on).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from foveate.errors import CheckpointError, OptionError
from foveate.models.classification.resnet import DEPTHS, PLANS, Plan, ResNet
from foveate.models.names import models

STAGES = 4


class ECAResNet(ResNet):
    """A residual network whose channel gates see more or fewer neighbours, stage by stage.

    Args:
        plan: What it is made of.
        classes: Length of the output.
        kernel_sizes: How many neighbouring channels a gate sees in each of the four stages; odd. None for the
            paper's rule, which goes by the channels.
        options: Those of ``ResNet``, and of ``eca``.

    Raises:
        OptionError: An option does not exist or has an impossible value.

    Example:
        >>> import torch
        >>> model = ECAResNet(PLANS[18], classes=5, kernel_sizes=(3, 5, 7, 7), stem="cifar")
        >>> model(torch.rand(2, 3, 16, 12)).shape
        torch.Size([2, 5])
    """

    def __init__(
        self, plan: Plan, *, classes: int, kernel_sizes: Sequence[int] | None = None, **options: Any
    ) -> None:
        if kernel_sizes is not None and "kernel_size" in options:
            raise OptionError("kernel_sizes and kernel_size are both given; the first is one for each stage")
        if kernel_sizes is not None and (
            not isinstance(kernel_sizes, Sequence)
            or isinstance(kernel_sizes, str)
            or len(kernel_sizes) != STAGES
        ):
            raise OptionError(
                f"kernel_sizes: got {kernel_sizes!r}, expected four odd numbers, one a stage, such as "
                "(3, 5, 7, 7)"
            )
        self.kernel_sizes = kernel_sizes
        super().__init__(plan, "eca", classes=classes, **options)

    def stage_options(self, stage: int) -> Mapping[str, object]:
        """Return the mechanism's options in a stage, from 1 to 4."""
        if self.kernel_sizes is None:
            return super().stage_options(stage)
        return {**super().stage_options(stage), "kernel_size": self.kernel_sizes[stage - 1]}

    def from_published(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return published weights under the names that this network has.

        Raises:
            CheckpointError: Their kernels have other sizes, or they are of a network that computes something
                else.
        """
        named = super().from_published(state)
        theirs, ours = _sizes(named), _sizes(self.state_dict())
        if len(theirs) == len(ours) == STAGES and theirs != ours:
            raise CheckpointError(
                f"these weights have kernels of {', '.join(map(str, theirs))} channels in the four stages, "
                f"this network of {', '.join(map(str, ours))}. Create it with kernel_sizes={theirs}."
            )
        return named


def _sizes(state: Mapping[str, Tensor]) -> tuple[int, ...]:
    """Return the size of the kernel in the first block of each stage that has one."""
    names = [f"layer{stage}.0.attention.excite.weight" for stage in range(1, STAGES + 1)]
    return tuple(state[name].shape[-1] for name in names if name in state)


for _depth in DEPTHS:
    models.register(f"eca_resnet{_depth}")(functools.partial(ECAResNet, PLANS[_depth]))
