"""From a picture of any size to the probabilities of its pixels.

Shapes  image uint8 (H, W, 3) -> probabilities float32 (K, H, W), at the picture's own size.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn.functional import interpolate

from foveate.data.canvas import fit_image, placed
from foveate.models.normalisation import Triple
from foveate.running import device_of, eval_no_grad
from foveate.segment.augmented import Views, mean_of_views
from foveate.segment.row_reader import Rows, rows_of
from foveate.segment.sliding import bands
from foveate.segment.windows import Tiling

PLAIN = Views()


def segment(
    model: nn.Module,
    image: UInt8[np.ndarray, "h w 3"],
    *,
    size: tuple[int, int],
    mean: Triple,
    std: Triple,
    tiling: Tiling | None = None,
    views: Views = PLAIN,
) -> Float[Tensor, "k h w"]:
    """Return what a network says about every pixel of a picture.

    Without ``tiling`` the picture is laid on the canvas of the training images, as those were, and the
    probabilities are brought back to its size. With it the network sees windows of the picture as it is.

    Args:
        model: A network on any device and in any mode, which it is left in.
        image: The picture.
        size: Height and width of the canvas of the training images; see ``data.canvas``.
        mean: What is subtracted from each channel of images in [0, 1].
        std: What each channel is then divided by.
        tiling: Windows, if the picture is not to be seen whole.
        views: Views whose probabilities are averaged; of each window, if there are windows.

    Returns:
        Probabilities on the CPU, which sum to 1 over the classes. A network with one output has two classes.

    Raises:
        ShapeError: The picture is not uint8 (H, W, 3), or the network does not segment.
    """
    rows = rows_of(image)
    if tiling is not None:
        found = probability_bands(model, rows, mean=mean, std=std, tiling=tiling, views=views)
        return torch.cat([band.cpu() for _, band in found], dim=1)
    place = placed(rows.height, rows.width, size)
    with eval_no_grad(model):
        canvas = _normalised(fit_image(image, size), mean, std, device_of(model))
        inside = mean_of_views(model, canvas, views)[(..., *place.box)]
        if (place.height, place.width) != (rows.height, rows.width):
            inside = interpolate(inside, (rows.height, rows.width), mode="bilinear", align_corners=False)
    return inside[0].float().cpu()


def probability_bands(
    model: nn.Module,
    rows: Rows,
    *,
    mean: Triple,
    std: Triple,
    tiling: Tiling,
    views: Views = PLAIN,
) -> Iterator[tuple[int, Float[Tensor, "k _ w"]]]:
    """Yield the probabilities of a picture from top to bottom, with the memory of one row of windows.

    What ``segment`` returns with the same tiling and views, in parts.

    Yields:
        The number of the band's first row, and the band (K, rows, W), float32, on the model's device.
    """
    device = device_of(model)

    def read(first: int, last: int) -> Tensor:
        return _normalised(rows.read(first, last), mean, std, device)

    def run(windows: Tensor) -> Tensor:
        with eval_no_grad(
            model
        ):  # only while it runs: whoever takes the bands may do as he likes between them
            return mean_of_views(model, windows, views)

    for first, band in bands(run, read, (rows.height, rows.width), tiling):
        yield first, band[0].float()
        del band


def _normalised(
    pixels: UInt8[np.ndarray, "h w 3"], mean: Triple, std: Triple, device: torch.device
) -> Float[Tensor, "1 3 h w"]:
    """Return a picture as the network takes it, its channels last in memory as in the picture."""
    image = torch.from_numpy(np.array(pixels)).to(device).permute(2, 0, 1)[None]
    centre, spread = (torch.tensor(triple, device=device).view(1, 3, 1, 1) for triple in (mean, std))
    return (image.float() / 255 - centre) / spread
