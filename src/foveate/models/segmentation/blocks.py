"""Building blocks that the heads share: convolutions with normalisation and activation, and score layers."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from foveate.errors import OptionError
from foveate.mechanisms.base import BatchNorm
from foveate.models.weight_names import Rules

# The names that PyTorch-Encoding, semseg and CCNet give to a stem of three convolutions.
THREE_CONVOLUTIONS: Rules = (
    (r"^conv1\.(?!\d)", "encoder.conv1.0."),
    (r"^bn1\.", "encoder.conv1.1."),
    (r"^conv2\.", "encoder.conv1.3."),
    (r"^bn2\.", "encoder.conv1.4."),
    (r"^conv3\.", "encoder.conv1.6."),
    (r"^bn3\.", "encoder.bn1."),
    (r"^(layer\d)\.", r"encoder.\1."),
)


def convolve(
    channels: int,
    out: int,
    size: int = 3,
    *,
    stride: int = 1,
    bias: bool = False,
    leak: float = 0.0,
) -> nn.Sequential:
    """Return a convolution that keeps the size over its stride, normalised and rectified.

    Args:
        channels: Channels that come in.
        out: Channels that go out.
        size: Height and width of the kernel, odd.
        stride: In positions.
        bias: Whether the convolution has one, although the normalisation cancels it.
        leak: Slope of the activation below zero.

    Example:
        >>> import torch
        >>> convolve(3, 8, stride=2)(torch.rand(2, 3, 9, 5)).shape
        torch.Size([2, 8, 5, 3])
    """
    convolution = nn.Conv2d(channels, out, size, stride=stride, padding=size // 2, bias=bias)
    # In place: the backward pass of a normalisation does not need its output.
    activation = nn.LeakyReLU(leak, inplace=True) if leak else nn.ReLU(inplace=True)
    return nn.Sequential(convolution, BatchNorm(out), activation)


def scores(channels: int, classes: int, *, dropout: float = 0.1) -> nn.Sequential:
    """Return the last layer of a head: whole channels dropped in training, then logits.

    Args:
        channels: Channels that come in.
        classes: Channels that go out.
        dropout: Share of the channels that is dropped, in [0, 1).

    Raises:
        OptionError: ``dropout`` is out of its range.
    """
    if not 0 <= dropout < 1:
        raise OptionError(f"dropout: got {dropout!r}, expected a number in [0, 1)")
    return nn.Sequential(nn.Dropout2d(dropout), nn.Conv2d(channels, classes, kernel_size=1))


def side_head(
    channels: int, width: int, classes: int, *, dropout: float = 0.1, bias: bool = False, leak: float = 0.0
) -> nn.Sequential:
    """Return a head of one 3 x 3 convolution to ``width`` channels and the scores; its options are theirs."""
    return nn.Sequential(
        *convolve(channels, width, bias=bias, leak=leak), *scores(width, classes, dropout=dropout)
    )


def without_dead_scale(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights of in-place activated normalisations as those of plain ones.

    Such a layer scales by |weight| + 1e-5, so that it can be inverted.
    """
    norms = {name.removesuffix(".running_var") for name in state if name.endswith(".running_var")}
    scales = {f"{norm}.weight" for norm in norms}
    return {name: value.abs() + 1e-5 if name in scales else value for name, value in state.items()}
