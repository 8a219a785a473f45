"""Open pictures with captions: COCO's, Karpathy's, Flickr's, a list or a table; see docs/words-data.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from foveate.data.base import SPLITS
from foveate.data.captions.caption_data import CaptionData, CaptionSplit
from foveate.data.captions.captioned import Captioned
from foveate.data.captions.find_captions import (
    CaptionFiles,
    find_captions,
    picture_paths,
    read_captions,
    split_lists,
)
from foveate.data.captions.read_caption_json import records
from foveate.data.images.common_levels import common_reading
from foveate.data.images.open_image import MOST_PIXELS, Reading
from foveate.data.pairs.divide import test_shares
from foveate.data.pairs.open_pairs import LONGEST
from foveate.data.pictured import contents_of, unlabelled
from foveate.data.printable import printable
from foveate.data.splits import SHARES, Shares, cut
from foveate.data.words.count_words import count_words
from foveate.errors import DataError, first_few
from foveate.options import whole
from foveate.quantities import agreeing

_FEW = 0.01  # of the pictures that may be missing; they are then left out

Parts = dict[str, list[Captioned]]


def open_captions(
    what: str | Path | Iterable[Mapping[str, object]],
    /,
    *,
    captions: str | None = None,
    images: str | None = None,
    longest: int | None = LONGEST,
    shares: Shares = SHARES,
    seed: int = 0,
    max_pixels: int = MOST_PIXELS,
) -> CaptionData:
    """Open pictures with captions.

    Args:
        what: A folder with pictures and captions; the file of the captions; or a list of objects, such as
            ``{"file": "photos/1.jpg", "captions": ["a dog"], "split": "train"}``.
        captions: The file of the captions, from the folder, if there are several.
        images: The folder of the pictures, from the one that is opened; searched for if None.
        longest: Words of the longest caption that is trained on; longer ones are left out of train and
            counted. Other splits keep theirs. None for any length.
        shares: Of train, val and test, where they are drawn.
        seed: Decides what is drawn.
        max_pixels: Pixels of the largest picture that is decoded.

    Returns:
        The pictures, all captions of one in the same split. Without a test split, one is drawn from train.
        Empty captions, pictures without captions, and pictures that are missing (up to one in a hundred) are
        left out and counted.

    Raises:
        DataError: Nothing of the kind is there, it cannot be read, or more pictures are missing.
        OptionError: Several files could be meant, or the shares are impossible.
    """
    longest = None if longest is None else whole("longest", longest)
    notes: list[str] = []
    warnings: list[str] = []
    if isinstance(what, str | Path):
        place = Path(what).expanduser().resolve()
        files = _files(place, captions)
        parts = _divided(files, notes)
        name = place.stem if place.is_file() else place.name
        origin: dict[str, object] = {"source": printable(str(place))}
    else:
        files = CaptionFiles({}, Path().resolve())
        parts = _by_split(records(what), {})
        name, origin = "captions", {"source": None, "description": "a list of captions"}
    _find(files, parts, images, warnings)
    parts = {name: _kept(name, some, longest, warnings) for name, some in parts.items()}
    parts = _with_test(parts, shares, seed, notes)
    how, said = common_reading([one.path for some in parts.values() for one in some if one.path], max_pixels)
    splits = {name: _split(parts[name], how) for name in SPLITS if parts.get(name)}
    given = {"captions": captions, "images": images}
    options = {name: value for name, value in given.items() if value is not None}
    options |= {"max_pixels": max_pixels} if max_pixels != MOST_PIXELS else {}  # type: ignore[dict-item]
    return CaptionData(
        name=printable(name),
        splits=splits,
        origin={
            **origin,
            "options": {**options, "longest": longest, "shares": list(shares), "seed": seed},
            "notes": [*notes, *said],
            "warnings": warnings,
        },
        contents=contents_of(splits, how),
        longest=longest,
    )


def _files(place: Path, captions: str | None) -> CaptionFiles:
    if not place.exists():
        raise DataError(f"{place}: no such file or folder. Give pictures with captions, or their file.")
    files = find_captions(place, captions)
    if files is None:
        raise DataError(
            f"{place}: no captions are here. Expected COCO's captions_train2017.json, a dataset_*.json, a "
            '*.token.txt, a table image,caption, or a list [{"file": "1.jpg", "captions": ["..."]}].'
        )
    return files


def _divided(files: CaptionFiles, notes: list[str]) -> Parts:
    """Return the pictures by split, those of no split under the empty name."""
    if "" not in files.files:
        return {split: read_captions(file) for split, file in files.files.items()}
    every = read_captions(files.files[""])
    lists = split_lists(files) if all(one.split is None for one in every) else {}
    parts = _by_split(every, lists)
    if "train" in parts and "" in parts:
        left = parts.pop("")
        names = first_few(printable(one.name) for one in left)
        notes.append(
            agreeing(
                len(left),
                "{n} [picture with captions is in no split and is|pictures with captions are in no split and "
                "are] not used: {names}",
                names=names,
            )
        )
    return parts


def _by_split(every: Iterable[Captioned], lists: Mapping[str, str]) -> Parts:
    parts: Parts = {}
    for one in every:
        split = one.split or lists.get(one.name) or lists.get(Path(one.name).stem)
        parts.setdefault(split or "", []).append(one)
    return parts


def _find(files: CaptionFiles, parts: Parts, images: str | None, warnings: list[str]) -> None:
    """Look for the file of each picture; a few may be missing.

    Raises:
        DataError: Many are missing.
    """
    for split, some in parts.items():
        paths = picture_paths(files, split, [one.name for one in some], images)
        for one in some:
            one.path = paths.get(one.name)
    total = sum(map(len, parts.values()))
    missing = [printable(one.name) for some in parts.values() for one in some if one.path is None]
    if len(missing) > _FEW * total:
        where = first_few(files.files.values()) or "captions"
        raise DataError(
            f"{where}: {len(missing):,} of {total:,} pictures are not found: {first_few(missing)}. Say where "
            f"they are: --images FOLDER (in Python images=), from {files.root}."
        )
    if missing:
        warnings.append(
            agreeing(
                len(missing),
                "{n} [picture is|pictures are] missing and left out: {names}.",
                names=first_few(missing),
            )
        )


def _kept(split: str, some: Sequence[Captioned], longest: int | None, warnings: list[str]) -> list[Captioned]:
    """Return the pictures that can be used, with the captions that can."""
    kept, empty, long, bare, twice = list[Captioned](), list[str](), list[str](), list[str](), list[str]()
    owner: dict[Path, str] = {}
    for one in some:
        if one.path is None:
            continue
        if owner.setdefault(one.path, one.name) != one.name:
            twice.append(one.name)
            continue
        captions = []
        for caption in map(str.strip, one.captions):
            if not caption:
                empty.append(one.name)
            elif split in ("train", "") and longest is not None and count_words(caption) > longest:
                long.append(one.name)
            else:
                captions.append(caption)
        if captions:
            kept.append(replace(one, captions=captions))
        else:
            bare.append(one.name)
    where = f"{split}: " if split else ""
    for names, what in (
        (twice, "[picture is|pictures are] listed under a second name and left out"),
        (empty, "[caption is|captions are] empty and left out"),
        (
            long,
            f"[caption of more than {longest} words is|captions of more than {longest} words are] left out",
        ),
        (bare, "[picture has no caption left and is|pictures have no caption left and are] left out"),
    ):
        if names:
            warnings.append(
                f"{where}{agreeing(len(names), f'{{n}} {what}')}: {first_few(map(printable, names))}."
            )
    return kept


def _with_test(parts: Parts, shares: Shares, seed: int, notes: list[str]) -> Parts:
    """Return parts with a split train and a split test, drawn where there is none."""
    whole_part = "" if parts.get("") else "train"
    if parts.get("test") or not parts.get(whole_part):
        return parts
    kept = {name: some for name, some in parts.items() if some and name != whole_part}
    some = sorted(parts[whole_part], key=lambda one: one.name)
    shares = test_shares(shares) if "val" in kept else shares
    chosen = cut(np.zeros(len(some), dtype=np.int64), seed=seed, shares=shares)
    drawn = {name: [some[item] for item in items] for name, items in chosen.items()}
    sizes = ", ".join(f"{name} {len(part):,}" for name, part in drawn.items())
    notes.append(f"drawn by seed {seed} from pictures without a test split: {sizes}")
    return {**kept, **drawn}


def _split(some: Sequence[Captioned], how: Reading) -> CaptionSplit:
    files = [one.path for one in some if one.path is not None]
    pictures = unlabelled(files, [printable(one.name) for one in some], how)
    return CaptionSplit(pictures, tuple(tuple(map(printable, one.captions)) for one in some))
