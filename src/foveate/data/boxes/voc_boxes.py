"""Boxes from Pascal VOC's files: one .xml a picture, each object with ``name`` and ``bndbox``.

Accepted are a folder in which such files lie at any depth, beside their pictures or in a folder of their own
(``Annotations`` beside ``JPEGImages``). Splits are those of ``ImageSets/Main/train.txt`` and the like, or
folders called train, val and test. An object that is ``difficult`` is not learnt, and finding it counts
neither as right nor as wrong. Corners are taken as they are written; those of VOC's own releases, which name
it as their database, count pixels from 1 and include the last one, and are brought to the usual form.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

from foveate.data.boxes.box_entries import Annotated, BoxEntry
from foveate.data.boxes.box_splits import picture_of, split_of
from foveate.data.folders.name_words import split_named
from foveate.data.folders.tree import is_image
from foveate.data.folders.walk import visible_files
from foveate.data.printable import printable
from foveate.errors import DataError
from foveate.files import read_text

_SIDES = ("xmin", "ymin", "xmax", "ymax")
_OWN = "The VOC"  # how the databases of VOC's releases are called


def is_voc(path: Path, files: Sequence[Path] | None = None) -> bool:
    """Return whether a folder holds VOC's files: the first .xml in it is one.

    Args:
        path: The folder.
        files: The visible files in it, if they are known.
    """
    some = visible_files(path) if files is None else files
    first = next((file for file in some if file.suffix.lower() == ".xml"), None)
    try:
        return first is not None and "<annotation" in read_text(first, "")[:2000]
    except DataError:
        return False


def read_voc(path: Path, images: str | None = None) -> Annotated:
    """Return what a folder of VOC's files holds.

    Args:
        path: The folder.
        images: The folder of the pictures, from ``path``; searched for if None.

    Raises:
        DataError: A file cannot be read, a box is not one, or a picture is missing.
    """
    path = path.resolve()
    files = visible_files(path)
    pictures = [file for file in files if is_image(file.name) and _may_be_picture(path, file)]
    if images is not None:
        pictures = [file for file in pictures if file.is_relative_to(path / images)]
    listed = _lists(path, files)
    read = [(file, _annotation(file)) for file in files if file.suffix.lower() == ".xml"]
    names = sorted({printable(name) for _, root in read for name in _names(root)})
    if not names:
        raise DataError(f"{path}: none of its {len(read)} .xml files has an object. Give VOC annotations.")
    number = {name: place for place, name in enumerate(names)}
    entries = [_entry(path, file, root, pictures, number, listed) for file, root in read]
    if listed:  # a release lists some pictures for other tasks alone
        entries = [entry for entry in entries if entry.split]
    left = len(pictures) - len(entries)
    notes = () if left <= 0 else (f"{left} pictures have no annotations and are not used",)
    return Annotated(tuple(names), tuple(entries), tuple(range(1, len(names) + 1)), notes)


def _may_be_picture(root: Path, file: Path) -> bool:
    return not any(part.startswith("Segmentation") for part in file.relative_to(root).parts)


def _annotation(file: Path) -> ElementTree.Element:
    text = read_text(file, "Export it again.")
    try:
        if "<!ENTITY" in text:  # would let a small file fill the memory
            raise ElementTree.ParseError("it declares entities")
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        raise DataError(f"{file}: cannot be read as XML ({error}). Export it again.") from None
    if root.tag != "annotation":
        raise DataError(f"{file}: holds <{printable(root.tag)}>, expected <annotation>. Remove the file.")
    return root


def _names(root: ElementTree.Element) -> list[str]:
    return [name for one in root.iter("object") if (name := (one.findtext("name") or "").strip())]


def _entry(
    path: Path,
    file: Path,
    root: ElementTree.Element,
    pictures: Sequence[Path],
    number: Mapping[str, int],
    listed: Mapping[str, str],
) -> BoxEntry:
    stated = (root.findtext("filename") or "").replace("\\", "/").rpartition("/")[2].strip()
    picture = picture_of(path, file, stated or file.stem, pictures)
    first = 1.0 if (root.findtext("source/database") or "").strip().startswith(_OWN) else 0.0
    boxes, labels, hard = [], [], []
    for place, one in enumerate(root.iter("object")):
        name = printable((one.findtext("name") or "").strip())
        try:
            left, top, right, bottom = (float(one.findtext(f"bndbox/{side}") or "") for side in _SIDES)
        except ValueError:
            raise DataError(
                f"{file}: object {place}, {name or 'without a name'}, has no bndbox of four numbers "
                f"({', '.join(_SIDES)}). Export it again."
            ) from None
        if name not in number:
            raise DataError(f"{file}: object {place} has no name. Name it, or remove it.")
        boxes.append((left - first, top - first, right, bottom))
        labels.append(number[name])
        hard.append((one.findtext("difficult") or "0").strip() == "1")
    return BoxEntry(
        name=picture.relative_to(path).as_posix(),
        path=picture,
        boxes=boxes,
        labels=labels,
        crowd=hard,
        split=listed.get(file.stem, "") if listed else split_of(path, file),
        size=_size(root),
    )


def _size(root: ElementTree.Element) -> tuple[int, int] | None:
    """Return height and width, if they are stated; tools that do not know them write 0."""
    try:
        height, width = (int(root.findtext(f"size/{side}") or 0) for side in ("height", "width"))
    except ValueError:
        return None
    return (height, width) if height > 0 and width > 0 else None


def _lists(root: Path, files: Sequence[Path]) -> dict[str, str]:
    """Return the split of each picture by its stem, from ``ImageSets/Main``; empty without such lists."""
    lists = {
        split: file
        for file in files
        if file.suffix == ".txt" and file.parent.name == "Main" and (split := split_named(file.stem))
    }
    if "train" not in lists:
        return {}
    return {
        line.split()[0]: split
        for split, file in lists.items()
        for line in read_text(file, "Export it again.").splitlines()
        if line.strip()
    }
