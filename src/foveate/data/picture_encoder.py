"""From pictures to features: read, brought to one size, normalised, and encoded by a frozen classifier.

Features are those of the last map before pooling, one entry a place, row by row: 7 x 7 places of 1280
channels for EfficientNet-Lite0 at 224 pixels.

Shapes  pictures of any size -> float32 (B, N, D)
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from foveate.data.images.decode import read_at_least, read_square, square, upright_rgb
from foveate.data.images.hash_files import hash_images
from foveate.data.images.open_image import USUAL, Reading
from foveate.errors import DataError
from foveate.models.encoders.last_map import LastMap, as_memory, build_last_map
from foveate.models.normalisation import model_normalisation
from foveate.options import one_of, whole
from foveate.typed import quoted

Picture = str | Path | Image.Image | np.ndarray
FITS = ("crop", "squash")


class PictureEncoder:
    """A frozen encoder, and what is done to a picture before.

    Args:
        encoder: A classifier by name, see ``build_last_map``; or one that was built.
        size: Height and width in pixels to which a picture is brought.
        fit: "crop" brings the short side to ``size`` (bicubic) and cuts out the middle, as everywhere in
            foveate; "squash" brings both sides to it, so that nothing is cut off.
        flip: Whether pictures are mirrored first, left to right.
        pretrained: Fetch the published weights; ``package.module:function`` brings its own.
        batch: Pictures that are encoded at once.
        device: Where; None takes a GPU if there is one.
        how: How files become eight bits.

    Raises:
        UnknownNameError: There is no such classifier.
        OptionError: It has no last map, or an option is out of range.
        CheckpointError: The weights cannot be fetched.
    """

    def __init__(
        self,
        encoder: str | LastMap,
        *,
        size: int = 224,
        fit: str = "crop",
        flip: bool = False,
        pretrained: bool = True,
        batch: int = 32,
        device: torch.device | str | None = None,
        how: Reading = USUAL,
    ) -> None:
        one_of("fit", fit, FITS)
        self.size, self.batch = whole("size", size), whole("batch", batch)
        self.fit, self.flip, self.how = fit, flip, how
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.name = encoder if isinstance(encoder, str) else type(encoder.network).__name__
        network = build_last_map(encoder, pretrained=pretrained) if isinstance(encoder, str) else encoder
        self.network = network.to(self.device).eval()
        mean, std = model_normalisation(network)
        self.mean, self.std = (torch.tensor(value).view(3, 1, 1) for value in (mean, std))

    def encode(self, pictures: Sequence[Picture]) -> Float[Tensor, "b n d"]:
        """Return the features of pictures: files, PIL pictures or arrays (H, W, 3) uint8.

        Raises:
            DataError: One cannot be read; the text names it.
        """
        parts = [pictures[first : first + self.batch] for first in range(0, len(pictures), self.batch)]
        return torch.cat([self._encoded(part) for part in parts] or [torch.zeros(0, *self.shape)])

    @cached_property
    def places(self) -> tuple[int, int]:
        """Rows and columns of places."""
        with torch.inference_mode():
            rows, columns = self.network(torch.zeros(1, 3, self.size, self.size, device=self.device)).shape[
                2:
            ]
        return rows, columns

    @property
    def channels(self) -> int:
        """Of each place."""
        return self.network.channels

    @property
    def shape(self) -> tuple[int, int]:
        """Places and channels of a picture's features."""
        return self.places[0] * self.places[1], self.channels

    @cached_property
    def identity(self) -> str:
        """A hash of all that the features of a given picture depend on: weights, normalisation, size, fit."""
        options = (self.size, self.fit, self.flip, self.mean.tolist(), self.std.tolist())
        total = hashlib.sha256(f"{self.name} {options}".encode())
        for name, value in self.network.state_dict().items():
            total.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            total.update(value.cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
        return total.hexdigest()

    def contents(self, pictures: Sequence[Picture]) -> list[str]:
        """Return a hash of what each picture holds.

        Raises:
            DataError: One cannot be opened.
        """
        files = [Path(p) for p in pictures if isinstance(p, str | Path)]
        hashes = iter(hash_images(files, self.how))
        return [next(hashes) if isinstance(p, str | Path) else _hash(_array(p)) for p in pictures]

    def pixels(self, picture: Picture) -> UInt8[np.ndarray, "s s 3"]:
        """Return a picture at the encoder's size."""
        size, crop = self.size, self.fit == "crop"
        if isinstance(picture, str | Path):
            if crop:
                found = read_square(Path(picture), size, self.how)
            else:
                found = _squashed(read_at_least(Path(picture), size, self.how), size)
        else:
            found = square(_array(picture), size) if crop else _squashed(_array(picture), size)
        return found[:, ::-1] if self.flip else found

    def _encoded(self, pictures: Sequence[Picture]) -> Float[Tensor, "b n d"]:
        with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
            pixels = np.stack(list(pool.map(self.pixels, pictures)))
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div(255).sub(self.mean).div(self.std)
        with torch.inference_mode():
            features = as_memory(self.network(images.to(self.device)))
        return features.float().cpu().contiguous().clone()  # outside of inference mode: usable in training


def _array(picture: Any) -> UInt8[np.ndarray, "h w 3"]:
    if isinstance(picture, Image.Image):
        picture = np.asarray(upright_rgb(picture))
    fine = isinstance(picture, np.ndarray) and picture.dtype == np.uint8 and picture.ndim == 3
    if not fine or picture.shape[2] != 3:
        raise DataError(
            f"a picture: got {quoted(picture)}, expected a file, a PIL picture or an array (H, W, 3) of "
            "uint8."
        )
    return picture


def _squashed(image: Image.Image | np.ndarray, size: int) -> UInt8[np.ndarray, "s s 3"]:
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC, reducing_gap=3.0))


def _hash(pixels: np.ndarray) -> str:
    head = f"{pixels.shape}".encode()
    return hashlib.blake2b(head + pixels.tobytes()).hexdigest()[:32]
