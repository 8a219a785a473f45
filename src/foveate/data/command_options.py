"""How data is read, in the words of a command line: the options of ``check``, ``train`` and ``compare``."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from cyclopts import Group, Parameter

from foveate.errors import OptionError

READING = Group("Reading the data", sort_key=3)


@Parameter(name="*", group=READING)
@dataclass(frozen=True)
class DataOptions:
    """The options of all openers; None leaves one to what the data looks like."""

    images: str | None = None
    """Folder of the images (or captioned pictures), by name or path, if it is not a usual one."""

    masks: str | None = None
    """Folder of the masks, likewise."""

    classes: str | None = None
    """Names of the masks' classes in order, such as road,car,void; how many; or a file with one per line."""

    colours: str | None = None
    """Colours of RGB masks: a file of name,red,green,blue lines, or "road=(128,64,128), sky=(0,0,255)"."""

    background: str | None = None
    """Name of class 0 of binary masks, or of all colours that --colours leaves out; ignore: not counted."""

    threshold: int | None = None
    """Grey level from which on a pixel is foreground, such as 128, for masks with soft edges or in JPEG."""

    ignore_index: str | None = None
    """Values or names of pixels that do not count, such as 255 or 0,void."""

    ignore_outside: str | None = None
    """Folder of masks of the field of view: what is 0 there does not count."""

    class_folders: Literal["outer", "inner", "path"] | None = None
    """Which folders are the classes, where folders lie in folders; path joins their names."""

    separator: str | None = None
    """In a table: what stands between several labels of an image, such as "|"."""

    labels: str | None = None
    """In a table: the columns of 0 and 1 that are labels, such as effusion,mass."""

    pose_columns: str | None = None
    """In a table of pictures to generate: the columns that are a pose, such as angle,height; or none."""

    truth: Literal["mask", "labels"] | None = None
    """Of COCO annotations: masks of the objects, or which categories an image has. Default: mask."""

    captions: str | None = None
    """File of the captions, from the folder, if there are several."""

    questions: str | None = None
    """File of the questions, likewise."""

    annotations: str | None = None
    """Of VQA's questions: the file of the answers, likewise."""

    source: str | None = None
    """Of sentences: the language to translate from, as the files' endings or columns name it, such as en."""

    target: str | None = None
    """The language to translate into; or the file with the translations, if DATA is one text file."""

    train: str | None = None
    """Of a folder of sentences: the part to train on, if its name does not say so; likewise the next two."""

    val: str | None = None
    """The part for validation."""

    test: str | None = None
    """The part for the test, such as test_2016_flickr."""

    longest: int | None = None
    """Words of the longest sentence or caption that is trained on. Default: 100."""

    shares: str | None = None
    """Of train, val and test, for data in one piece. Default: 0.7,0.1,0.2."""

    split_seed: int | None = None
    """Decides how data in one piece is cut. Default: 0."""

    large: bool | None = None
    """Read images in parts, not whole: overviews, and windows at full size. See docs/megapixel.md."""

    max_pixels: int | None = None
    """Pixels of the largest image that is decoded, for files that you trust."""

    def given(self) -> dict[str, Any]:
        """Return the options that were given, as ``open_data`` takes them.

        Raises:
            OptionError: One cannot be read.
        """
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        found = {name: value for name, value in found.items() if value is not None}
        for name, read in _READERS.items():
            if name in found:
                found[name] = read(found[name])
        if "split_seed" in found:
            found["seed"] = found.pop("split_seed")
        return found


def _classes(text: str) -> int | str | list[str]:
    """Return how many classes, the file of their names, or the names."""
    if text.strip().isdecimal():
        return int(text)
    if Path(text).is_file():
        return text
    names = [name.strip() for name in text.split(",")]
    if len(names) < 2:
        raise OptionError(f"--classes {text}: not a number, a file, or names with commas between them")
    return names


def _colours(text: str) -> str | dict[str, Any]:
    """Return the file of a colour table, or the table."""
    if "=" not in text:
        return text
    from foveate.calls import options_in

    return dict(options_in(f"({text})", f"--colours {text}"))


def _values(text: str) -> list[int | str]:
    """Return values and names of pixels."""
    words = [word.strip() for word in text.split(",")]
    odd = next((word for word in words if re.fullmatch(r"--+[0-9]+|-?[0-9]{20,}", word)), None)
    if odd is not None:
        raise OptionError(f"--ignore-index: got {odd}, expected values or names of pixels: 255 or 0,void")
    return [int(word) if re.fullmatch(r"-?[0-9]+", word) else word for word in words]


def _shares(text: str) -> list[float]:
    try:
        return [float(word) for word in text.split(",")]
    except ValueError:
        raise OptionError(f"--shares {text}: expected three numbers, such as 0.7,0.1,0.2") from None


_READERS = {"classes": _classes, "colours": _colours, "ignore_index": _values, "shares": _shares}
