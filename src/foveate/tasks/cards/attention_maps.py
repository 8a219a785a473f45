"""The maps of the attention inserted into a model, for the cards of a report.

Shapes  images float (B, 3, H, W), normalised; maps float (B, h, w).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from torch import Tensor, nn

from foveate.explain.effect import effect, looks
from foveate.large_pictures import LargePictures
from foveate.tasks.cards.overlay import data_uri, layer

MAPS = 3  # per variant: the first site, the middle one, the last
_INSERTED = ".foveate"

Maps = list[tuple[str, str, Float[np.ndarray, "b h w"]]]  # (site, kind, one map an image)


def site_maps(model: nn.Module, batch: Float[Tensor, "b 3 hh ww"] | LargePictures) -> Maps:
    """Return the maps at the first, the middle and the last site of a model.

    A mechanism with a map over positions shows its weights; any other one, such as a gate on channels, how
    much it changed the features at each position.
    """
    weights, effects = looks(model, batch), effect(model, batch)
    order = [path for path, _ in model.named_modules() if path in weights or path in effects]
    found: dict[str, tuple[str, Tensor]] = {}
    for path in order:
        owner = next((known for known in effects if path == known or path.startswith(f"{known}.")), path)
        if path in weights and found.get(owner, ("effect", None))[0] == "effect":
            found[owner] = ("weights", weights[path])
        elif path in effects:
            found.setdefault(path, ("effect", effects[path]))
    kept = _spread(list(found))
    hosts = [path.partition(_INSERTED)[0] or path for path in kept]
    sites = [host if hosts.count(host) == 1 else path for host, path in zip(hosts, kept, strict=True)]
    return [
        (site, found[path][0], found[path][1].float().cpu().numpy())
        for site, path in zip(sites, kept, strict=True)
    ]


def _spread(paths: list[str]) -> list[str]:
    """Return the first, the middle and the last of many, or all of few."""
    if len(paths) <= MAPS:
        return paths
    return [paths[round(step * (len(paths) - 1) / (MAPS - 1))] for step in range(MAPS)]


def drawn_maps(maps: Maps, place: int) -> list[dict[str, str]]:
    """Return the maps of one of the images, to be laid over it, for the templates."""
    return [
        {"site": site, "kind": kind, "layer": data_uri(layer(values[place]))} for site, kind, values in maps
    ]
