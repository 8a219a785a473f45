"""Which files of a folder hold captions, which lists divide them, and where the pictures are."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from foveate.data.base import SPLITS
from foveate.data.captions.captioned import Captioned
from foveate.data.captions.read_caption_json import read_caption_json
from foveate.data.captions.read_caption_text import is_caption_table, is_token_file, read_caption_text
from foveate.data.folders.name_words import meaning
from foveate.data.folders.walk import visible_folders
from foveate.data.images.open_image import SUFFIXES, check_file
from foveate.data.pairs.find_files import first_line
from foveate.data.pairs.read_lines import read_lines
from foveate.errors import DataError, OptionError, first_few

Kind = Literal["karpathy", "list", "tokens", "table", "coco"]
_ORDER: tuple[Kind, ...] = ("karpathy", "list", "tokens", "table", "coco")  # which of several kinds is read
_JSON, _TEXT = (".json", ".jsonl", ".ndjson"), (".txt", ".token", ".csv", ".tsv")
_MANY = 100  # files of one folder that may hold captions; more of them are annotations of single pictures
_OTHER = "lemma"  # Flickr8k's captions in dictionary form, beside the real ones


@dataclass(frozen=True)
class CaptionFiles:
    """What holds the captions.

    Args:
        files: By split; one alone under the empty name.
        root: The folder that was opened, or that of the file.
    """

    files: Mapping[str, Path]
    root: Path


def kind_of(file: Path) -> Kind | None:
    """Return which kind of captions a file holds, or None if it holds none; little of it is read."""
    if file.suffix.lower() in _JSON:
        return _kind_of_json(file)
    if file.suffix.lower() in _TEXT:
        if is_token_file(file):
            return "tokens"
        return "table" if is_caption_table(file) else None
    return None


def _kind_of_json(file: Path) -> Kind | None:
    try:
        check_file(file)
        with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as text:
            has = {word: text.find(f'"{word}"'.encode()) >= 0 for word in _KEYS}
            listed = text[:100].lstrip()[:1] == b"["
    except (OSError, ValueError, DataError):  # empty, not a file, or not readable
        return None
    if has["images"] and has["sentences"]:
        return "karpathy"
    if has["images"] and has["annotations"]:
        return "coco" if has["caption"] else None
    if has["captions"] or has["caption"]:
        return "list" if listed or file.suffix.lower() != ".json" else None
    return None


_KEYS = ("images", "sentences", "annotations", "captions", "caption")


def find_captions(path: Path, named: str | None = None) -> CaptionFiles | None:
    """Return the files that hold the captions of a folder, or the file itself; None if there are none.

    Args:
        path: A file of captions, or a folder with some at most one folder below.
        named: The file of a folder that the user means, relative to it.

    Raises:
        DataError: The named file is not there, or a folder cannot be read.
        OptionError: There are several, and it is not clear which is meant.
    """
    if path.is_file():
        return CaptionFiles({"": path}, path.parent)
    if named is not None:
        file = path / named
        if not file.is_file():
            raise DataError(
                f"{file}: there is no such file. Name the file of captions from the folder {path}."
            )
        return CaptionFiles({"": file}, path)
    kinds = {file: kind for file in _candidates(path) if (kind := kind_of(file)) is not None}
    for kind in _ORDER:
        files = [file for file, found in kinds.items() if found == kind]
        by_split = _by_split(path, files)
        if "train" in by_split:
            return CaptionFiles(by_split, path)
        if len(files) > 1:
            names = first_few(file.relative_to(path).as_posix() for file in files)
            raise OptionError(
                f"{path}: several files hold captions: {names}. Say which: --captions "
                f"{files[0].relative_to(path).as_posix()} (in Python captions=)"
            )
        if files:
            return CaptionFiles({"": files[0]}, path)
    return None


def _candidates(path: Path) -> Iterator[Path]:
    for folder in (path, *visible_folders(path)):
        with os.scandir(folder) as entries:  # of folders with many pictures
            names = sorted(entry.name for entry in entries if entry.name.lower().endswith((*_JSON, *_TEXT)))
        if len(names) <= _MANY:
            yield from (folder / name for name in names if name[0] != "." and _OTHER not in name)


def _by_split(root: Path, files: Sequence[Path]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for file in files:
        names = [file.stem, *([file.parent.name] if file.parent != root else [])]
        split = next((split for name in names if (split := meaning(name).split) in SPLITS), None)
        if split is not None:
            found.setdefault(split, file)
    return found


def read_captions(file: Path) -> list[Captioned]:
    """Return the pictures of a file with their captions.

    Raises:
        DataError: It cannot be read.
    """
    return read_caption_json(file) if file.suffix.lower() in _JSON else read_caption_text(file)


def split_lists(files: CaptionFiles) -> dict[str, str]:
    """Return the split of each picture that a list names, such as those in Flickr_8k.trainImages.txt.

    Names are kept with and without their ending, since some lists leave it out.
    """
    found: dict[str, str] = {}
    for folder in dict.fromkeys([files.root, *(file.parent for file in files.files.values())]):
        for file in sorted(folder.glob("*.txt")):
            split = meaning(file.stem).split
            line = first_line(file).strip()
            if split in SPLITS and Path(line).suffix.lower() in SUFFIXES and "\t" not in line:
                for name in read_lines(file):
                    found[name.strip()] = found[Path(name.strip()).stem] = str(split)
    return found


def picture_paths(
    files: CaptionFiles, split: str, names: Sequence[str], images: str | None
) -> dict[str, Path]:
    """Return the file of each picture of a split that is found, by its name.

    Args:
        files: Where the captions are.
        split: The split, whose folder is looked into first.
        names: The pictures, as the captions write them.
        images: The folder of the pictures, from the one that was opened; searched for if None.
    """
    places = [files.root / images] if images is not None else list(_places(files))
    places.sort(key=lambda place: meaning(place.name).split != (split or None))
    found = {name: next((path for place in places if (path := _file(place, name))), None) for name in names}
    return {name: path for name, path in found.items() if path is not None}


def _places(files: CaptionFiles) -> Iterator[Path]:
    """Yield folders where pictures may be: beside the captions, and one or two folders below or above."""
    seen = dict[Path, None]() if files.files else {files.root: None}
    for file in files.files.values():
        for folder in (file.parent, files.root, files.root.parent):
            seen[folder] = None
            if folder != files.root.parent:
                for below in visible_folders(folder):
                    seen[below] = None
                    seen.update(dict.fromkeys(visible_folders(below)))
    yield from seen


def _file(folder: Path, name: str) -> Path | None:
    turned = name.replace("\\", "/")
    for written in dict.fromkeys((turned, turned.rpartition("/")[2])):
        try:
            if written and (folder / written).is_file():
                return folder / written
        except (OSError, ValueError):  # too long, a zero byte or half a character: not the name of a file
            continue
    return None
