"""Labels: classes that are missing, alone, or far more frequent than others."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from foveate.data.base import ImageData
from foveate.data.checks.finding import Finding
from foveate.quantities import agreeing

_UNEVEN = 3.0  # most frequent class over rarest: a note at this ratio or more
_LOPSIDED = 10.0  # a warning at this ratio or more
_FEW = 5  # with fewer test images, a class's own score means nothing


def check_labels(data: ImageData) -> Iterator[Finding]:
    """Yield faults and peculiarities of the classes of each split."""
    several = data.truth == "labels"
    if len(data.classes) < 2 and not several:
        yield Finding(
            "one_class", "error", f"only one class, {data.classes[0]}: there is nothing to classify."
        )
        return
    for name, split in data.splits.items():
        counts = (
            split.targets.sum(axis=0) if several else np.bincount(split.targets, minlength=len(data.classes))
        )
        if several:
            yield from _everywhere(data, name, counts)
        yield from _missing(data, name, counts)
        yield from _imbalance(data, name, counts)


def _missing(data: ImageData, split: str, counts: np.ndarray) -> Iterator[Finding]:
    absent = tuple(data.classes[number] for number in np.flatnonzero(counts == 0))
    if absent and split == "train":
        text = agreeing(
            len(absent),
            "{n} [class has|classes have] no training image: [it|they] cannot be learned. Add images or drop "
            "[it|them].",
        )
        yield Finding("missing_class", "error", text, absent)
    elif absent:
        text = agreeing(
            len(absent),
            "{n} [class has|classes have] no image in {split}: [it is|they are] not evaluated. Add images.",
            split=split,
        )
        yield Finding("missing_class", "warning", text, absent)
    few = tuple(data.classes[number] for number in np.flatnonzero((counts > 0) & (counts < _FEW)))
    if few and split == "test":
        text = agreeing(
            len(few),
            "{n} [class has|classes have] fewer than {few} test images: [its own score is|their own scores "
            "are] noise.",
            few=_FEW,
        )
        yield Finding("few_test_images", "note", text, few)


def _everywhere(data: ImageData, split: str, counts: np.ndarray) -> Iterator[Finding]:
    """Find labels that every image has: they cannot be evaluated."""
    full = tuple(data.classes[number] for number in np.flatnonzero(counts == len(data.splits[split])))
    if full:
        text = agreeing(
            len(full),
            "{n} [label applies|labels apply] to every image of {split}: [it|they] cannot be evaluated. Add "
            "images.",
            split=split,
        )
        yield Finding("constant_label", "warning", text, full)


def _imbalance(data: ImageData, split: str, counts: np.ndarray) -> Iterator[Finding]:
    if not counts.any():
        return
    present = np.where(counts > 0, counts, counts.max())
    rarest, most = int(present.argmin()), int(counts.argmax())
    ratio = counts[most] / counts[rarest]
    if ratio >= _UNEVEN:
        text = (
            f"{split}: {data.classes[most]} has {counts[most]} images, {data.classes[rarest]} has "
            f"{counts[rarest]} ({ratio:.1f} to 1). Accuracy alone misleads here; see the effect per class."
        )
        severity = "warning" if ratio >= _LOPSIDED else "note"
        yield Finding("imbalance", severity, text, (data.classes[most], data.classes[rarest]))  # type: ignore[arg-type]
