"""What there is, by name, without the seconds that importing PyTorch takes: for ``foveate list``.

``catalogue.json`` beside this file holds the facets of every mechanism and the names of foveate's own models.
``python docs/write_pages.py`` writes it, and a test holds it against the registries.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict, get_args

from foveate.errors import UnknownNameError
from foveate.plugins import loaded_plugins

FILE = Path(__file__).with_name("catalogue.json")


class Facts(TypedDict):
    """The facets of a mechanism: what it weighs, who asks, how, where it can sit, and what maps it takes."""

    family: str
    interface: str
    over: list[str]
    driven_by: str
    weighting: str
    sites: list[str]
    dims: list[str]


class Catalogue(TypedDict):
    """Every mechanism by name, sorted by family; every value that a facet can have; foveate's own models."""

    mechanisms: dict[str, Facts]
    values: dict[str, list[str]]
    models: list[str]


def catalogue() -> Catalogue:
    """Return what the file holds; with plug-ins what the registries hold."""
    if loaded_plugins():
        return current()
    found: Catalogue = json.loads(FILE.read_text(encoding="utf-8"))
    return found


def current() -> Catalogue:
    """Return what the registries hold, for the file; this imports all of them."""
    from foveate.mechanisms import base, facets, mechanisms
    from foveate.models.names import models

    facts = {name: _facts(cls) for name, cls in mechanisms.items()}
    return {
        "mechanisms": dict(sorted(facts.items(), key=lambda entry: (entry[1]["family"], entry[0]))),
        "values": {
            "over": list(get_args(facets.Over)),
            "driven_by": list(get_args(facets.DrivenBy)),
            "weighting": list(get_args(facets.Weighting)),
            "sites": list(get_args(facets.Place)),
            "interface": sorted({interface.interface for interface in base.Mechanism.__subclasses__()}),
            "dims": ["1", "2", "3"],
        },
        "models": sorted(models),
    }


def matches(facts: Facts, wanted: Mapping[str, str | None], values: Mapping[str, list[str]]) -> bool:
    """Tell whether a mechanism has every facet that is wanted; None wants nothing.

    Raises:
        UnknownNameError: A value that no mechanism can have.
    """
    return all(_has(facts, facet, value, values) for facet, value in wanted.items() if value is not None)


def _has(facts: Mapping[str, Any], facet: str, value: str, values: Mapping[str, list[str]]) -> bool:
    if value not in values[facet]:
        option = {"sites": "--site", "driven_by": "--driven-by"}.get(facet, f"--{facet}")
        raise UnknownNameError(f"value of {option}", value, values[facet])
    has = facts[facet]
    return bool(value == has) if isinstance(has, str) else value in has


def _facts(cls: Any) -> Facts:
    facets = cls.facets
    return {
        "family": cls.__module__.split(".")[-2],
        "interface": cls.interface,
        "over": list(facets.over),
        "driven_by": facets.driven_by,
        "weighting": facets.weighting,
        "sites": list(facets.sites),
        "dims": [str(rank) for rank in cls.dims],
    }
