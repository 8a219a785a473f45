"""Where caches are kept."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return where caches are kept: $FOVEATE_CACHE, or ~/.cache/foveate."""
    return Path(os.environ.get("FOVEATE_CACHE") or Path("~/.cache/foveate").expanduser())
