"""``foveate sites``: where attention can sit in a model, and what each mechanism would cost there."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from foveate.errors import FoveateError

if TYPE_CHECKING:
    from foveate.insert.sites import Site
    from foveate.mechanisms.base import Mechanism

EXAMPLE = """
    $ foveate sites resnet8 --size 32 -m se -m cbam
    path            aliases           kind       C×H×W
    ───────────────────────────────────────────────────
    before:conv1    input             map      3×32×32
    relu            stem              map     16×32×32
    layer1.0        blocks            map     16×32×32
    layer1          stage1, features  map     16×32×32
    layer2.0        blocks            map     32×16×16
    layer2          stage2, features  map     32×16×16
    layer3.0        blocks            map       64×8×8
    layer3          stage3, features  map       64×8×8
    before:avgpool  pool              map       64×8×8
    avgpool         pool              pool      64×8×8
    fc              output            scores    64×8×8

    Parameters and MACs per image, for one at a site of this shape:
    mechanism   16×32×32    32×16×16     64×8×8
    ────────────────────────────────────────────
    se            49, 32    162, 128   580, 512
    cbam       149, 100k  262, 25.3k  680, 7.3k

    24 more places have a path but no alias; --all prints them.
"""

Shape = tuple[int, ...]  # channels, then the positions along each axis
Key = tuple[Shape, int]  # a shape, and the channels of the deeper map that a gate asks, 0 for all else


def sites(
    model: str,
    /,
    *,
    mechanism: Annotated[list[str] | None, Parameter(alias="-m")] = None,
    size: int | None = None,
    all: bool = False,
    json: bool = False,
) -> None:
    """Print where attention can sit in a model, and what it would cost there. Nothing is changed.

    Args:
        model: A model's name; see `foveate list models`.
        mechanism: Only the costs of this mechanism, options allowed: "se(reduction=8)"; may be given
            several times; or package.module:Class for your own. All mechanisms by default.
        size: Side of the images in pixels; the model's own by default.
        all: Every module, not only those with an alias.
        json: Print JSON.
    """
    from foveate.cli import output
    from foveate.cli.model import model_and_example
    from foveate.insert.sites import reasons_in_words
    from foveate.insert.survey import survey
    from foveate.mechanisms import mechanisms

    surveyed = survey(*model_and_example(model, size=size))
    everything = surveyed.sites
    found = everything if all else [site for site in everything if site.aliases]
    costs = {text: _costs(text, found) for text in mechanism or sorted(mechanisms)}
    if json:
        output.machine([_as_json(site, costs) for site in found])
    else:
        _print(found, {text: at for text, at in costs.items() if at})
        if len(found) < len(everything):
            output.say(
                f"{len(everything) - len(found)} more places have a path but no alias; --all prints them."
            )
        if surveyed.left_out:
            output.say(f"Not among blocks: {reasons_in_words(surveyed.left_out)}.")


def _costs(text: str, found: Iterable[Site]) -> dict[Key, tuple[int, int]]:
    """Return parameters and MACs of a mechanism at every shape that it can take."""
    from foveate.cli.mechanism_facts import parse_mechanism, price

    name, options = parse_mechanism(text)
    costs = {}
    for site in found:
        if _suits(name, site):
            try:
                cost = price(name, _shape(site), _of_site(name, site) | options)
            except FoveateError:  # it cannot be built for this many channels; insertion explains why
                continue
            costs[_key(name, site)] = (cost.parameters, cost.macs)
    return costs


def _of_site(name: str, site: Site) -> dict[str, object]:
    """Return the options that a site decides."""
    if _is_gate(name):
        return {"gating": site.gating}
    return {"classes": site.classes} if site.classes else {}


def _class(name: str) -> type[Mechanism]:
    from foveate.insert.named_mechanisms import mechanism_class

    return mechanism_class(name)


def _is_gate(name: str) -> bool:
    return _class(name).interface == "gate"


def _key(name: str, site: Site) -> Key:
    return _shape(site), site.gating if _is_gate(name) else 0


def _suits(name: str, site: Site) -> bool:
    if site.aliases == ("input",) and "input" not in _class(name).facets.sites:
        return False
    if _is_gate(name):
        return site.gating > 0
    kinds = {"refine": (site.layout,), "pool": ("pool",), "label": ("scores",)}
    return site.kind in kinds.get(_class(name).interface, ())


def _shape(site: Site) -> Shape:
    return site.channels, *site.size


def _as_json(site: Site, costs: dict[str, dict[Key, tuple[int, int]]]) -> dict[str, Any]:
    from foveate.cli.mechanism_facts import parse_mechanism

    at = {}
    for text, of in costs.items():
        name, _ = parse_mechanism(text)
        if _suits(name, site) and _key(name, site) in of:
            parameters, macs = of[_key(name, site)]
            at[text] = {"parameters": parameters, "macs": macs}
    return {
        "path": site.path,
        "where": site.where,
        "aliases": list(site.aliases),
        "kind": site.kind,
        "shape": list(_shape(site)),
        "gating": site.gating,
        "costs": at,
    }


def _print(found: list[Site], costs: dict[str, dict[Key, tuple[int, int]]]) -> None:
    from foveate.cli.output import say, table

    axes = {1: "C×L", 2: "C×H×W", 3: "C×D×H×W"}[max((site.dims for site in found), default=2)]
    table(
        ["path", "aliases", "kind", axes],
        [(_name(s), ", ".join(s.aliases), s.kind, _size(s)) for s in found],
        right=[axes],
    )
    shapes = sorted(
        {key[0] for at in costs.values() for key in at}, key=lambda shape: (-math.prod(shape[1:]), shape[0])
    )
    if shapes:
        say("Parameters and MACs per image, for one at a site of this shape:")
    for first in range(0, len(shapes), 4):
        some = shapes[first : first + 4]
        columns = ["×".join(map(str, shape)) for shape in some]
        by_shape = {text: {key[0]: cost for key, cost in at.items()} for text, at in costs.items()}
        rows = [
            (text, *(_pair(at[shape]) if shape in at else "" for shape in some))
            for text, at in by_shape.items()
            if any(shape in at for shape in some)
        ]
        table(["mechanism", *columns], rows, right=columns)


def _name(site: Site) -> str:
    """Return the path as a spec would say it."""
    path = site.path or "(model)"
    return f"before:{path}" if site.where == "before" else path


def _size(site: Site) -> str:
    """Return the shape of a map; of a concatenated one, also how many channels there are in all."""
    part = f" of {site.within}" if site.within else ""
    return f"{site.channels}{part}×{'×'.join(map(str, site.size))}"


def _pair(cost: tuple[int, int]) -> str:
    from foveate.quantities import short

    return ", ".join(short(number).replace(" ", "") for number in cost)
