"""What ``foveate predict`` makes of pictures with a model that segments: shares of the classes, and files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from torch import nn

from foveate.data.folders.picture_lists import Picture
from foveate.data.images.open_image import Reading
from foveate.errors import DataError, OptionError
from foveate.segment.augmented import Views
from foveate.segment.command_options import SegmentOptions
from foveate.segment.streamed import Refine, Wanted, segment_file
from foveate.segment.windows import Tiling

Number = TypeVar("Number", int, float)


@dataclass(frozen=True)
class SegmentedFile:
    """What came of one picture.

    Args:
        image: Its file.
        wanted: The files that were written.
        shares: Share of the pixels of each class (K,), in [0, 1]; None if the picture could not be read.
        error: What was wrong with it.
    """

    image: Path
    wanted: Wanted
    shares: np.ndarray | None = None
    error: str = ""


def segment_files(
    model: nn.Module,
    pictures: Sequence[Picture],
    options: SegmentOptions,
    out: Path | None,
    *,
    classes: Sequence[str],
    palette: np.ndarray,
    size: tuple[int, int],
    normalisation: tuple[tuple[float, float, float], tuple[float, float, float]],
    how: Reading,
) -> Iterator[SegmentedFile]:
    """Segment pictures and write what is asked for, one after the other.

    Args:
        model: A network that segments.
        pictures: Their files.
        options: How they are segmented, and what is written.
        out: Folder of the files; nothing is written if None.
        classes: Names of the classes.
        palette: A colour for each class, uint8 (K, 3).
        size: Height and width of the training images.
        normalisation: Mean and deviation that the model expects.
        how: How the files are read.

    Raises:
        OptionError: An option has an impossible value.
        DataError: A file would be written over an input, or twice.
    """
    if options.overlap != SegmentOptions.overlap and not options.window:
        raise OptionError("--overlap is that of windows. Add --window 512, for example, or leave it out.")
    refine: Refine | None = None
    if options.crf:
        from foveate.models.crf import refine

    window = options.window and _numbers("window", options.window, int, most=2)
    mean, std = normalisation
    settings: Mapping[str, Any] = {
        "classes": classes,
        "palette": palette,
        "size": size,
        "mean": mean,
        "std": std,
        "tiling": Tiling((window[0], window[-1]), options.overlap) if window else None,
        "views": Views(
            options.flips,
            _numbers("scales", options.scales, float),
            _numbers("rotations", options.rotations, int),
        ),
        "refine": refine,
        "how": how,
    }
    return _each(model, list(zip(pictures, _wanted(pictures, options, out), strict=True)), settings)


def _each(
    model: nn.Module, pairs: Sequence[tuple[Picture, Wanted]], settings: Mapping[str, Any]
) -> Iterator[SegmentedFile]:
    for picture, wanted in pairs:
        try:
            shares = segment_file(model, picture.path, wanted, **settings)
        except DataError as error:
            yield SegmentedFile(picture.path, wanted, error=str(error))
        else:
            yield SegmentedFile(picture.path, wanted, shares)


def _wanted(pictures: Sequence[Picture], options: SegmentOptions, out: Path | None) -> list[Wanted]:
    """Return the files to write for each picture, none of which is a picture or is written twice."""
    some = options.masks or options.overlays or options.probabilities
    if out is None:
        if some:
            raise OptionError("predict: got no folder for the files. Write: foveate predict ... --out FOLDER")
        return [Wanted()] * len(pictures)
    inputs, owners, found = {picture.path.resolve() for picture in pictures}, dict[str, Path](), []
    for picture in pictures:
        image, home = picture.path, out / picture.place
        mask, overlay, probabilities = (
            home / f"{image.stem}_{kind}" if asked else None
            for kind, asked in (
                ("mask.png", options.masks or not some),
                ("overlay.png", options.overlays or not some),
                ("probabilities.npy", options.probabilities),
            )
        )
        for path in filter(None, (mask, overlay, probabilities)):
            if path.resolve() in inputs:
                raise DataError(f"predict: {path} is one of the pictures. Name another --out.")
            other = owners.setdefault(str(path).casefold(), image)  # some disks know no capitals
            if other != image:
                raise DataError(
                    f"predict: {other} and {image} would both be written to {path}. Do them one after "
                    "the other, with another --out each."
                )
        found.append(Wanted(mask, overlay, probabilities))
    for home in {out / picture.place for picture in pictures}:
        home.mkdir(parents=True, exist_ok=True)
    return found


def _numbers(
    option: str, text: str, read: Callable[[str], Number], most: int | None = None
) -> tuple[Number, ...]:
    """Return numbers that commas part.

    Raises:
        OptionError: They are none, or there are too many.
    """
    try:
        numbers = tuple(read(word) for word in text.split(","))
    except ValueError:
        numbers = ()
    if not numbers or len(numbers) > (most or len(numbers)):
        shape = "one number, or two" if most else "numbers"
        raise OptionError(f'--{option} "{text}": {shape} are expected, with a comma between them.')
    return numbers
