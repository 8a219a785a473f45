"""Open sentences in two languages: two files, a folder of them, or tables; see docs/words-data.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
    stem,
)
from foveate.data.pairs.pair_data import LineNames, PairData, PairSplit
from foveate.data.pairs.part import Part, read_part
from foveate.data.pairs.read_pair_table import read_pair_table
from foveate.data.printable import printable
from foveate.data.splits import SHARES, Shares
from foveate.errors import DataError, OptionError
from foveate.options import whole

LONGEST = 100  # words


def open_pairs(
    path: str | Path | Sequence[str | Path],
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
        path: A folder with ``<part>.<language>`` files or a table per split; a table (.tsv, .csv, .jsonl,
            .parquet); a text file, with ``target`` naming the other; or a sequence of both text files.
        source: The language to translate from, as the files' endings or the columns name it.
        target: The language to translate into; the path of the other file if ``path`` is one text file.
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
    one, other = _paths(path, target)
    asked = {"train": train, "val": val, "test": test}
    notes: list[str] = []
    if other is not None:
        parts: dict[str, Part] = {"": read_part(one, other)}
        first, second = language_of(one), language_of(other)
    elif one.is_dir():
        parts, first, second = _folder(one, source, target, asked, notes)
    else:
        parts, first, second = read_pair_table(one, source, target)
    parts = with_test(parts, shares, seed, notes)
    warnings: list[str] = []
    parts["train"] = trainable(parts["train"], longest, warnings)
    given = {"source": source, "target": target, **asked}
    options = {name: value for name, value in given.items() if value is not None}
    return PairData(
        name=printable(one.name if one.is_dir() else stem(one).partition(".")[0]),
        source_language=printable(first),
        target_language=printable(second),
        splits={name: _split(name, parts[name]) for name in SPLITS if name in parts},
        origin={
            "source": [str(one), str(other)] if other is not None and target is None else str(one),
            "options": {**options, "longest": longest, "shares": list(shares), "seed": seed},
            "notes": notes,
            "warnings": warnings,
        },
        longest=longest,
    )


def _split(name: str, part: Part) -> PairSplit:
    return PairSplit(LineNames(name, part.numbers), part.source, part.target)


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
    name = stem(one).rpartition(".")[0]
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
