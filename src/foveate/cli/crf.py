"""``foveate crf``: bring a segmentation into line with the edges of its picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from foveate.errors import DataError, OptionError

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

_UNKNOWN = 255  # in a mask: nobody knows
_SOFT, _LIGHT = 4, 200  # more values than this, up to a grey as light as this: soft edges, not classes
EXAMPLE = """
    $ foveate predict runs/roads street.jpg --out found --probabilities
    $ foveate crf street.jpg found/street_probabilities.npy \\
          --out found/street_refined.png
    street.jpg: 640x480 px, 12 classes; 1.9 % of the pixels changed
      found/street_refined.png
"""


def crf(
    image: Path,
    probabilities: Path,
    /,
    *,
    out: Path,
    position: float = 80.0,
    colour: float = 13.0,
    bilateral_weight: float = 10.0,
    gaussian_std: float = 3.0,
    gaussian_weight: float = 3.0,
    iterations: int = 5,
    method: Literal["auto", "exact", "fine", "fast"] = "auto",
    certainty: float = 0.7,
    max_pixels: int | None = None,
    json: bool = False,
) -> None:
    """Refine the probabilities of a picture's pixels, or a mask, by a fully connected CRF.

    Args:
        image: The picture, in any format that Pillow reads.
        probabilities: What `foveate predict --probabilities` wrote, .npy (classes, height, width), or
            (height, width) of the foreground; or a mask, .png with class numbers, 255 where nobody knows, or
            of 0 and 255 alone.
        out: The refined mask, .png; or probabilities, .npy.
        position: Spatial standard deviation of the bilateral kernel, in pixels.
        colour: Standard deviation of colours in the bilateral kernel, of 0 to 255.
        bilateral_weight: Weight of the bilateral kernel.
        gaussian_std: Standard deviation of the kernel of position alone, in pixels.
        gaussian_weight: Weight of the kernel of position alone.
        iterations: Of mean field.
        method: exact for all pairs of pixels, fine or fast for a lattice; auto is exact or fine.
        certainty: How probable the class that a mask names is taken to be.
        max_pixels: Pixels of the largest picture that is read, for files that you trust.
        json: Print the result as JSON.
    """
    from foveate.cli import output
    from foveate.data.images.decode import read
    from foveate.data.images.open_image import Reading
    from foveate.data.palette import default_palette
    from foveate.models.crf.refine import check_probabilities, refine
    from foveate.segment.result_files import write_mask, write_probabilities

    if out.suffix.lower() not in (".png", ".npy"):
        raise OptionError(
            f"--out: got {out}, expected a name that ends in .png (a mask) or .npy (probabilities)"
        )
    if out.resolve() in (image.resolve(), probabilities.resolve()):
        raise OptionError(f"--out: {out} is one of the inputs. Choose another name.")
    picture = read(image, Reading() if max_pixels is None else Reading(max_pixels=max_pixels))
    before = _read(probabilities, certainty)
    if before.shape[1:] != picture.shape[:2]:
        (height, width), (tall, wide) = picture.shape[:2], before.shape[1:]
        raise DataError(
            f"{probabilities}: {wide}x{tall} pixels, but {image} has {width}x{height}. Resize one to the "
            "other."
        )
    try:
        check_probabilities(before)
    except DataError as error:
        raise DataError(f"{probabilities}: {error}") from None
    after = refine(
        before,
        picture,
        position=position,
        colour=colour,
        bilateral_weight=bilateral_weight,
        gaussian_std=gaussian_std,
        gaussian_weight=gaussian_weight,
        iterations=iterations,
        method=method,
    )
    labels = after.max(dim=0).indices
    changed = float((labels != before.max(dim=0).indices).float().mean())
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix.lower() == ".npy":
        write_probabilities(out, after.numpy())
    else:
        write_mask(out, labels.numpy().astype("uint8"), default_palette(len(after)))
    height, width = labels.shape
    if json:
        output.machine({"image": str(image), "out": str(out), "classes": len(after), "changed": changed})
        return
    output.say(
        f"{image}: {width}x{height} px, {len(after)} classes; {100 * changed:.1f} % of the pixels changed"
    )
    output.say(f"  {out}")


def _read(path: Path, certainty: float) -> Tensor:
    """Return probabilities (K, H, W) from a file of them, or of labels."""
    import torch

    if path.suffix.lower() == ".npy":
        return torch.from_numpy(_probabilities(path))
    return torch.from_numpy(_of_labels(path, _labels(path), certainty))


def _probabilities(path: Path) -> np.ndarray:
    """Return what an array file holds; of one class alone, the foreground, those of two."""
    import numpy as np

    from foveate.data.images.open_image import check_file

    try:
        check_file(path)
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: cannot be read as .npy ({error}).") from None
    if found.ndim == 2:
        found = found[None]
    if found.ndim != 3 or found.dtype.kind != "f" or not found.size:
        raise DataError(
            f"{path}: got {found.dtype} {found.shape}, expected probabilities (classes, height, width), or "
            "(height, width) of the foreground. `foveate predict --probabilities` writes such."
        )
    found = found.astype(np.float32)
    return np.concatenate([1 - found, found]) if len(found) == 1 else found


def _labels(path: Path) -> np.ndarray:
    import numpy as np

    from foveate.data.images.open_image import opened, upright

    with opened(path) as mask:
        if mask.format == "JPEG":
            raise DataError(f"{path}: a JPEG, which blurs class numbers at every edge. Save the mask as PNG.")
        labels = np.asarray(upright(mask))
    if labels.ndim != 2 or labels.dtype.kind not in "bui" or labels.max() > _UNKNOWN or labels.min() < 0:
        kind = "colours" if labels.ndim != 2 else f"values from {labels.min():g} to {labels.max():g}"
        raise DataError(
            f"{path}: got a picture of {kind}, expected one class number a pixel, 0 to 254. Save its indices."
        )
    return labels.astype(np.int64)


def _of_labels(path: Path, labels: np.ndarray, certainty: float) -> np.ndarray:
    """Return probabilities: ``certainty`` for the class that is named, the rest shared among the others.

    Raises:
        DataError: The mask has grey levels for classes, or there are not two of them.
        OptionError: ``certainty`` is not more than chance.
    """
    import numpy as np

    values = np.unique(labels)
    if values.tolist() == [0, _UNKNOWN]:  # background and foreground, as most tools draw them
        labels, values = labels // _UNKNOWN, values // _UNKNOWN
    known = labels != _UNKNOWN
    named = values[values != _UNKNOWN]
    if len(values) > _SOFT and values[-1] == _UNKNOWN and named[-1] >= _LIGHT:
        raise DataError(
            f"{path}: holds {len(values)} values from 0 to {values[-1]}, as masks of 0 and 255 with soft "
            "edges do. Save it with two values."
        )
    if len(named) < 2:
        what = f"class {named[0]} alone" if len(named) else f"{_UNKNOWN} alone, which stands for unknown"
        raise DataError(f"{path}: holds {what}. There is nothing to refine: two classes are needed.")
    classes = int(named[-1]) + 1
    if not 1 / classes < certainty < 1:
        raise OptionError(f"certainty: got {certainty}, expected a number above 1/{classes} and below 1")
    rest = (1 - certainty) / (classes - 1)
    found = np.where(np.arange(classes)[:, None, None] == labels, np.float32(certainty), np.float32(rest))
    return np.where(known, found, np.float32(1 / classes))
