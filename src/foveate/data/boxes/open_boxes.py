"""One door to data for detection: scenes, COCO, Pascal VOC, YOLO's texts, or a table."""

from __future__ import annotations

from pathlib import Path

from foveate.data.boxes.box_data import BoxData
from foveate.data.boxes.box_entries import Annotated, data_from_boxes
from foveate.data.boxes.coco_boxes import coco_annotations, read_coco_boxes
from foveate.data.boxes.scene_boxes import box_scenes
from foveate.data.boxes.table_boxes import is_box_table, read_box_table
from foveate.data.boxes.voc_boxes import is_voc, read_voc
from foveate.data.boxes.yolo_boxes import is_yolo, read_yolo
from foveate.data.folders.walk import visible_files
from foveate.data.images.open_image import MOST_PIXELS
from foveate.data.open import MANIFESTS, call_opener, means_scenes, scene_words
from foveate.data.splits import SHARES, Shares
from foveate.errors import DataError, FoveateError, OptionError
from foveate.options import flag

_FORMS = (
    "COCO's .json, a folder of Pascal VOC's .xml files, a folder of pictures with YOLO's texts, a table with "
    "the columns path, x1, y1, x2, y2, label, or scenes"
)


def open_boxes(source: object = None, /, *, seed: int = 0, **options: object) -> BoxData:
    """Open pictures with boxes.

    Args:
        source: None or "scenes" or "scenes(size=96, distractors=8)" for the built-in scenes; a COCO file, or
            a folder with one a split; a folder of VOC's or YOLO's files; a .csv, .tsv or .parquet table.
        seed: Decides how data that comes in one piece is split, and what the scenes show.
        options: ``images`` (folder of the pictures), ``shares``, ``max_pixels``; for scenes, their own.

    Raises:
        DataError: Nothing of the kind is there, or it cannot be used.
        OptionError: An option is unknown or impossible.

    Example:
        >>> open_boxes("scenes(train=8, val=0, test=4, classes=4)")
        BoxData(scenes: 4 classes; train 8, test 4)
    """
    if isinstance(source, BoxData):
        return source
    if source is None or means_scenes(source):
        return call_opener("scenes", box_scenes, _scene_options(source, {"seed": seed, **options}))
    if not isinstance(source, str | Path):
        raise DataError(f"detection: got {type(source).__name__}, expected a path: {_FORMS}.")
    return call_opener("boxes", _open_path, {"seed": seed, **options}, Path(source).expanduser())


def has_boxes(source: object) -> bool:
    """Return whether a source is clearly data with boxes and nothing else.

    COCO annotations are not: they may be for segmentation too.
    """
    if not isinstance(source, str | Path):
        return False
    try:
        if means_scenes(source):
            return scene_words(source).get("boxes") is True
        path = Path(source).expanduser()
        if path.suffix.lower() in MANIFESTS and path.is_file():
            return is_box_table(path)
        files = visible_files(path) if path.is_dir() else []
    except FoveateError:
        return False
    return is_voc(path, files) or is_yolo(files)


def _scene_options(source: object, options: dict[str, object]) -> dict[str, object]:
    found = {**options, **scene_words(source)}
    if not flag("boxes", found.pop("boxes", True)):  # type: ignore[arg-type]
        raise OptionError("scenes: boxes=False, but detection needs them. Leave it out, or the task.")
    if found.pop("masks", False):
        raise OptionError("scenes: masks=True is for segmentation. Leave it out, or write boxes=True.")
    return found


def _open_path(
    path: Path,
    *,
    seed: int = 0,
    shares: Shares = SHARES,
    images: str | None = None,
    max_pixels: int = MOST_PIXELS,
) -> BoxData:
    options = {} if images is None else {"images": images}
    return data_from_boxes(
        path.resolve(),
        _read(path, images),
        seed=seed,
        shares=shares,
        options=options,
        max_pixels=max_pixels,
    )


def _read(path: Path, images: str | None) -> Annotated:
    if not path.exists():
        raise DataError(f"{path}: no such file or folder. Give {_FORMS}.")
    if path.suffix.lower() in MANIFESTS and path.is_file():
        if images is not None:
            raise OptionError("images: a table names its pictures by their paths. Leave it out.")
        return read_box_table(path)
    if coco_annotations(path):
        return read_coco_boxes(path, images)
    files = visible_files(path) if path.is_dir() else []
    if is_voc(path, files):
        return read_voc(path, images)
    if is_yolo(files):
        return read_yolo(path, images)
    raise DataError(f"{path}: no annotations with boxes. Give {_FORMS}.")
