"""Which files of a folder hold sentences, in which language and for which split.

train.en  train.de  val.en.gz  val.de.gz  test_2016_flickr.en.txt ...   one file per part and language
train/news.en  train/news.de  test/en.txt  test/de.txt ...              the same in a folder per split
train.tsv  val.jsonl  test.csv ...                                      a table per split
"""

from __future__ import annotations

import gzip
import re
import stat
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from foveate.data.base import SPLITS
from foveate.data.folders.name_words import meaning, split_named
from foveate.data.folders.walk import visible_folders
from foveate.data.images.open_image import SUFFIXES
from foveate.data.printable import printable
from foveate.errors import DataError, OptionError, first_few, nearest

TABLES = (".tsv", ".csv", ".jsonl", ".ndjson", ".parquet")
SOURCES, TARGETS = ("source", "src"), ("target", "tgt", "trg")  # names that say themselves what they are
_LOOKED_AT = 2**16  # bytes of a first line
# Two letters that are the code of a language (ISO 639-1).
_TWO = frozenset(
    "ab af am an ar as ay az ba be bg bn bo br bs ca ce co cs cu cv cy da de dv dz ee el en eo es et eu "
    "fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi hr ht hu hy ia id ig ik io is it iu ja jv ka kg ki "
    "kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd "
    "ne ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm "
    "sn so sq sr ss st su sv sw ta te tg th ti tk tl tn to tr tt tw ty ug uk ur uz ve vi vo wa wo xh yi "
    "yo za zh zu".split()
)
_CODE = re.compile(r"[a-z]{2,3}(?:[-_][A-Za-z]{2,4})?$")


@dataclass
class Found:
    """What a folder holds.

    Args:
        texts: By part, such as "train" or "test_2016_flickr", the file of each language.
        tables: The table of each part.
    """

    texts: dict[str, dict[str, Path]] = field(default_factory=dict)
    tables: dict[str, Path] = field(default_factory=dict)


def stem_of(path: Path) -> str:
    """Return a file's name without .gz and .txt."""
    name = path.name
    for ending in (".gz", ".txt"):
        name = name[: -len(ending)] if name.lower().endswith(ending) else name
    return name


def is_table(path: Path) -> bool:
    """Return whether a file is a table by name, compressed or not."""
    return Path(path.name.lower().removesuffix(".gz")).suffix in TABLES


def language_of(path: Path) -> str:
    """Return what a text file's ending says about its language; its name if it has none."""
    return stem_of(path).rpartition(".")[2]


def first_line(path: Path) -> str:
    """Return the first line of a text file, or its beginning if it is long; "" if it cannot be read."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would wait for ever
            return ""
        with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as file:
            return file.readline(_LOOKED_AT).decode("utf-8-sig", errors="replace").rstrip("\r\n")
    except (OSError, EOFError, zlib.error):
        return ""


def is_language(name: str) -> bool:
    """Return whether a file's ending looks like the code of a language, or says source or target."""
    return bool(_CODE.match(name)) or name.lower() in SOURCES + TARGETS


def is_surely_language(name: str) -> bool:
    """Return whether a file's ending is a known code of two letters ("en", "pt-BR"), or source or target."""
    code = name.replace("_", "-").partition("-")[0]
    return (is_language(name) and code in _TWO) or name.lower() in SOURCES + TARGETS


def found_in(folder: Path) -> Found:
    """Return the texts and tables in a folder and in its folders that are named as splits.

    Raises:
        DataError: The folder cannot be read.
    """
    found = Found()
    within = [place for place in visible_folders(folder) if meaning(place.name).split in SPLITS]
    for place in [folder, *within]:
        for path in sorted(place.iterdir()):
            picture = path.suffix.lower() in SUFFIXES  # of which there may be many
            if path.name.startswith(".") or picture or not path.is_file():
                continue
            if is_table(path):
                name = Path(path.name.lower().removesuffix(".gz")).stem
                found.tables[name if place == folder else place.name] = path
                continue
            part, _, language = stem_of(path).rpartition(".")
            if place != folder:
                part = f"{place.name}/{part}" if part else place.name
            if part and language:
                found.texts.setdefault(part, {})[language] = path
    return found


def languages_of(
    where: Path, names: Sequence[str], source: str | None, target: str | None, *, what: str
) -> tuple[str, str]:
    """Return which of the names is the source and which the target.

    Args:
        where: What was opened, for messages.
        names: Languages of files, or columns of a table.
        source: What the user calls it, if at all.
        target: Likewise.
        what: What the names are, for messages: "languages", "columns".

    Raises:
        OptionError: They cannot be distinguished, or are not there.
    """
    known = [name for name in names if is_language(name)]
    source = _named(where, names, source, "source", what) or _one_of(names, SOURCES)
    target = _named(where, names, target, "target", what) or _one_of(names, TARGETS)
    if source is None and target is not None and len(known) == 2:
        source = next((name for name in known if name != target), None)
    if target is None and source is not None and len(known) == 2:
        target = next((name for name in known if name != source), None)
    if source is None or target is None or source == target:
        listed = ", ".join(map(printable, known or names)) or "none"
        first, second = (*(known or names), "en", "de")[:2]
        raise OptionError(
            f"{where}: which language is translated into which? Found the {what} {listed}. Say so: "
            f"--source {first} --target {second} (in Python source={first!r}, target={second!r})"
        )
    return source, target


def parts_of(
    where: Path, parts: Sequence[str], asked: Mapping[str, str | None]
) -> tuple[dict[str, str], list[str]]:
    """Return the part of each split, and notes; one part alone under the empty name if no name is a split's.

    Args:
        where: What was opened, for messages.
        parts: Their names.
        asked: The part that the user names for a split, or None.

    Raises:
        OptionError: A named part is not there, or several could be a split.
        DataError: There are several parts, and none is for training.
    """
    chosen: dict[str, str] = {}
    for split, part in asked.items():
        if part is not None:
            if part not in parts:
                raise OptionError(f"{where}: {split}: there is no part {part!r}. {nearest(part, parts)}")
            chosen[split] = part
    left = [part for part in parts if part not in chosen.values()]
    for split in SPLITS:
        if split not in chosen:
            sure = [part for part in left if split_named(part) == split]
            named = sure or [part for part in left if meaning(part.rpartition("/")[2] or part).split == split]
            named = named or [part for part in left if meaning(part.partition("/")[0]).split == split]
            if len(named) > 1:
                listed = ", ".join(map(printable, named))
                raise OptionError(
                    f"{where}: several parts could be the split {split}: {listed}. Say which: "
                    f"--{split} {named[0]} (in Python {split}={named[0]!r})"
                )
            if named:
                chosen[split] = named[0]
    if "train" not in chosen:
        if len(parts) != 1:
            raise DataError(
                f"{where}: no part is named as the training set; found {first_few(map(printable, parts))}. "
                "Say which it is: --train NAME (in Python train=)"
            )
        return {"": parts[0]}, []
    unused = [part for part in parts if part not in chosen.values()]
    notes = [f"{split} is {chosen[split]}" for split in SPLITS if chosen.get(split, split) != split]
    notes += [f"not used: {first_few(map(printable, unused))}"] if unused else []
    return {split: chosen[split] for split in SPLITS if split in chosen}, notes


def _one_of(names: Sequence[str], usual: Sequence[str]) -> str | None:
    return next((name for name in names if name.lower() in usual), None)


def _named(where: Path, names: Sequence[str], asked: str | None, option: str, what: str) -> str | None:
    if asked is None:
        return None
    found = next((name for name in names if name.lower() == asked.lower()), None)
    if found is None:
        listed = ", ".join(map(printable, names)) or "none"
        raise OptionError(f"{where}: {option}: got {asked!r}, expected one of the {what}: {listed}")
    return found
