"""Plug-ins that installed packages announce as entry points of the group ``foveate.plugins``.

They are imported the first time that a registry is listed or does not know a name.
"""

from __future__ import annotations

import warnings

GROUP = "foveate.plugins"
_imported: set[str] = set()  # the group, once its entry points have been imported


def load_entry_points() -> None:
    """Import every entry point of the group ``foveate.plugins``, once a process.

    A plug-in that fails is skipped, whatever the error, with a warning that names it: the user may not need
    it.
    """
    if GROUP in _imported:
        return
    _imported.add(GROUP)  # first: a plug-in may look up names itself
    from importlib.metadata import entry_points  # late: it takes a tenth of `foveate --help`

    for entry in entry_points(group=GROUP):
        try:
            entry.load()
        except Exception as error:
            warnings.warn(
                f'the plug-in "{entry.name}" ({entry.value}) is skipped: it cannot be loaded '
                f"({type(error).__name__}: {error}). Update or uninstall its package.",
                stacklevel=2,
            )
