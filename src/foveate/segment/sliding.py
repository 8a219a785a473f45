"""Inference by windows that slide over the image: any size with the memory of a window.

Formula y = sum_w n_w f(x_w), n_w >= 0 the weights of ``windows``, which sum to 1 at every pixel: an average
        of logits, or of probabilities.
Shapes  images (B, C, H, W) -> (B, K, H, W), any H and W.
Differs from inference on the whole image only where a window's edge is nearer than the radius of the
        network's receptive field; ``margin`` leaves those pixels to the neighbouring window, and nothing
        differs. What a network gathers from the whole image (global pooling, attention over all positions)
        is gathered from the window.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from foveate.errors import OptionError, ShapeError
from foveate.models.outputs import Run, logits_of, probabilities
from foveate.running import eval_no_grad
from foveate.segment.windows import Axis, Blend, Tiling, axis

Average = Literal["logits", "probabilities"]


def sliding_window(
    model: Run,
    images: Float[Tensor, "b c h w"],
    window: int | tuple[int, int] = 512,
    *,
    overlap: float = 0.25,
    blend: Blend = "gaussian",
    margin: int = 0,
    batch_size: int = 4,
    average: Average = "logits",
) -> Float[Tensor, "b k h w"]:
    """Run a network window by window and blend what it says.

    ``functools.partial(sliding_window, model, window=512)`` is called like the network itself, and so goes
    wherever a network goes, such as into ``augmented``.

    Args:
        model: A network in any mode, which it is left in; or a function from images to logits.
        images: What the network takes. One that is smaller than the window is enlarged by reflection, and the
            result cut back.
        window: See ``Tiling``, as for the following.
        overlap: Least share of a window that the next one sees again, in [0, 1).
        blend: How windows weigh where they overlap.
        margin: Pixels along each side of a window that are left to its neighbours.
        batch_size: Windows that go through the network at once.
        average: What is averaged where windows overlap, and returned. Of logits, a sure window weighs more.

    Returns:
        Logits, or probabilities that sum to 1 over the classes; at least float32.

    Raises:
        OptionError: A setting is out of range.
        ShapeError: The images are not (B, C, H, W), or the network does not return maps.

    Example:
        >>> from torch import nn
        >>> images = torch.rand(2, 3, 50, 70)
        >>> sliding_window(nn.Conv2d(3, 5, 3, padding=1), images, 32).shape
        torch.Size([2, 5, 50, 70])
    """
    tiling = Tiling(window, overlap, blend, margin, batch_size)
    if average not in ("logits", "probabilities"):
        raise OptionError(f'average="{average}" is unknown. Known: logits, probabilities.')
    if images.ndim != 4 or not images.numel():
        raise ShapeError(f"sliding_window: got images {tuple(images.shape)}, expected (B, C, H, W)")

    def run(windows: Tensor) -> Tensor:
        logits = logits_of(model, windows)
        return probabilities(logits) if average == "probabilities" else logits

    with eval_no_grad(model):
        found = bands(run, lambda first, last: images[:, :, first:last], images.shape[2:], tiling)
        return torch.cat([band for _, band in found], dim=2)


def bands(
    run: Callable[[Tensor], Tensor],
    read: Callable[[int, int], Float[Tensor, "b c _ w"]],
    size: tuple[int, ...],
    tiling: Tiling,
) -> Iterator[tuple[int, Float[Tensor, "b k _ w"]]]:
    """Yield the blended result from top to bottom, each band of rows as soon as no later window reaches it.

    Only the rows that one window covers are held at a time.

    Args:
        run: Windows (n, C, h, w) to maps (n, K, h, w).
        read: First row and the row after the last -> these rows of all images (B, C, rows, W).
        size: Height and width of the images.
        tiling: The windows.

    Yields:
        The number of the band's first row, and the band (B, K, rows, W), at least float32.
    """
    (height, width), (high, wide) = size, tiling.size
    down, across = axis(height, high, tiling), axis(width, wide, tiling)
    ends = (*down.starts[1:], len(down.source))
    held: Tensor | None = None
    for row, (top, end) in enumerate(zip(down.starts, ends, strict=True)):
        strip = read(top, min(top + high, height))
        if height < high:
            strip = strip.index_select(2, down.source.to(strip.device))
        if width < wide:
            strip = strip.index_select(3, across.source.to(strip.device))
        total = _row(run, strip, down.weights[row], across, tiling.batch_size)
        if held is not None:
            total[:, :, : held.shape[2]] += held
        held = total[:, :, end - top :].clone()  # a view would keep what is given away
        shown = total[:, :, down.before :, across.before :]
        del total
        yield top, shown[:, :, : min(end - top, height), :width]
        del shown  # else it would stay while the next row is computed


def _row(
    run: Callable[[Tensor], Tensor],
    strip: Float[Tensor, "b c h pixels"],
    weights: Float64[Tensor, " h"],
    across: Axis,
    batch_size: int,
) -> Float[Tensor, "b k h pixels"]:
    """Return the weighted sum of one row of windows over every image."""
    wide = across.weights.shape[1]
    places = [(image, column) for image in range(len(strip)) for column in range(len(across.starts))]
    total = strip.new_zeros(0)
    for begin in range(0, len(places), batch_size):
        cut = [
            (image, slice(start, start + wide), across.weights[column])
            for image, column in places[begin : begin + batch_size]
            for start in (across.starts[column],)
        ]
        found = run(torch.stack([strip[image, :, :, columns] for image, columns, _ in cut]))
        if begin == 0:
            dtype = torch.promote_types(found.dtype, torch.float32)
            total = found.new_zeros(len(strip), found.shape[1], *strip.shape[2:], dtype=dtype)
        for (image, columns, across_weights), part in zip(cut, found, strict=True):
            factor = (weights[:, None] * across_weights).to(total)
            total[image, :, :, columns].addcmul_(part.to(total.dtype), factor)
    return total
