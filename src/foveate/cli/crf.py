"""``foveate crf``: bring a segmentation into line with the edges of its picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from foveate.errors import DataError, OptionError

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

EXAMPLE = """
    $ foveate predict runs/roads street.jpg --out found --probabilities
    $ foveate crf street.jpg found/street_probabilities.npy --out found/street_refined.png
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
    json: bool = False,
) -> None:
    """Refine the probabilities of a picture's pixels, or a mask, by a fully connected CRF.

    Args:
        image: The picture, in any format that Pillow reads.
        probabilities: What `foveate predict --probabilities` wrote, .npy (classes, height, width); or a mask,
            .png with class numbers, 255 where nobody knows.
        out: The refined mask, .png; or probabilities, .npy.
        position: How far pixels of the same colour hear each other, in pixels.
        colour: How different their colours may be, of 0 to 255.
        bilateral_weight: What agreement with a pixel of the same colour is worth.
        gaussian_std: How far pixels of any colour hear each other, in pixels.
        gaussian_weight: What agreement with a near pixel is worth.
        iterations: Of mean field.
        method: exact for all pairs of pixels, fine or fast for a lattice; auto is exact or fine.
        certainty: How probable the class that a mask names is taken to be.
        json: Print the result as JSON.
    """
    from foveate.cli import output
    from foveate.data.decode import read
    from foveate.data.palette import default_palette
    from foveate.infer.files import write_mask, write_probabilities
    from foveate.models.crf import refine

    picture = read(image)
    before = _read(probabilities, certainty)
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
    if out.resolve() in (image.resolve(), probabilities.resolve()):
        raise OptionError(f"--out: {out} is one of the inputs. Choose another name.")
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix == ".npy":
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
    import numpy as np
    import torch

    if path.suffix == ".npy":
        try:
            found = np.load(path, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: cannot be read as .npy ({error}).") from None
        if found.ndim != 3 or found.dtype.kind != "f" or found.min() < 0 or found.max() > 1:
            raise DataError(
                f"{path}: got {found.dtype} {found.shape}, expected probabilities (classes, height, width). "
                "`foveate predict --probabilities` writes such."
            )
        return torch.from_numpy(found.astype(np.float32))
    return torch.from_numpy(_of_labels(_labels(path), certainty))


def _labels(path: Path) -> np.ndarray:
    import numpy as np
    from PIL import Image

    try:
        with Image.open(path) as mask:
            labels = np.asarray(mask)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as a mask ({error}).") from None
    if labels.ndim != 2:
        raise DataError(
            f"{path}: got a picture of colours, expected one class number a pixel. Save its indices."
        )
    return labels


def _of_labels(labels: np.ndarray, certainty: float) -> np.ndarray:
    """Return probabilities: ``certainty`` for the class that is named, the rest shared among the others."""
    import numpy as np

    from foveate.data.base import IGNORE

    known = labels != IGNORE
    classes = int(labels[known].max(initial=1)) + 1
    if not 1 / classes < certainty < 1:
        raise OptionError(f"certainty: got {certainty}, expected a number above 1/{classes} and below 1")
    rest = (1 - certainty) / (classes - 1)
    found = np.where(np.arange(classes)[:, None, None] == labels, certainty, rest)
    return np.where(known, found, 1 / classes).astype(np.float32)
