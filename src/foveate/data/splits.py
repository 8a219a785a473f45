"""Cut data in one piece into train, val and test: stratified by class, groups kept together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64, Int64

from foveate.data.base import SPLITS
from foveate.errors import DataError, OptionError

SHARES = (0.7, 0.1, 0.2)
Shares = Sequence[float]


def cut(
    targets: Int64[np.ndarray, " n"],
    *,
    seed: int,
    shares: Shares = SHARES,
    groups: Sequence[str] | None = None,
) -> dict[str, Int64[np.ndarray, " m"]]:
    """Return the item numbers of each split, sorted; a split whose share is 0 is left out.

    Args:
        targets: The class of each item.
        seed: Decides the cut, together with the order of the items.
        shares: Of train, val and test; they add up to 1.
        groups: One name per item: items of one group stay together. None: every item for itself.

    Raises:
        OptionError: the shares are impossible.
        DataError: there are too few items or groups to fill every split.
    """
    _check_shares(shares)
    generator = np.random.Generator(np.random.Philox(seed))
    if groups is None:
        place = _by_class(targets, shares, generator)
    else:
        place = _by_group(targets, np.asarray(groups), shares, generator)
    parts = {
        name: np.flatnonzero(place == number) for number, name in enumerate(SPLITS) if shares[number] > 0
    }
    for name, part in parts.items():
        if not len(part):
            what = "items" if groups is None else "groups"
            pieces = len(targets) if groups is None else len(set(groups))
            raise DataError(
                f"{pieces} {what} leave none for {name}. Add {what}, or change the shares {shares}."
            )
    return parts


def _by_class(
    targets: Int64[np.ndarray, " n"], shares: Shares, generator: np.random.Generator
) -> Int64[np.ndarray, " n"]:
    """Cut each class separately; a class too small for all splits goes to train and test first."""
    place = np.zeros(len(targets), dtype=np.int64)
    for label in np.unique(targets):
        members = generator.permutation(np.flatnonzero(targets == label))
        counts = _counts(len(members), shares)
        place[members] = np.repeat(np.arange(len(SPLITS)), counts)
    return place


def _counts(items: int, shares: Shares) -> list[int]:
    """Return counts in proportion to the shares; test gets an item before train gets two, val last."""
    val, test = (round(items * share) for share in shares[1:])
    if shares[2] > 0 and items >= 2:
        test = max(test, 1)
    if shares[1] > 0 and items >= 3:
        val = max(val, 1)
    while items - val - test < 1 and val + test > 0:  # train is never empty
        val, test = (val - 1, test) if val > 0 else (val, test - 1)
    return [items - val - test, val, test]


def _by_group(
    targets: Int64[np.ndarray, " n"], groups: np.ndarray, shares: Shares, generator: np.random.Generator
) -> Int64[np.ndarray, " n"]:
    """Place the largest groups first, each in the split that needs its classes most."""
    names, member = np.unique(groups, return_inverse=True)
    labels, target = np.unique(targets, return_inverse=True)
    content = np.zeros((len(names), len(labels)))
    np.add.at(content, (member, target), 1)
    order = generator.permutation(len(names))
    order = order[np.argsort(-content[order].sum(axis=1), kind="stable")]
    missing = np.asarray(shares)[:, None] * content.sum(axis=0)  # (split, class): what each still needs
    place = np.zeros(len(names), dtype=np.int64)
    for group in order:
        place[group] = _neediest(missing, content[group], shares)
        missing[place[group]] -= content[group]
    return place[member]


def _neediest(missing: Float64[np.ndarray, "3 k"], content: Float64[np.ndarray, " k"], shares: Shares) -> int:
    """Return the split with the greatest relative need of these classes."""
    wanted = missing * content
    allowed = [number for number, share in enumerate(shares) if share > 0]
    return max(allowed, key=lambda number: wanted[number].sum() / shares[number])


def _check_shares(shares: Shares) -> None:
    if len(shares) != len(SPLITS) or min(shares) < 0 or not np.isclose(sum(shares), 1):
        raise OptionError(
            f"shares={shares} is not a valid split. Give train, val, test that add up to 1, such as {SHARES}."
        )
    if shares[0] == 0 or shares[2] == 0:
        raise OptionError(f"shares={shares} leaves train or test empty. Only val may be 0.")
