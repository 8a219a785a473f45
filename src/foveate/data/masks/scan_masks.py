"""Look at mask files: what values occur, and in what form."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from foveate.data.masks.raw import form_of, raw_mask, values_in

LOOKED_AT = 64  # masks that are looked at where the classes are known; all of them else


@dataclass(frozen=True)
class Seen:
    """The values of some masks.

    Args:
        values: All of them.
        soft: A JPEG among the files, which cannot hold class numbers, or None.
    """

    values: frozenset[int]
    soft: Path | None


def spread(masks: Sequence[Path], count: int) -> Sequence[Path]:
    """Return ``count`` of the files, or all, evenly spread."""
    step = max(len(masks) / count, 1.0)
    return [masks[int(number * step)] for number in range(min(count, len(masks)))]


def look(masks: Sequence[Path]) -> Seen:
    """Return all values that occur; one bit counts as 0 and 255."""

    def one(path: Path) -> tuple[set[int], bool]:
        mode, form = form_of(path)
        return values_in(raw_mask(path, "binary" if mode == "1" else "index")), form == "JPEG"

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        looks = list(pool.map(one, masks))
    soft = next((path for path, (_, jpeg) in zip(masks, looks, strict=True) if jpeg), None)
    return Seen(frozenset().union(*(values for values, _ in looks)), soft)


def are_coloured(masks: Sequence[Path]) -> bool:
    """Tell whether a mask is RGB."""
    return any(form_of(path)[0] in ("RGB", "RGBA") for path in spread(masks, LOOKED_AT))
