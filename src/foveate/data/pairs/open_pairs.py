"""Open sentences in two languages: files, a folder of them, tables, or Python; see docs/words-data.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from foveate.data.base import SPLITS
from foveate.data.pairs.divide import trainable, with_test
from foveate.data.pairs.find_files import (
    TABLES,
    first_line,
    found_in,
    is_table,
    language_of,
    languages_of,
    parts_of,
    stem_of,
)
from foveate.data.pairs.pair_data import LineNames, PairData, PairSplit
from foveate.data.pairs.pairs_in_memory import Pairs, parts_in_memory
from foveate.data.pairs.part import Part, read_part
from foveate.data.pairs.read_pair_table import read_pair_table
from foveate.data.printable import printable
from foveate.data.splits import SHARES, Shares
from foveate.errors import DataError, OptionError
from foveate.options import whole

LONGEST = 100  # words


def open_pairs(
    what: str | Path | Sequence[str | Path] | Pairs | Mapping[str, Pairs],
    /,
    *,
    source: str | None = None,
    target: str | None = None,
    train: str | None = None,
    val: str | None = None,
    test: str | None = None,
    longest: int | None = LONGEST,
    shares: Shares = SHARES,
    seed: int = 0,
) -> PairData:
    """Open pairs of sentences.

    Args:
        what: A folder with ``<part>.<language>`` files or a table per split; a table (.tsv, .csv, .jsonl,
            .parquet); a text file, with ``target`` naming the other, or a sequence of both; or the pairs
            themselves: (sentence, translation), or a mapping from the names of splits to such.
        source: The language to translate from, as the files' endings or the columns name it.
        target: The language to translate into; the path of the other file if ``what`` is one text file.
        train: The part of a folder to train on, if its name does not say so; likewise ``val`` and ``test``.
        val: For validation.
        test: For the test, such as "test_2016_flickr".
        longest: Words of the longest sentence that is trained on; pairs with a longer one are left out of
            train and counted. Other splits keep theirs whole. None for any length.
        shares: Of train, val and test, where they are drawn.
        seed: Decides what is drawn.

    Returns:
        The pairs. Without a test split, one is drawn from train, with all copies of a sentence in one
        split; pairs with an empty side are left out of train and counted.

    Raises:
        DataError: Nothing of the kind is there; files cannot be read or have different numbers of lines; or
            train or test would be empty.
        OptionError: Languages or parts cannot be distinguished; the text says what there is.
    """
    longest = None if longest is None else whole("longest", longest)
    asked = {"train": train, "val": val, "test": test}
    notes: list[str] = []
    warnings: list[str] = []
    read = _read(what, source, target, asked, notes)
    parts = with_test(read.parts, shares, seed, notes)
    parts["train"] = trainable(parts["train"], longest, warnings)
    given = {"source": source, "target": target, **asked}
    options = {name: value for name, value in given.items() if value is not None}
    return PairData(
        name=printable(read.name),
        source_language=printable(read.languages[0]),
        target_language=printable(read.languages[1]),
        splits={name: _split(name, parts[name]) for name in SPLITS if name in parts},
        origin={
            **read.origin,
            "options": {**options, "longest": longest, "shares": list(shares), "seed": seed},
            "notes": notes,
            "warnings": warnings,
        },
        longest=longest,
    )


def _split(name: str, part: Part) -> PairSplit:
    return PairSplit(LineNames(name, part.numbers), part.source, part.target)


@dataclass(frozen=True)
class _Read:
    """What was read: parts by split, the two languages, a name, and where it came from."""

    parts: dict[str, Part]
    languages: tuple[str, str]
    name: str
    origin: Mapping[str, object]


def _read(
    what: str | Path | Sequence[str | Path] | Pairs | Mapping[str, Pairs],
    source: str | None,
    target: str | None,
    asked: Mapping[str, str | None],
    notes: list[str],
) -> _Read:
    if not isinstance(what, str | Path) and not _are_paths(what):
        parts = parts_in_memory(what)  # type: ignore[arg-type]
        return _Read(
            parts,
            (source or "source", target or "target"),
            "pairs",
            {"source": None, "description": "pairs of sentences"},
        )
    one, other = _paths(what, target)  # type: ignore[arg-type]
    alone, name = printable(str(one)), stem_of(one).partition(".")[0]
    if other is not None:
        languages, both = (language_of(one), language_of(other)), [alone, printable(str(other))]
        return _Read({"": read_part(one, other)}, languages, name, {"source": both})
    if one.is_dir():
        parts, first, second = _folder(one, source, target, asked, notes)
        return _Read(parts, (first, second), one.name, {"source": alone})
    parts, first, second = read_pair_table(one, source, target)
    return _Read(parts, (first, second), name, {"source": alone})


def _are_paths(what: object) -> bool:
    """Return whether these are the paths of two text files."""
    return isinstance(what, Sequence) and len(what) > 0 and all(isinstance(p, str | Path) for p in what)


def _paths(path: str | Path | Sequence[str | Path], target: str | None) -> tuple[Path, Path | None]:
    """Return what to open, and the other text file if there are two."""
    if not isinstance(path, str | Path):
        if len(path) != 2:
            raise OptionError(f"got {len(path)} paths, expected 2: sentences and their translations")
        return _resolved(path[0]), _resolved(path[1])
    one = _resolved(path)
    if one.is_dir() or is_table(one):
        return one, None
    if not one.exists():
        raise DataError(f"{one}: no such file or folder. Give text files, a table, or a folder of them.")
    if target is not None:
        other = next((file for file in _others(one, target) if file.is_file()), None)
        if other is not None:
            return one, other
    if "\t" in first_line(one):
        return one, None
    raise DataError(
        f"{one}: where are the translations? {'No file ' + target + ' is beside it. ' if target else ''}"
        f"Name their file: --target FILE (in Python target=), or give one of {', '.join(TABLES)}."
    )


def _resolved(path: str | Path) -> Path:
    return Path(path).expanduser().resolve()


def _others(one: Path, target: str) -> Iterator[Path]:
    """Yield where the translations may be: a path, or the same name with another language."""
    yield Path(target).expanduser().resolve()
    yield one.parent / target
    name = stem_of(one).rpartition(".")[0]
    yield from (one.parent / f"{name}.{target}{ending}" for ending in ("", ".gz", ".txt", ".txt.gz"))


def _folder(
    folder: Path, source: str | None, target: str | None, asked: Mapping[str, str | None], notes: list[str]
) -> tuple[dict[str, Part], str, str]:
    found = found_in(folder)
    several = {part: files for part, files in found.texts.items() if len(files) > 1}
    if not several:
        return _tables(folder, found.tables, (source, target), asked, notes)
    names = sorted({language for files in several.values() for language in files})
    first, second = languages_of(folder, names, source, target, what="languages")
    whole_parts = [part for part, files in several.items() if first in files and second in files]
    if not whole_parts:
        raise DataError(f"{folder}: no part is there in both {first} and {second}.")
    chosen, said = parts_of(folder, whole_parts, asked)
    notes += said
    files = {split: several[part] for split, part in chosen.items()}
    return {split: read_part(some[first], some[second]) for split, some in files.items()}, first, second


def _tables(
    folder: Path,
    tables: Mapping[str, Path],
    languages: tuple[str | None, str | None],
    asked: Mapping[str, str | None],
    notes: list[str],
) -> tuple[dict[str, Part], str, str]:
    if not tables:
        raise DataError(
            f"{folder}: no sentences in two languages are here. Expected files such as train.en and train.de "
            f"(or .en.gz), or train{TABLES[0]}, train{TABLES[2]}."
        )
    chosen, said = parts_of(folder, list(tables), asked)
    notes += said
    parts, first, second = dict[str, Part](), "", ""
    for split, name in chosen.items():
        inside, first, second = read_pair_table(tables[name], *languages)
        if set(inside) != {""}:
            raise DataError(
                f"{tables[name]}: has a column split, but is one of several tables. Give the table alone, or "
                "remove the column."
            )
        parts[split] = inside[""]
    return parts, first, second
