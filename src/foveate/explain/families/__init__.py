"""What each family of models declares about its attention: axes, kind, and where queries and keys lie."""

from __future__ import annotations

import importlib

_FILES = (
    "plain_vision",
    "windowed_vision",
    "whole_map_vision",
    "reduced_vision",
    "local_vision",
    "channel_vision",
    "transformers_vision",
    "transformers_text",
)


def load() -> None:
    """Import every file of this folder: each declares its families."""
    for name in _FILES:
        importlib.import_module(f"{__name__}.{name}")
