"""Build the mechanism that a spec names for what flows at a site, or the control that stands in for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from foveate.errors import FoveateError, OptionError, ShapeError, SiteError
from foveate.insert.control import Control
from foveate.insert.named_mechanisms import build_named, interface_of, mechanism_class
from foveate.insert.sites import Site
from foveate.insert.spec import Term
from foveate.mechanisms.base import PLACED, mechanisms, options_of
from foveate.mechanisms.ranks import taken


def build_at(term: Term, site: Site, others: Sequence[Site]) -> nn.Module:
    """Build the mechanism of a term for the channels that flow at a site.

    Args:
        term: The mechanism, and its options.
        site: Where it is to sit.
        others: All sites of the model.

    Raises:
        SiteError: The mechanism cannot take these channels; the message names sites whose channels it takes.
        UnknownNameError: No mechanism has this name.
        OptionError: A mechanism does not have this option.
    """
    try:
        return _build(term, site)
    except (ShapeError, OptionError, ValueError) as error:
        interface = interface_of(term)
        one_a_width = {other.channels: other for other in others if other.suits(interface)}
        fits = [s for s in one_a_width.values() if s.channels != site.channels and _can_build(term, s)]
        if not fits:
            raise
        near = sorted(fits, key=lambda s: abs(s.channels - site.channels))[:3]
        raise SiteError(
            f"{term} cannot sit at {site.path}, where {site.channels} channels flow: {error} "
            f"It could at: {'; '.join(map(str, near))}."
        ) from error


def build_control(channels: int, like: str, size: tuple[int, ...], options: Mapping[str, object]) -> Control:
    """Build the control of a mechanism, which is itself built for its cost alone, without storage.

    Args:
        channels: C of the map that it will receive.
        like: The mechanism, as a spec names it.
        size: The positions along each axis of the map for which the MACs are to be equal.
        options: The options of the mechanism.

    Raises:
        UnknownNameError: There is no such mechanism.
        OptionError: It does not have such an option, or cannot be inserted.
    """
    with torch.device("meta"):
        mechanism = build_named(like, channels, **options)
    return Control(mechanism, name=like, channels=channels, size=size)


def _build(term: Term, site: Site) -> nn.Module:
    options = dict(term.options)
    for option in PLACED:
        if option in options:
            raise OptionError(f"{term}: a spec cannot set {option}; attention gets that of the model")
    interface = interface_of(term)
    if interface == "label":
        options.setdefault("classes", site.classes)
    if interface == "gate":
        options.setdefault("gating", site.gating)
    name = str(options.pop("like")) if term.mechanism == "control" else term.mechanism
    cls = mechanism_class(name)
    _expect_dims(term, name, cls.dims, site)
    if "dimensions" in options_of(cls):
        options.setdefault("dimensions", site.dims)
    if term.mechanism == "control":
        return build_control(site.channels, name, site.size, options)
    built = build_named(name, site.channels, **options)
    _expect_dims(term, name, built.dims, site)  # options may narrow what the class takes
    returned = getattr(built, "out_channels", site.channels)
    if returned != site.channels:
        raise SiteError(
            f"{term.mechanism} returns the {returned} channels of the deeper map, expected the "
            f"{site.channels} of {site.path}. A gate that keeps them can sit there, such as attention_gate."
        )
    return built


def _expect_dims(term: Term, name: str, dims: tuple[int, ...], site: Site) -> None:
    """Raise a SiteError that names suitable mechanisms, unless this one takes what flows at a site."""
    if site.dims in dims:
        return
    interface = mechanism_class(name).interface
    takers = {n for n, cls in mechanisms.items() if cls.interface == interface and site.dims in cls.dims}
    raise SiteError(
        f"{term} cannot sit at {site.path or 'the model'}: {name} takes {taken(dims)}, and "
        f"{taken((site.dims,))} flow here. These take them: {', '.join(sorted(takers - {name}))}."
    )


def _can_build(term: Term, site: Site) -> bool:
    state = torch.get_rng_state()
    try:
        _build(term, site)
    except (FoveateError, ValueError):
        return False
    finally:
        torch.set_rng_state(state)
    return True
