"""What ``foveate predict`` does with a model that segments: its options, and the files it writes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from cyclopts import Group, Parameter

from foveate.cli import output
from foveate.errors import DataError, OptionError

if TYPE_CHECKING:
    from foveate.data.folders.picture_lists import Picture
    from foveate.segment.streamed import Wanted

SEGMENTING = Group("With a model that segments", sort_key=2)
UNREADABLE = 2
Number = TypeVar("Number", int, float)


@Parameter(name="*", group=SEGMENTING)
@dataclass(frozen=True)
class Masks:
    """How pictures are segmented, and what is written of it."""

    out: Path | None = None
    """Folder of the files; masks and overlays unless you choose. Without it nothing is written."""

    masks: bool = False
    """Write IMAGE_mask.png: a pixel's value is its class; viewers show the class's colour."""

    overlays: bool = False
    """Write IMAGE_overlay.png: the picture under the colours of the classes, with a legend."""

    probabilities: bool = False
    """Write IMAGE_probabilities.npy: float16 (classes, height, width)."""

    window: str | None = None
    """Slide a window over the picture as it is: 512, or height,width. Else all is seen at training's size."""

    overlap: float = 0.25
    """Share of a window that the next one sees again, from 0 to below 1."""

    flips: str = ""
    """Average with the picture flipped: lr (left and right), ud, or lr,ud."""

    scales: str = "1"
    """Average over the picture at these scales, such as 0.75,1,1.25."""

    crf: bool = False
    """Refine the probabilities by a dense CRF, so that they follow the picture's edges; see `foveate crf`."""

    rotations: str = "0"
    """Average over the picture turned by these degrees: multiples of 90, such as 0,90,180,270."""

    def write(
        self, model: Any, pictures: Sequence[Picture], *, json: bool, max_pixels: int | None = None
    ) -> int | None:
        """Segment pictures, write what is asked for, and tell the classes' shares.

        Args:
            model: What ``fv.load`` returned.
            pictures: Their files.
            json: Whether to print JSON.
            max_pixels: Pixels of the largest picture that is decoded; any number if None.

        Returns:
            The exit code if a picture could not be read; the others are done all the same.

        Raises:
            OptionError: An option has an impossible value.
            DataError: A file would be written over an input, or twice.
        """
        import numpy as np

        from foveate.infer.load import reading_of
        from foveate.models.crf import refine
        from foveate.segment.augmented import Views
        from foveate.segment.row_reader import ANY_SIZE
        from foveate.segment.streamed import segment_file
        from foveate.segment.windows import Tiling

        if self.overlap != Masks.overlap and not self.window:
            raise OptionError("--overlap is that of windows. Add --window 512, for example, or leave it out.")
        config = model.config
        window = self.window and _numbers("window", self.window, int, most=2)
        settings: dict[str, Any] = {
            "classes": model.classes,
            "palette": np.array(config["palette"], np.uint8),
            "size": tuple(config["size"]),
            "mean": tuple(config["normalisation"]["mean"]),
            "std": tuple(config["normalisation"]["std"]),
            "tiling": Tiling((window[0], window[-1]), self.overlap) if window else None,
            "views": Views(
                self.flips,
                _numbers("scales", self.scales, float),
                _numbers("rotations", self.rotations, int),
            ),
            "refine": refine if self.crf else None,
            "how": reading_of(config, ANY_SIZE if max_pixels is None else max_pixels),
        }
        answers, failed = [], False
        for picture, wanted in zip(pictures, self._wanted(pictures), strict=True):
            image = picture.path
            try:
                shares = segment_file(model, image, wanted, **settings)
            except DataError as error:
                print(error, file=sys.stderr)
                answers.append({"image": str(image), "error": str(error)})
                failed = True
                continue
            answers.append(_answer(image, wanted, model.classes, shares.tolist()))
            if not json:
                _tell(answers[-1])
        if json:
            output.machine(answers)
        return UNREADABLE if failed else None

    def _wanted(self, pictures: Sequence[Picture]) -> list[Wanted]:
        """Return the files to write for each picture, none of which is a picture or is written twice."""
        from foveate.segment.streamed import Wanted

        some = self.masks or self.overlays or self.probabilities
        if self.out is None:
            if some:
                raise OptionError("predict: say where the files go. Do: foveate predict ... --out FOLDER")
            return [Wanted()] * len(pictures)
        inputs, owners, found = {picture.path.resolve() for picture in pictures}, dict[str, Path](), []
        for picture in pictures:
            image, home = picture.path, self.out / picture.place
            mask, overlay, probabilities = (
                home / f"{image.stem}_{kind}" if asked else None
                for kind, asked in (
                    ("mask.png", self.masks or not some),
                    ("overlay.png", self.overlays or not some),
                    ("probabilities.npy", self.probabilities),
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
        for home in {self.out / picture.place for picture in pictures}:
            home.mkdir(parents=True, exist_ok=True)
        return found


def _answer(image: Path, wanted: Wanted, classes: Sequence[str], shares: list[float]) -> dict[str, Any]:
    files = {kind: getattr(wanted, kind) for kind in ("mask", "overlay", "probabilities")}
    ranked = sorted(zip(classes, shares, strict=True), key=lambda pair: -pair[1])
    return {"image": str(image), "classes": dict(ranked)} | {k: str(v) for k, v in files.items() if v}


def _tell(answer: dict[str, Any]) -> None:
    """Print the classes that are in the picture, and the files."""
    from foveate.segment.drawing import SMALLEST

    output.say(answer["image"])
    output.shares([(name, share) for name, share in answer["classes"].items() if share >= SMALLEST])
    for kind in ("mask", "overlay", "probabilities"):
        if kind in answer:
            output.say(f"  {answer[kind]}")


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
