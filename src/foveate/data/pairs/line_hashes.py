"""A number for each line, equal for equal lines: how repetitions are found without keeping the lines."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
from jaxtyping import UInt64

from foveate.data.pairs.lines import Lines


def line_hashes(lines: Lines) -> UInt64[np.ndarray, " n"]:
    """Return 64 bits for each line; two different lines of a billion agree by chance in 3 % of such sets."""
    found = (
        int.from_bytes(blake2b(lines.raw(item).strip(), digest_size=8).digest(), "little")
        for item in range(len(lines))
    )
    return np.fromiter(found, dtype=np.uint64, count=len(lines))
