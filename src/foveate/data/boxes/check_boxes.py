"""What is odd about data for detection: pictures, boxes, classes that are missing, negatives, gaps in ids."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from foveate.data.boxes.box_data import BoxData
from foveate.data.checks.check import check_pictures, opening_warnings, worst_first
from foveate.data.checks.finding import Finding, Severity
from foveate.errors import first_few
from foveate.quantities import agreeing

_UNEVEN = 10.0  # most frequent class over rarest: a warning at this ratio or more
_FEW = 5  # with fewer test boxes, a class's own score means nothing

_NOT_LEARNT = (
    "{n} [class has|classes have] no training box: [it|they] cannot be learnt. Add boxes, or remove "
    "[it|them]."
)
_NOT_JUDGED = "{n} [class has|classes have] no box in {split}: [it is|they are] not evaluated. Add boxes."
_FEW_TESTED = (
    "{n} [class has|classes have] fewer than {few} test boxes: [its own score is|their own scores are] noise."
)


def check_boxes(data: BoxData) -> list[Finding]:
    """Return faults and peculiarities of the data, worst first."""
    pictures = [finding for finding in check_pictures(data.images) if finding.kind != "label_conflict"]
    notes = [Finding("opened", "note", str(note)) for note in data.origin.get("notes") or ()]  # type: ignore[attr-defined]
    found = [*known_before(data), *notes, *pictures, *_classes(data), *_negatives(data), *_gaps(data)]
    return worst_first(found)


def known_before(data: BoxData) -> list[Finding]:
    """Return what is known without opening a picture: what was left out or cut off, and why."""
    return [*opening_warnings(data.images), *data.findings]


def _classes(data: BoxData) -> Iterator[Finding]:
    for split, boxes in data.boxes.items():
        labels = np.concatenate([one.labels[~one.crowd] for one in boxes])
        counts = np.bincount(labels, minlength=len(data.classes))
        absent = tuple(data.classes[number] for number in np.flatnonzero(counts == 0))
        if absent:
            severity: Severity = "error" if split == "train" and _is_used(data, absent) else "warning"
            text = _NOT_LEARNT if split == "train" else _NOT_JUDGED
            yield Finding("missing_class", severity, agreeing(len(absent), text, split=split), absent)
        few = tuple(data.classes[number] for number in np.flatnonzero((counts > 0) & (counts < _FEW)))
        if few and split == "test":
            yield Finding("few_test_boxes", "note", agreeing(len(few), _FEW_TESTED, few=_FEW), few)
        if split == "train":
            yield from _imbalance(data, counts)


def _imbalance(data: BoxData, counts: np.ndarray) -> Iterator[Finding]:
    present = np.where(counts > 0, counts, counts.max())
    most, rarest = int(counts.argmax()), int(present.argmin())
    if counts[most] >= _UNEVEN * present[rarest]:
        yield Finding(
            "imbalance",
            "warning",
            f"train: {data.classes[most]} has {counts[most]:,} boxes, {data.classes[rarest]} has "
            f"{counts[rarest]:,}. mAP counts every class alike; see the effect per class.",
            (data.classes[most], data.classes[rarest]),
        )


def _is_used(data: BoxData, names: tuple[str, ...]) -> bool:
    """Return whether a class without a training box has one elsewhere, so that it would count as missed."""
    elsewhere = {
        data.classes[label]
        for name, some in data.boxes.items()
        if name != "train"
        for one in some
        for label in one.labels
    }
    return bool(elsewhere & {*names})


def _negatives(data: BoxData) -> Iterator[Finding]:
    bare = tuple(
        name
        for split, boxes in data.boxes.items()
        for name, one in zip(data.images.splits[split].names, boxes, strict=True)
        if not len(one)
    )
    if bare:
        text = (
            "{n} [picture has|pictures have] no box. [It is|They are] kept: what is found there is wrong. If "
            "[it shows|they show] objects, annotate [it|them]."
        )
        yield Finding("no_box", "note", agreeing(len(bare), text), bare)


def _gaps(data: BoxData) -> Iterator[Finding]:
    ids = data.categories
    missing = sorted({*range(min(ids), max(ids) + 1)} - {*ids})
    if missing:
        text = "the ids of the categories have gaps ({names} [is|are] not there); predictions keep these ids."
        yield Finding("category_gap", "note", agreeing(len(missing), text, names=first_few(missing)), ())
