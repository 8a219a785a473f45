"""Batch normalisation for any rank, any batch and half precision."""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor, nn

from foveate.mechanisms.kernels.memory_layout import layout_of
from foveate.mechanisms.precision import widen


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation that also trains on a single value per channel, and on a single image.

    Of signals, maps and volumes.

    One value has no variance, and ``nn.BatchNorm2d`` raises: a last batch of one image with a 1 x 1 map ends
    the run. There the running statistics are used, as in eval; they are not updated.

    In a model of half precision it takes float32 too, and returns it: what was summed up there, such as
    covariances, may exceed what half precision holds.

    For one image PyTorch's CPU kernel misreads a gradient that comes laid out as (B, H*W, C), as attention
    over positions returns it, beside a map that is not, and silently returns a wrong one. So there the
    gradient gets the layout of the map.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalise (B, C, ...) each channel by the batch, or by the running statistics for one value."""
        alone = self.training and input.shape[0] * math.prod(input.shape[2:]) == 1
        if alone or (input.dtype == torch.float32 and widen(self.weight) is not self.weight):
            return self._plainly(input, training=self.training and not alone)
        output = super().forward(input)
        if not torch.compiler.is_compiling() and output.requires_grad and len(input) == 1:
            output.register_hook(functools.partial(_packed, layout_of(output)))
        return output

    def _check_input_dim(self, input: Tensor) -> None:
        """Take signals and volumes too."""
        if not 3 <= input.ndim <= 5:
            super()._check_input_dim(input)

    def _plainly(self, input: Tensor, *, training: bool) -> Tensor:
        """Normalise in the type of ``input``, float32 in a model of half precision too."""
        mean, variance = (statistic.to(input.dtype) for statistic in (self.running_mean, self.running_var))  # type: ignore[union-attr]
        weight, bias = self.weight.to(input.dtype), self.bias.to(input.dtype)
        rate = 0.0 if self.momentum is None else self.momentum
        normed = nn.functional.batch_norm(input, mean, variance, weight, bias, training, rate, self.eps)
        if training:
            self.running_mean.copy_(mean)  # type: ignore[union-attr]
            self.running_var.copy_(variance)  # type: ignore[union-attr]
            self.num_batches_tracked.add_(1)  # type: ignore[union-attr]
        return normed


def _packed(layout: torch.memory_format, grad: Tensor | None) -> Tensor | None:
    """Lay a gradient out; None where no gradient flows."""
    return grad if grad is None else grad.contiguous(memory_format=layout)
