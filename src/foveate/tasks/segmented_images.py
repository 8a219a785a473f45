"""What tasks with a class for each pixel share: colours, cards, and prediction at any size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from jaxtyping import UInt8
from torch import Tensor, nn

from foveate.data.base import ImageData
from foveate.data.feed import Data
from foveate.data.folders.picture_lists import pictures_of
from foveate.data.images.open_image import MOST_PIXELS
from foveate.data.palette import default_palette
from foveate.errors import DataError
from foveate.options import checked
from foveate.recipe import TrainConfig
from foveate.segment.command_options import SegmentOptions
from foveate.segment.drawing import SMALLEST
from foveate.segment.row_reader import ANY_SIZE
from foveate.segment.segment_files import SegmentedFile, segment_files
from foveate.segment.segment_picture import segment
from foveate.tasks.cards.mask_pictures import mask_pictures
from foveate.tasks.image_task import ImageTask
from foveate.tasks.judged import Told
from foveate.tasks.picture_inputs import listed, opened, reading_of, share


class SegmentedImages(ImageTask):
    """A task that gives every pixel of an image a class."""

    usual = TrainConfig(batch_size=8, augment="resized_crop")

    def saved(self, data: Data) -> dict[str, Any]:
        """Return the inputs and a colour for each class."""
        colours = cast(ImageData, data).colours
        return super().saved(data) | {"palette": colours.tolist()}

    @property
    def palette(self) -> UInt8[np.ndarray, "k 3"]:
        """A colour for each class."""
        stated = self.inputs.get("palette")
        return default_palette(len(self.classes)) if stated is None else np.array(stated, np.uint8)

    def cards(
        self,
        models: Mapping[str, nn.Module],
        feed: Any,
        answers: Mapping[str, Any],
        scores: Mapping[str, np.ndarray],
    ) -> list[dict[str, Any]]:
        """Return the images in which the variants differ on most pixels, under the colours of the classes."""
        mean, std = self.normalisation
        return mask_pictures(
            models,
            feed.split,
            classes=self.classes,
            palette=feed.palette,
            answers=answers,
            scores=scores,
            mean=mean,
            std=std,
        )

    def predict(
        self, model: nn.Module, inputs: object, *, max_pixels: int = MOST_PIXELS, **options: Any
    ) -> list[Tensor]:
        """Return the probabilities of the pixels of each picture, float32 (K, H, W), at its own size.

        Args:
            model: Trained.
            inputs: See ``picture_inputs.listed``.
            max_pixels: Pixels of the largest file that is decoded.
            options: None further.
        """
        checked("predict", SegmentedImages.predict, {"max_pixels": max_pixels, **options})
        found = []
        for pixels in opened(listed(inputs), None, reading_of(self.inputs, max_pixels)):
            if isinstance(pixels, DataError):
                raise pixels
            mean, std = self.normalisation
            found.append(segment(model, pixels, size=self.size, mean=mean, std=std))
        return found

    def tell(
        self,
        model: nn.Module,
        words: Sequence[str],
        *,
        out: Path | None = None,
        max_pixels: int | None = None,
        **options: Any,
    ) -> Iterator[Told]:
        """Yield the share of each class in every picture, and the files that were written."""
        found = segment_files(
            model,
            pictures_of(words),
            SegmentOptions(**options),
            out,
            classes=self.classes,
            palette=self.palette,
            size=self.size,
            normalisation=self.normalisation,
            how=reading_of(self.inputs, ANY_SIZE if max_pixels is None else max_pixels),
        )
        return (_told(file, self.classes) for file in found)


def _told(file: SegmentedFile, classes: Sequence[str]) -> Told:
    """Return what is printed of a picture: the classes in it, those with most pixels first, and the files."""
    name = str(file.image)
    if file.shares is None:
        return Told(name, (file.error,), {"image": name, "error": file.error}, failed=True)
    ranked = sorted(zip(classes, file.shares.tolist(), strict=True), key=lambda pair: -pair[1])
    wanted = file.wanted
    files = {"mask": wanted.mask, "overlay": wanted.overlay, "probabilities": wanted.probabilities}
    written = {kind: str(path) for kind, path in files.items() if path is not None}
    lines = [share(value, label) for label, value in ranked if value >= SMALLEST]
    lines += [f"  {path}" for path in written.values()]
    return Told(name, tuple(lines), {"image": name, "classes": dict(ranked), **written})
