"""Check data before a study: every file once, then labels or masks, sizes and splits.

Findings never raise; see ``Finding.severity`` for what stops a study.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from foveate.data.base import ImageData, Split, Truth
from foveate.data.checks.balance import check_labels
from foveate.data.checks.check_masks import check_masks, look_at_masks
from foveate.data.checks.duplicates import exact_groups, near_pairs
from foveate.data.checks.finding import Finding, Severity
from foveate.data.checks.probe_files import Probe, probe_file, probe_large, probe_pixels
from foveate.data.folders.class_folders import ignored_files
from foveate.data.folders.tree import image_files, scan
from foveate.data.image_size import LARGEST
from foveate.data.images.open_image import unread_advice, unread_pictures
from foveate.data.large.small_squares import SmallSquares
from foveate.data.printable import printable
from foveate.errors import DataError
from foveate.quantities import agreeing

_CHUNK = 64  # images per task of the pool: fewer, larger tasks have less overhead
_PROBLEMS: dict[str, str] = {
    "empty": "{n} of 0 bytes. Remove or restore them.",
    "unreadable": "{n} that cannot be read as images. Remove or replace them.",
    "truncated": "{n} truncated: the end of the image is missing. Copy them again or remove them.",
    "bomb": (
        "{n} of more pixels or bytes than the limit (decompression bombs?). Shrink or remove them; if you "
        "trust them, raise the limit with --max-pixels."
    ),
}
_TRAITS: dict[str, tuple[Severity, str]] = {
    "wrong_extension": (
        "warning",
        "{n} with the ending of another format. They are read by content; rename them.",
    ),
    "large": ("warning", "{n} of more pixels than Pillow decodes without a warning. Shrink them."),
    "not_finite": ("warning", "{n} with values that are not numbers (NaN, infinity). NaN is read as black."),
    "beyond_levels": (
        "warning",
        "{n} with values outside the range that all files are scaled by: they are clipped.",
    ),
    "not_alpha": (
        "warning",
        "{n} with a fourth channel that is not transparency (near infrared?): most of its values are neither "
        "0 nor 255. It is left out.",
    ),
    "animated": (
        "warning",
        "{n} with several frames. Only the first is used; export the frame that you want.",
    ),
    "alpha": ("note", "{n} with transparency. They are blended over white."),
    "cmyk": ("note", "{n} in CMYK. They are converted without a colour profile; colours may shift."),
    "sixteen_bit": ("note", "{n} with more than 8 bits a channel. They are scaled to 8 bits, all alike."),
    "exif_rotation": (
        "note",
        "{n} with an EXIF rotation. They are turned upright; other tools may not do so.",
    ),
}


@dataclass(frozen=True)
class _Item:
    name: str
    split: str
    target: int | tuple[int, ...]
    probe: Probe


def check(data: ImageData) -> list[Finding]:
    """Return faults and peculiarities of the data, worst first.

    Args:
        data: What to check. Every file is read and decoded once, on all processors; of images that are read
            in parts, heads and overviews.
    """
    items = [item for name, split in data.splits.items() for item in _items(name, split)]
    masked = data.truth == "mask"
    if masked:
        looks = [look for name, split in data.splits.items() for look in look_at_masks(name, split)]
        items = [replace(item, target=look.digest) for item, look in zip(items, looks, strict=True)]
        truth = check_masks(data, looks, [item.probe.size for item in items])
    else:
        truth = check_labels(data)
    treated = "fitted onto one canvas" if masked else "brought to one square size"
    treated = "read in parts" if data.large else treated
    return worst_first([*_from_origin(data), *truth, *_pictures(items, treated)])


def check_pictures(data: ImageData) -> list[Finding]:
    """Return faults and peculiarities of the pictures alone, whatever is true of them."""
    items = [item for name, split in data.splits.items() for item in _items(name, split)]
    return list(_pictures(items, "brought to one size"))


def opening_warnings(data: ImageData) -> list[Finding]:
    """Return the warnings of ``check`` that need no picture opened: what was left out, and why."""
    return [finding for finding in _from_origin(data) if finding.severity == "warning"]


def check_files(source: Path) -> Iterator[Finding]:
    """Yield what is found in the pictures of a folder, whatever they are for."""
    try:
        files = image_files(source)
    except DataError as error:
        yield Finding("unreadable_folder", "error", str(error))
        return
    yield from _left_out(source, "mask")
    probes = _in_pool(
        lambda first, count: [probe_file(path) for path in files[first : first + count]], len(files)
    )
    items = [
        _Item(printable(str(file.relative_to(source))), "", 0, probe)
        for file, probe in zip(files, probes, strict=True)
    ]
    yield from _problems(items)
    yield from _traits(items)


def worst_first(findings: Sequence[Finding]) -> list[Finding]:
    """Return findings, errors first, notes last."""
    return sorted(findings, key=lambda finding: ("error", "warning", "note").index(finding.severity))


def _pictures(items: Sequence[_Item], treated: str) -> Iterator[Finding]:
    yield from _problems(items)
    yield from _traits(items)
    yield from _sizes(items, treated)
    yield from _exact(items)
    yield from _near(items)


def _items(name: str, split: Split) -> Iterator[_Item]:
    probes = _in_pool(partial(_probe_some, split), len(split))
    targets = [tuple(target) if isinstance(target, list) else target for target in split.targets.tolist()]
    for item, target, probe in zip(split.names, targets, probes, strict=True):
        yield _Item(item if split.files is not None else f"{name}:{item}", name, target, probe)


def _probe_some(split: Split, first: int, count: int) -> list[Probe]:
    if split.pictures is not None:
        overviews = SmallSquares(split.pictures, LARGEST)
        return [
            probe_large(split.pictures, overviews.__getitem__, item) for item in range(first, first + count)
        ]
    if split.files is not None:
        return [probe_file(path, split.how) for path in split.files[first : first + count]]
    if split.many is not None:
        return [probe_pixels(image) for image in split.many(first, count)]
    return [_probe_loaded(split, item) for item in range(first, first + count)]


def _probe_loaded(split: Split, item: int) -> Probe:
    try:
        return probe_pixels(split.load(item))
    except Exception as error:  # a user's dataset may raise anything; a check must not crash
        return Probe(problem="unreadable", detail=f"{type(error).__name__}: {error}")


def _in_pool(look: Callable[[int, int], list[Probe]], total: int) -> Iterator[Probe]:
    starts = range(0, total, _CHUNK)
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for probes in pool.map(look, starts, (min(_CHUNK, total - start) for start in starts)):
            yield from probes


def _from_origin(data: ImageData) -> Iterator[Finding]:
    for note in data.origin.get("notes") or ():  # type: ignore[attr-defined]
        yield Finding("opened", "note", str(note))
    for warning in data.origin.get("warnings") or ():  # type: ignore[attr-defined]
        yield Finding("opened", "warning", str(warning))
    source = data.origin.get("source")
    if isinstance(source, str) and Path(source).is_dir():
        yield from _left_out(Path(source), data.truth)


def _left_out(source: Path, truth: Truth) -> Iterator[Finding]:
    """Find what is in a folder but not read: pictures of other formats, links back up, other files."""
    tree = scan(source)
    unread = unread_pictures(sorted(tree.files()))
    if unread:
        text = f"{_number(unread)} not read, though named as pictures. {unread_advice(unread)}"
        yield Finding("unread_picture", "warning", text, _inside(source, unread))
    back = sorted(tree.links_back())
    if back:
        text = agreeing(
            len(back),
            "{n} [link|links] to a folder that contains [it. It is|them. They are] not followed; remove "
            "[it|them].",
        )
        yield Finding("link_back", "note", text, _inside(source, back))
    if truth == "label":  # other data may have annotation files, which are read
        known = set(unread)
        ignored = _inside(source, [path for path in ignored_files(tree) if path not in known])
        if ignored:
            text = f"{_number(ignored)} ignored: not named as an image, or not in a class folder."
            yield Finding("ignored_file", "note", text, ignored)


def _inside(source: Path, paths: Sequence[Path]) -> tuple[str, ...]:
    return tuple(printable(str(path.relative_to(source))) for path in paths)


def _problems(items: Sequence[_Item]) -> Iterator[Finding]:
    for problem, text in _PROBLEMS.items():
        found = tuple(f"{item.name} ({item.probe.detail})" for item in items if item.probe.problem == problem)
        if found:
            yield Finding(problem, "error", text.format(n=_number(found)), found)


def _traits(items: Sequence[_Item]) -> Iterator[Finding]:
    for trait, (severity, text) in _TRAITS.items():
        found = tuple(item.name for item in items if trait in item.probe.traits)
        if found:
            yield Finding(trait, severity, text.format(n=_number(found)), found)


def _sizes(items: Sequence[_Item], treated: str) -> Iterator[Finding]:
    sizes = Counter(item.probe.size for item in items if min(item.probe.size) > 0)
    if len(sizes) > 1:
        (width, height), most = sizes.most_common(1)[0]
        sized = [item for item in items if min(item.probe.size) > 0]
        ends = [pick(sized, key=lambda item: item.probe.size[0] * item.probe.size[1]) for pick in (min, max)]
        text = (
            f"{len(sizes)} different sizes; most often {width}x{height} ({most} images), between "
            f"{_by(ends[0])} and {_by(ends[1])}. All are {treated}."
        )
        yield Finding("mixed_sizes", "note", text, tuple(end.name for end in ends))


def _exact(items: Sequence[_Item]) -> Iterator[Finding]:
    across: list[str] = []
    within: list[str] = []
    torn: list[str] = []
    for group in exact_groups([item.probe for item in items]):
        members = [items[number] for number in group if items[number].probe.problem is None]
        if len(members) < 2:
            continue
        text = " = ".join(member.name for member in members)
        (across if len({member.split for member in members}) > 1 else within).append(text)
        if len({member.target for member in members}) > 1:
            torn.append(text)
    if across:
        text = agreeing(
            len(across),
            "{n} [image is|images are] in several splits, byte for byte: test scores would be optimistic. "
            "Remove one.",
        )
        yield Finding("duplicate_across_splits", "warning", text, tuple(across))
    if torn:
        text = agreeing(
            len(torn),
            "{n} [image occurs|images occur] with different labels or masks. Decide which is right.",
        )
        yield Finding("label_conflict", "warning", text, tuple(torn))
    if within:
        text = agreeing(
            len(within),
            "{n} [image occurs|images occur] more than once in [its split. It counts|their split. They "
            "count] double.",
        )
        yield Finding("duplicate_within_split", "note", text, tuple(within))


def _near(items: Sequence[_Item]) -> Iterator[Finding]:
    names = list(dict.fromkeys(item.split for item in items))
    parts = np.array([names.index(item.split) for item in items], dtype=np.int64)
    pairs = near_pairs([item.probe for item in items], parts)
    if len(pairs):
        found = tuple(f"{items[left].name} ~ {items[right].name}" for left, right in pairs.tolist())
        text = agreeing(
            len(found),
            "{n} [pair across splits looks|pairs across splits look] alike: test scores may be optimistic. "
            "Look at [it|them].",
        )
        yield Finding("near_duplicate", "warning", text, found)


def _number(found: Sequence[object]) -> str:
    return f"{len(found)} {'file' if len(found) == 1 else 'files'}"


def _by(item: _Item) -> str:
    return "{}x{}".format(*item.probe.size)
