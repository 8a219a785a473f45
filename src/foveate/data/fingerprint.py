"""One hash of all that a data set holds, so that equal data is recognised wherever it lies."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from foveate.data.base import Split


def hash_splits(
    classes: Sequence[str], splits: Mapping[str, Split], contents: Mapping[str, Sequence[str]]
) -> str:
    """Return one fingerprint of names, labels and contents of all splits.

    Args:
        classes: Class names.
        splits: The splits.
        contents: For each split, a hash of each item.
    """
    total = hashlib.sha256("\0".join(classes).encode())
    for name in sorted(splits):
        split = splits[name]
        total.update(f"\n{name} {len(split)}".encode())
        for item, target, content in zip(split.names, split.targets.tolist(), contents[name], strict=True):
            total.update(f"\n{item}\0{target}\0{content}".encode(errors="surrogateescape"))
    return total.hexdigest()
