"""Cut data into folds for cross-validation: stratified, groups kept together, the same whenever it is cut.

The items of ``train`` and ``test`` are put together and dealt out; a split ``val`` stays what it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int64

from foveate.data.feed import Data
from foveate.errors import DataError

Rows = Mapping[str, Int64[np.ndarray, " m"]]
"""For ``train`` and ``test``, which items they get: numbers among those of both, training items first."""


@dataclass(frozen=True)
class Folds:
    """Data that is cut into folds.

    Args:
        whole: With all items in ``train`` and, in the same order, in ``test``.
        parts: For each fold the data of the training that is tested on it: its items in ``test``, the others
            in ``train``.
        items: For each fold the numbers of its items among those of ``whole``, rising.
        drawn: How they were dealt out, in words.
    """

    whole: Data
    parts: tuple[Data, ...]
    items: tuple[Int64[np.ndarray, " m"], ...]
    drawn: str


@runtime_checkable
class Foldable(Protocol):
    """Data that cuts itself into folds."""

    def folds(self, count: int) -> Folds:
        """Return the data in folds, the same ones whenever it is called; see ``cut_folds``."""
        ...


def cut_folds(
    data: Data,
    count: int,
    regroup: Callable[[Rows], Data],
    *,
    strata: Int64[np.ndarray, " n"] | None = None,
    groups: Sequence[str] | None = None,
) -> Folds:
    """Return the data in folds.

    Args:
        data: What is cut.
        count: Number of folds.
        regroup: Returns the data with other items in ``train`` and ``test``.
        strata: The stratum of each item, training items first; None if there are none.
        groups: The group of each item, likewise: items of one group come into one fold. None: every item for
            itself.

    Raises:
        DataError: There are fewer items or groups than folds, or than two.
    """
    total = data.items["train"] + data.items["test"]
    pieces = total if groups is None else len(set(groups))
    if not 2 <= count <= pieces:
        what = "items" if groups is None else f"groups, of {total} items,"
        ask = f"Ask for 2 to {pieces}" if pieces > 1 else "Leave folds out"
        raise DataError(f"folds: got {count}, but {data.name} has {pieces} {what} to deal out. {ask}.")
    kinds = np.zeros(total, dtype=np.int64) if strata is None else strata
    place = deal(count, kinds, groups)
    every = np.arange(total)
    items = tuple(np.flatnonzero(place == fold) for fold in range(count))
    spread = ("stratified by class",) if len(np.unique(kinds)) > 1 else ()
    kept = () if groups is None else ("groups kept together",)
    return Folds(
        whole=regroup({"train": every, "test": every}),
        parts=tuple(regroup({"train": np.setdiff1d(every, some), "test": some}) for some in items),
        items=items,
        drawn=", ".join((*spread, *kept)) or "at random",
    )


def deal(
    count: int, strata: Int64[np.ndarray, " n"], groups: Sequence[str] | None = None
) -> Int64[np.ndarray, " n"]:
    """Return the fold of each item, in [0, count).

    The largest groups come first, each to the fold that lacks most of its strata, among equals to the
    smallest. So every fold gets a group, and without groups folds differ by one item at most, in all and in
    each stratum. The order of groups of one size follows from a hash, which is the same on every machine.

    Example:
        >>> deal(2, np.array([0, 0, 0, 0, 1, 1])).tolist()
        [1, 0, 1, 0, 0, 1]
    """
    names, member = np.unique(np.arange(len(strata)) if groups is None else groups, return_inverse=True)
    kinds, kind = np.unique(strata, return_inverse=True)
    content = np.zeros((len(names), len(kinds)))  # items of each stratum in each group
    np.add.at(content, (member, kind), 1)
    sizes, usual = content.sum(axis=1), content.argmax(axis=1)
    order = sorted(range(len(names)), key=lambda group: (-sizes[group], usual[group], _digest(names[group])))
    lacks = np.tile(content.sum(axis=0), (count, 1))  # in items times folds, which are whole numbers
    place = np.zeros(len(names), dtype=np.int64)
    for group in order:
        wanted, room = lacks @ content[group], lacks.sum(axis=1)
        place[group] = max(range(count), key=lambda fold: (wanted[fold], room[fold]))
        lacks[place[group]] -= count * content[group]
    return place[member]


def fold_sequences(data: Data, count: int) -> Folds:
    """Return data in folds whose splits are sequences of items, each item for itself.

    Args:
        data: A dataclass with ``splits``, a mapping from names to sequences, and ``fingerprint`` among its
            fields.
        count: Number of folds.

    Raises:
        DataError: It is other data, or has too few items.
    """
    known: set[str] = {field.name for field in fields(data)} if is_dataclass(data) else set()
    splits = getattr(data, "splits", None) if {"splits", "fingerprint"} <= known else None
    if not isinstance(splits, Mapping) or not all(isinstance(some, Sequence) for some in splits.values()):
        raise DataError(
            f"{data.name}: this data cannot be cut into folds, as it does not consist of items that could "
            "change places. Leave folds out; more test items make a study more precise, too."
        )
    pool = (*splits["train"], *splits["test"])

    def regroup(rows: Rows) -> Data:
        chosen = {name: [pool[row] for row in some] for name, some in rows.items()}
        whole: Any = data
        found: Data = replace(whole, splits={**splits, **chosen}, fingerprint=fingerprint_of(data, rows))
        return found

    return cut_folds(data, count, regroup)


def fingerprint_of(data: Data, rows: Rows) -> str:
    """Return the fingerprint of data whose items have changed places."""
    total = hashlib.sha256(data.fingerprint.encode())
    for name, some in sorted(rows.items()):
        total.update(f"\n{name} {some.tolist()}".encode())
    return total.hexdigest()


def _digest(name: object) -> bytes:
    return hashlib.sha256(str(name).encode(errors="surrogateescape")).digest()
