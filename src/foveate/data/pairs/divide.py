"""Cut pairs into splits where the data does not, and leave out what cannot be trained on."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool

from foveate.data.base import SPLITS
from foveate.data.pairs.line_hashes import line_hashes
from foveate.data.pairs.part import Part
from foveate.data.splits import Shares, cut
from foveate.data.words.count_words import word_counts
from foveate.errors import DataError, first_few
from foveate.quantities import agreeing


def with_test(parts: dict[str, Part], shares: Shares, seed: int, notes: list[str]) -> dict[str, Part]:
    """Return parts with a split train and a split test.

    Args:
        parts: By split; in one piece under the empty name.
        shares: Of train, val and test, where they are drawn. If val is there, the shares of train and test
            are taken in their proportion.
        seed: Decides what is drawn.
        notes: What was drawn is added to it.

    Raises:
        DataError: There is nothing to train on, or too little to draw from.
        OptionError: The shares are impossible.
    """
    if "test" in parts and "train" in parts:
        return parts
    whole = "" if "" in parts else "train"
    if whole not in parts:
        raise DataError(f"there is no split train; found {', '.join(parts) or 'no pair'}. Give one.")
    kept = {name: part for name, part in parts.items() if name != whole}
    drawn = _drawn(parts[whole], test_shares(shares) if "val" in kept else shares, seed)
    sizes = ", ".join(f"{name} {len(part):,}" for name, part in drawn.items())
    notes.append(f"drawn by seed {seed} from pairs without a test split: {sizes}")
    return {**kept, **drawn}


def test_shares(shares: Shares) -> Shares:
    """Return the shares of train and test in their proportion, without val."""
    both = sum(shares) - shares[1] if len(shares) == len(SPLITS) else 0
    return (shares[0] / both, 0.0, shares[2] / both) if both else shares


def _drawn(part: Part, shares: Shares, seed: int) -> dict[str, Part]:
    """Return splits of a part; pairs with the same sentence stay together."""
    sentences, sentence = np.unique(line_hashes(part.source), return_inverse=True)
    chosen = cut(np.zeros(len(sentences), dtype=np.int64), seed=seed, shares=shares)
    return {
        name: part.taken(np.flatnonzero(np.isin(sentence, items)).astype(np.int64))
        for name, items in chosen.items()
    }


def trainable(part: Part, longest: int | None, warnings: list[str]) -> Part:
    """Return the pairs that can be trained on.

    Args:
        part: The training pairs.
        longest: Words of the longest sentence; None for any.
        warnings: How many pairs are left out, and which, is added to it.
    """
    counts = [word_counts(part.source), word_counts(part.target)]
    blank = np.minimum(*counts) == 0
    long = np.maximum(*counts) > (longest or np.inf)
    if blank.any():
        warnings.append(_said(part, blank, "with an empty side"))
    if long.any():
        warnings.append(_said(part, long, f"of more than {longest} words") + " --longest raises the limit.")
    left_out = blank | long
    return part.taken(np.flatnonzero(~left_out).astype(np.int64)) if left_out.any() else part


def _said(part: Part, which: Bool[np.ndarray, " n"], what: str) -> str:
    lines = first_few(part.numbers[which].tolist())
    return agreeing(
        int(which.sum()),
        "{n} training [pair {what} is left out: line|pairs {what} are left out: lines] {lines}.",
        what=what,
        lines=lines,
    )
