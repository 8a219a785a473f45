"""Check captioned pictures before a study: every picture and every caption once.

Findings never raise; see ``Finding.severity`` for what stops a study.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from foveate.data.captions.caption_data import CaptionData
from foveate.data.checks.check import check_pictures, worst_first
from foveate.data.checks.finding import Finding, Severity
from foveate.data.printable import printable
from foveate.data.words.count_words import count_words
from foveate.data.words.text_faults import text_faults

_CAPTIONS: dict[str, tuple[Severity, str]] = {
    "replacement_character": (
        "warning",
        "{n} with U+FFFD, where bytes were not UTF-8 or another program lost characters. Convert the file to "
        "UTF-8, or take it from its source.",
    ),
    "mojibake": (
        "warning",
        "{n} with UTF-8 that was read in another encoding and saved again, such as Ã¼ for ü. Take the text "
        "from its source.",
    ),
    "control_character": ("warning", "{n} with control characters or characters of no width. Remove them."),
    "long_caption": ("note", "{n} outside train of more than {longest} words. They are kept whole."),
    "duplicate_caption": ("note", "{n} that the same picture has already. They count double."),
}


def check_captions(data: CaptionData) -> list[Finding]:
    """Return faults and peculiarities of the data, worst first.

    Args:
        data: What to check. Every file is read and decoded once, on all processors.
    """
    notes = [Finding("opened", "note", str(note)) for note in data.origin.get("notes") or ()]  # type: ignore[attr-defined]
    found = [*notes, *opening_warnings(data), *_captions(data), *_numbers(data)]
    return worst_first([*found, *check_pictures(data.pictures)])


def opening_warnings(data: CaptionData) -> list[Finding]:
    """Return the warnings of ``check_captions`` that need no picture opened: what was left out, and why."""
    return [Finding("opened", "warning", str(text)) for text in data.origin.get("warnings") or ()]  # type: ignore[attr-defined]


def _captions(data: CaptionData) -> Iterator[Finding]:
    found: dict[str, list[str]] = {kind: [] for kind in _CAPTIONS}
    for name, split in data.splits.items():
        for picture, some in zip(split.names, split.captions, strict=True):
            seen = set[str]()
            for number, caption in enumerate(some):
                kinds = list(text_faults(caption))
                kinds += ["duplicate_caption"] if caption.casefold() in seen else []
                long = data.longest is not None and count_words(caption) > data.longest
                kinds += ["long_caption"] if long and name != "train" else []
                seen.add(caption.casefold())
                for kind in kinds:
                    found[kind].append(f"{printable(picture)}#{number}")
    for kind, items in found.items():
        if items:
            severity, text = _CAPTIONS[kind]
            n = f"{len(items):,} caption{'s' * (len(items) != 1)}"
            yield Finding(kind, severity, text.format(n=n, longest=data.longest), tuple(items))


def _numbers(data: CaptionData) -> Iterator[Finding]:
    """Find that pictures have different numbers of captions, which scores depend on."""
    counts = Counter(len(some) for split in data.splits.values() for some in split.captions)
    if len(counts) > 1:
        usual, often = counts.most_common(1)[0]
        text = (
            f"pictures have {min(counts)} to {max(counts)} captions, most often {usual} ({often:,} "
            "pictures). Scores rise with the number of captions to compare with."
        )
        yield Finding("uneven_captions", "note", text)
