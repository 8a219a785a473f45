"""Captions in JSON: COCO's, Karpathy and Fei-Fei's splits, or a plain list.

{"images": [{"id": 1, "file_name": "1.jpg"}], "annotations": [{"image_id": 1, "caption": "..."}]}
{"images": [{"filename": "1.jpg", "split": "train", "sentences": [{"raw": "..."}]}]}
[{"file": "1.jpg", "split": "train", "captions": ["...", "..."]}]     (or one object on each line, .jsonl)
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from foveate.data.captions.captioned import Captioned, gathered, stated_split
from foveate.data.pairs.read_lines import read_lines
from foveate.errors import DataError
from foveate.files import read_json

_LARGEST = 2**32  # bytes of a file
_ADVICE = 'Give COCO captions, a Karpathy split, or a list: [{"file": "1.jpg", "captions": ["..."]}].'
FILES = ("file", "filename", "file_name", "image", "image_path", "path", "picture", "name")
TEXTS = ("captions", "caption", "sentences", "text")


def read_caption_json(file: Path) -> list[Captioned]:
    """Return the pictures of a .json or .jsonl file with their captions.

    Raises:
        DataError: It cannot be read, or is none of the three forms; the text names the entry.
    """
    if file.suffix.lower() in (".jsonl", ".ndjson"):
        return gathered(_records(file, _objects(file)), file)
    found = read_json(file, DataError, _ADVICE, largest=_LARGEST)
    if isinstance(found, list):
        return gathered(_records(file, found), file)
    images = found.get("images") if isinstance(found, Mapping) else None
    if not isinstance(images, list):
        raise DataError(f"{file}: holds no list of images. {_ADVICE}")
    notes = found.get("annotations")
    if isinstance(notes, list):
        return _coco(file, images, notes)
    return gathered(_records(file, images), file)


def records(found: Iterable[object]) -> list[Captioned]:
    """Return the pictures of a list of objects in Python, such as ``{"file": ..., "captions": [...]}``.

    Raises:
        DataError: One has no picture or no captions; the text names the entry.
    """
    return gathered(_records(Path("captions"), found), Path("captions"))


def _objects(file: Path) -> Iterator[object]:
    for number, line in enumerate(read_lines(file), 1):
        if line.strip():
            try:
                yield json.loads(line)
            except (ValueError, RecursionError) as error:
                raise DataError(f"{file}, line {number}: is not JSON ({error}). Correct it.") from None


def _records(file: Path, records: Iterable[object]) -> Iterator[Captioned]:
    """Yield the pictures of a list of objects; Karpathy's have a folder beside the name."""
    for number, record in enumerate(records):
        where = f"{file}, entry {number}"
        if not isinstance(record, Mapping):
            raise DataError(f"{where}: is not an object. {_ADVICE}")
        name = next((str(record[key]) for key in FILES if isinstance(record.get(key), str | Path)), None)
        if not name:
            raise DataError(f"{where}: names no picture: expected one of {', '.join(FILES)}. {_ADVICE}")
        folder = record.get("filepath")
        texts = next((record[key] for key in TEXTS if key in record), None)
        yield Captioned(
            f"{folder}/{name}" if isinstance(folder, str) and folder else name,
            _texts(texts, where),
            stated_split(record.get("split"), where),
        )


def _texts(texts: object, where: str) -> list[str]:
    some = [texts] if isinstance(texts, str | Mapping) else texts
    if not isinstance(some, Sequence):
        raise DataError(f"{where}: has no captions: expected one of {', '.join(TEXTS)}, a list. {_ADVICE}")
    found = [text.get("raw", text.get("caption")) if isinstance(text, Mapping) else text for text in some]
    if not all(isinstance(text, str) for text in found):
        raise DataError(f"{where}: a caption is not text. {_ADVICE}")
    return [str(text) for text in found]


def _coco(file: Path, images: Sequence[object], notes: Sequence[object]) -> list[Captioned]:
    found: dict[object, Captioned] = {}
    for number, image in enumerate(images):
        where = f"{file}, images[{number}]"
        if not isinstance(image, Mapping) or not isinstance(image.get("file_name"), str):
            raise DataError(f"{where}: has no file_name. {_ADVICE}")
        key = image.get("id")
        if not isinstance(key, int | str) or key in found:
            raise DataError(f"{where}: its id {key!r} is missing or was there before. Export it again.")
        found[key] = Captioned(image["file_name"], [])
    for number, note in enumerate(notes):
        where = f"{file}, annotations[{number}]"
        if not isinstance(note, Mapping) or not isinstance(note.get("caption"), str):
            raise DataError(f"{where}: has no caption. Is this COCO's file of captions?")
        key = note.get("image_id")
        if not isinstance(key, int | str) or key not in found:
            raise DataError(f"{where}: its image_id {key!r} is not in the list of images. Export it again.")
        found[key].captions.append(note["caption"])
    return gathered(found.values(), file)
