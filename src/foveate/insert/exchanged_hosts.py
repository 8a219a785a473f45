"""What happens to attention when a host is exchanged for another module: it goes along, or a warning tells.

``SyncBatchNorm.convert_sync_batchnorm`` and its like build a new layer and give it the children of the old
one, the holder among them: then the new layer is the host. A new ``fc``, ``reset_classifier`` and any other
``model.layer = ...`` give the new module nothing: then a warning names the sites that are gone.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator

from torch import nn
from torch.nn.modules.module import register_module_module_registration_hook

from foveate.errors import SiteWarning
from foveate.insert.holder import CHILD, Inserted

_followed: list[Callable[[nn.Module], None]] = []


def follow(adopt: Callable[[nn.Module], None]) -> None:
    """Watch, from the first host on, which modules are put in the place of others.

    Args:
        adopt: Makes a host of a module that was given a holder.
    """
    if not _followed:
        _followed.append(adopt)
        register_module_module_registration_hook(_registered)


def _registered(parent: nn.Module, name: str, module: nn.Module | None) -> None:
    old = parent._modules.get(name)
    if name == CHILD and isinstance(module, Inserted):
        _followed[0](parent)
    elif old is not None and old is not module and "_is_replica" not in parent.__dict__:
        _tell(old, module)


def _tell(old: nn.Module, new: nn.Module | None) -> None:
    """Warn of the sites that are in ``old`` and not in ``new``."""
    kept = set(_sites(new)) if new is not None else set()
    gone = [site for site in dict.fromkeys(_sites(old)) if site not in kept]
    if gone:
        by = "nothing" if new is None else f"a new {type(new).__name__}"
        warnings.warn(
            f"{', '.join(gone)}: the module that attention sits at was replaced by {by}, and the attention "
            "is gone with it. Change the model first and insert then, or insert again: "
            "fv.insert(model, spec, example=...)",
            SiteWarning,
            stacklevel=4,
        )


def _sites(module: nn.Module) -> Iterator[str]:
    """Yield what is inserted in a module, such as ``se at layer4.1``."""
    for part in module.modules():
        if isinstance(part, Inserted):
            yield from (slot.title for slot in part.slots)
