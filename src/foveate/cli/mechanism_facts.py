"""The facts about a mechanism, read from its class: for ``list``, ``show`` and the README's table."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from foveate.errors import OptionError

if TYPE_CHECKING:
    from foveate.mechanisms.base import Mechanism
    from foveate.mechanisms.facets import Cost

    Class = type[Mechanism]

TABLE_SIZE = (256, 14, 14)  # the map on which tables state costs: the third stage of a ResNet
MOST_DRAWN = 32 * 32  # positions
EXAMPLES = {"classes": 10, "gating": 256}  # for options without a default, where only a cost is wanted


def family(cls: Class) -> str:
    """Return the name of the folder of a mechanism's file."""
    return cls.__module__.split(".")[-2]


def price(name: str, size: tuple[int, ...], options: Mapping[str, object]) -> Cost:
    """Return what a mechanism costs, without allocating its weights.

    Args:
        name: Its name.
        size: Of the map: channels, then the length of a signal, height and width of a map, or depth, height
            and width of a volume.
        options: Its options.

    Raises:
        OptionError: The mechanism cannot be built with these options, or does not take such a map.
    """
    return _on_paper(name, size[0], for_rank(name, len(size) - 1, options)).cost(*size[1:])


def for_rank(name: str, rank: int, options: Mapping[str, object]) -> dict[str, object]:
    """Return the options with which a mechanism takes maps with that many axes of positions.

    Raises:
        OptionError: It does not take them, or its options are for others.
    """
    from foveate.mechanisms.base import mechanisms, options_of
    from foveate.mechanisms.ranks import taken

    cls = mechanisms[name]
    given = dict(options)
    if "dimensions" in options_of(cls) and rank in cls.dims:
        given.setdefault("dimensions", rank)
    dims = cls.dims or (2,)  # a read's memory is laid out from a map
    if rank not in dims or given.get("dimensions", rank) != rank:
        takes = dims if rank not in dims else tuple(n for n in dims if n == given["dimensions"])
        raise OptionError(f"{name} takes {taken(takes) or taken(dims)}, not {taken((rank,))}")
    return given


def _on_paper(name: str, channels: int, options: Mapping[str, object]) -> Mechanism:
    import torch

    from foveate.insert.named_mechanisms import build_named, mechanism_class

    with torch.device("meta"):
        return build_named(name, channels, **stand_ins(mechanism_class(name)) | dict(options))


def flow(name: str, size: tuple[int, ...], options: Mapping[str, object]) -> dict[str, Any]:
    """Return the data flow of a mechanism, and the size of the map on which it was recorded.

    That needs a forward pass with all weights formed, N*N of them in some: larger maps are drawn as 14 x 14,
    signals and volumes with 14 positions along each side.
    """
    from dataclasses import asdict

    from foveate.explain.dataflow import dataflow
    from foveate.mechanisms import base

    channels, *sides = size
    if math.prod(sides) > MOST_DRAWN:
        sides = [TABLE_SIZE[1]] * len(sides)
    options = for_rank(name, len(sides), options)
    module = base.build(name, channels, **stand_ins(base.mechanisms[name]) | options)
    steps = [asdict(step) for step in dataflow(module, *sides)]
    return {"size": [channels, *sides], "steps": steps}


def stand_ins(cls: Class) -> dict[str, object]:
    """Return values for the options that have no default."""
    from foveate.mechanisms.base import options_of

    return {
        name: EXAMPLES[name]
        for name, default in options_of(cls).items()
        if default is inspect.Parameter.empty and name in EXAMPLES
    }


def maps(name: str) -> list[str]:
    """Return the axes of the weights that can be seen, such as ``b c 1 1``."""
    from foveate.mechanisms.map_tap import MapTap

    return [m.axes for m in _on_paper(name, TABLE_SIZE[0], {}).modules() if isinstance(m, MapTap)]


def facts(name: str, cls: Class, size: tuple[int, ...] = TABLE_SIZE, **options: object) -> dict[str, Any]:
    """Return all facts, ready for JSON; ``size`` is (channels, height, width) of a map."""
    from foveate.mechanisms.header import header

    head = header(cls)
    cost = price(name, size, options)
    return {
        "name": name,
        "class": cls.__name__,
        "family": family(cls),
        "interface": cls.interface,
        "facets": {
            "over": list(cls.facets.over),
            "driven_by": cls.facets.driven_by,
            "weighting": cls.facets.weighting,
            "sites": list(cls.facets.sites),
        },
        "dims": list(cls.dims),
        "header": head,
        "options": _options(cls),
        "required": {option: options.get(option, value) for option, value in stand_ins(cls).items()},
        "gate": cls.gate,
        "maps": maps(name),
        "cost": {"size": list(size), "parameters": cost.parameters, "macs": cost.macs, "bytes": cost.bytes},
    }


def _options(cls: Class) -> list[tuple[str, str, str]]:
    """Return name, default and meaning of every option."""
    from foveate.mechanisms.base import options_of

    meanings = _meanings(cls)
    return [
        (name, "(needed)" if default is inspect.Parameter.empty else repr(default), meanings.get(name, ""))
        for name, default in options_of(cls).items()
    ]


def _meanings(cls: Class) -> dict[str, str]:
    """Return the texts under ``Args`` of the class's docstring."""
    from docstring_parser import parse

    parameters = parse(cls.__doc__ or "").params
    return {p.arg_name: " ".join((p.description or "").split()) for p in parameters}


def markdown_table(chosen: Mapping[str, Class]) -> str:
    """Return a table of mechanisms with maps, costs and papers, every name a link to its page."""
    from foveate.quantities import short

    size = "×".join(str(side) for side in TABLE_SIZE)
    lines = [
        f"| name | family | interface | weighs | map | parameters, MACs at {size} | paper |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, cls in chosen.items():
        found = facts(name, cls)
        axes = ", ".join(f"`{axes}`" for axes in found["maps"])
        cost = f"{short(found['cost']['parameters'])}, {short(found['cost']['macs'])}"
        paper = " ".join(found["header"].get("Paper", "").split())
        over = ", ".join(found["facets"]["over"])
        cells = [f"[`{name}`](mechanisms/{name}.md)", found["family"], cls.interface, over, axes, cost, paper]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def parse_mechanism(text: str) -> tuple[str, dict[str, object]]:
    """Read ``se(reduction=8)``, a spec without its site.

    Raises:
        SpecError: It cannot be read.
    """
    from foveate.insert.spec import parse

    term = parse(f"{text}@stem").terms[0]
    return term.mechanism, dict(term.options)


def parse_map_size(text: str) -> tuple[int, ...]:
    """Read ``64,14,14``; ``64,100`` for a signal, ``64,8,14,14`` for a volume.

    Raises:
        OptionError: Not two to four whole numbers of at least 1.
    """
    words = text.split(",")
    if not 2 <= len(words) <= 4 or not all(word.strip().isdigit() and int(word) > 0 for word in words):
        raise OptionError(
            f'--size: got "{text}", expected channels, height and width, such as 64,14,14; channels and '
            "length of a signal; or channels, depth, height and width of a volume"
        )
    return tuple(int(word) for word in words)
