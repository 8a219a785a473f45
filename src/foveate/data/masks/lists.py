"""Lists of files that say which image is in which split: train.txt, val.txt and test.txt.

A line is a name or a path, perhaps followed by more: the mask's path, as in CamVid's lists, or class numbers.
Names may contain dots and blanks. Such lists often have the paths of the machine that they were written on:
only the end of a path counts, as far as it is needed to tell the images apart.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from foveate.data.folders.name_words import sibling_splits
from foveate.data.folders.tree import Tree, is_image, stem_of
from foveate.errors import DataError, first_few
from foveate.files import read_text

_FOLDERS = ("", "ImageSets/Segmentation", "ImageSets", "splits", "split", "lists", "list", "annotations")


def split_lists(tree: Tree) -> dict[str, Path]:
    """Return the file that lists each split; empty if there are no lists.

    Raises:
        DataError: there is none for train, or two for one split.
    """
    for place in _FOLDERS:
        folder = _below(tree, place)
        stems = {stem_of(name): name for name in folder.names if name.lower().endswith(".txt")}
        splits = sibling_splits(stems)
        found: dict[str, Path] = {}
        for stem, split in splits.items():
            if split in found:
                raise DataError(
                    f"{folder.path}: {found[split].name} and {stems[stem]} both list {split}. Remove one."
                )
            found[split] = folder.path / stems[stem]
        if found and "train" not in found:
            raise DataError(f"{folder.path}: lists {', '.join(found)} but no train. Add train.txt.")
        if found:
            return found
    return {}


def listed(lists: Mapping[str, Path], images: Sequence[Path]) -> dict[Path, str]:
    """Return the split of each image that the lists name.

    Args:
        lists: The file of each split.
        images: The images that there are.

    Raises:
        DataError: a list cannot be read, a line names no image or several, or an image is listed twice.
    """
    known = _Known(images)
    found: dict[Path, str] = {}
    for split, file in lists.items():
        lost = []
        for line in _lines(file):
            image = known.image(file, line)
            if image is None:
                lost.append(line)
            elif image in found:
                raise DataError(
                    f"{file}: {image.stem} is listed twice ({found[image]}, {split}). Keep it once."
                )
            else:
                found[image] = split
        if lost:
            raise DataError(
                f"{file}: no image is called {first_few(lost)}. Correct the list, or add the images."
            )
    return found


class _Known:
    """The images by the ends of their paths.

    Args:
        images: Their files.
    """

    def __init__(self, images: Iterable[Path]) -> None:
        self._by_stem: dict[str, list[Path]] = defaultdict(list)
        for image in images:
            self._by_stem[image.stem].append(image)

    def image(self, file: Path, line: str) -> Path | None:
        """Return the image that a line of a list names, or None.

        Raises:
            DataError: it may be one of several.
        """
        for text in _readings(line):
            path = PurePosixPath(text)
            stem = path.stem if is_image(path.name) else path.name
            candidates = self._by_stem.get(stem, [])
            for depth in range(1, len(path.parts)):
                folders = path.parts[-1 - depth : -1]
                nearer = [image for image in candidates if image.parts[-1 - depth : -1] == folders]
                if len(candidates) < 2 or not nearer:
                    break
                candidates = nearer
            if len(candidates) > 1:
                raise DataError(
                    f"{file}: {text} may be {candidates[0]} or {candidates[1]}. Write the folder too."
                )
            if candidates:
                return candidates[0]
        return None


def _readings(line: str) -> Iterator[str]:
    """Yield possible readings of a line: all of it, then the parts before a separator, the longest first."""
    line = line.replace("\\", "/").strip()
    yield line
    for separator in ("\t", ",", ";"):
        if separator in line:
            yield line.split(separator)[0].strip().strip('"')
    words = line.split(" ")
    yield from (" ".join(words[:count]).strip() for count in range(len(words) - 1, 0, -1))


def _lines(file: Path) -> list[str]:
    lines = read_text(file, "Write one name per line, in UTF-8.").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def _below(tree: Tree, place: str) -> Tree:
    for name in place.split("/") if place else ():
        found = [folder for own, folder in tree.folders.items() if own.lower() == name.lower()]
        tree = found[0] if found else Tree(tree.path / name, [])
    return tree
