"""The name that inserted attention has in its host, in module paths and in state dicts."""

from __future__ import annotations

CHILD = "foveate"  # the child of a host that holds its mechanisms


def is_inserted_name(name: str) -> bool:
    """Return whether a dotted name is that of something inserted.

    Example:
        >>> is_inserted_name("layer4.foveate.se_gate"), is_inserted_name("layer4.0.conv1.weight")
        (True, False)
    """
    return CHILD in name.split(".")
