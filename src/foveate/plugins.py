"""Plug-ins: modules of other packages that register mechanisms, models, losses and so on when imported.

The user names them (``--plugin package.module``; in Python: import them), or an installed package announces
them as entry points, see ``entry_points``.
"""

from __future__ import annotations

from collections.abc import Iterable

from foveate.errors import OptionError, in_one_line
from foveate.user_code import import_module

_loaded: list[str] = []


def load_plugins(names: Iterable[str]) -> None:
    """Import modules that register entries; they may lie in the current folder.

    Args:
        names: Module names, such as ``"my_package.mechanisms"``. A plug-in that is already loaded is skipped.

    Raises:
        OptionError: A name is not that of a module, or the module or one that it imports cannot be imported.
        TrustError: A name was read from a file that the caller does not trust.
    """
    for name in names:
        if name not in _loaded:
            _load(name)
            _loaded.append(name)


def loaded_plugins() -> tuple[str, ...]:
    """Return the names of the modules that ``load_plugins`` has imported in this process, in order."""
    return tuple(_loaded)


def _load(name: str) -> None:
    if not all(part.isidentifier() for part in name.split(".")):
        raise OptionError(f'plug-in "{name}": expected the name of a module, such as my_package.mechanisms')
    try:
        import_module(name)
    except ImportError as error:
        raise OptionError(
            f'plug-in "{name}" cannot be imported ({in_one_line(error)}). Install its package, or start '
            "foveate in the folder where the module lies."
        ) from error
