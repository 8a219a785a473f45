"""Turn a spec into what will be done: each term, the sites it names, whether the mechanism can sit there."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import get_args

import torch
from torch import nn

from foveate.errors import FoveateError, OptionError, ShapeError, SiteError
from foveate.insert.control import Control
from foveate.insert.layout import Kind
from foveate.insert.own_modules import build_named, mechanism_class
from foveate.insert.patterns import matches
from foveate.insert.sites import Site, Survey, in_words
from foveate.insert.slot import Role
from foveate.insert.spec import Spec, Term
from foveate.mechanisms.base import PLACED, mechanisms, options_of
from foveate.mechanisms.ranks import taken

_MAPS = get_args(Kind)
_KINDS = {"refine": _MAPS, "gate": _MAPS, "pool": ("pool",), "label": ("scores",)}
_WORDS = {
    "refine": "weighs a map and returns one of the same shape",
    "gate": "weighs a map by what a deeper one asks for, so it can sit only where the two meet: @skip",
    "pool": "turns a map into one vector, so it can sit only where the model does that: @pool",
    "label": "turns a map into one score per class, so it can sit only where a classifier's scores are made: "
    "@output",
}


@dataclass(frozen=True)
class Step:
    """One mechanism at one site."""

    term: Term
    site: Site
    role: Role

    @property
    def interface(self) -> str:
        """The interface of what is inserted."""
        return interface_of(self.term)


def plan(survey: Survey, spec: Spec) -> list[Step]:
    """Return the steps of a spec, in order.

    Raises:
        SiteError: A pattern matches nothing, or a mechanism cannot sit at what it matches.
        UnknownNameError: No mechanism has this name.
        OptionError: A mechanism does not have this option.
    """
    return [step for term in spec.terms for step in _steps(survey, term)]


def make(step: Step, survey: Survey) -> nn.Module:
    """Build the mechanism of a step for the channels that flow at its site.

    Raises:
        SiteError: The mechanism cannot take these channels; the message names sites whose channels it takes.
    """
    try:
        return _build(step.term, step.site)
    except (ShapeError, OptionError, ValueError) as error:
        others = {site.channels: site for site in survey.sites if _suits(step.interface, site)}
        fits = [
            site for site in others.values() if site.channels != step.site.channels and _fits(step.term, site)
        ]
        if not fits:
            raise
        near = "; ".join(
            str(site) for site in sorted(fits, key=lambda s: abs(s.channels - step.site.channels))[:3]
        )
        raise SiteError(
            f"{step.term} cannot sit at {step.site.path}, where {step.site.channels} channels flow: {error} "
            f"It could at: {near}."
        ) from error


def _suits(interface: str, site: Site) -> bool:
    """Return whether what flows at a site is what mechanisms of an interface take."""
    return site.kind in _KINDS[interface] and (interface != "gate" or site.deeper is not None)


def interface_of(term: Term) -> str:
    """Return the interface of a term's mechanism, or of the one that a control stands for."""
    name = term.mechanism
    if name == "control":
        name = str(dict(term.options).get("like", ""))
        if not name:
            raise OptionError(
                "control needs like=..., the mechanism whose cost it is to match, as in control(like=se)"
            )
    return mechanism_class(name).interface


def _build(term: Term, site: Site) -> nn.Module:
    options = dict(term.options)
    for option in PLACED:
        if option in options:
            raise OptionError(f"{term}: {option} cannot be said in a spec; attention gets that of the model")
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
        return Control(site.channels, like=name, size=site.size, options=options)
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
    """Raise a SiteError that says which others do, unless a mechanism takes what flows at a site."""
    if site.dims in dims:
        return
    interface = mechanism_class(name).interface
    takers = {n for n, cls in mechanisms.items() if cls.interface == interface and site.dims in cls.dims}
    raise SiteError(
        f"{term} cannot sit at {site.path or 'the model'}: {name} takes {taken(dims)}, and "
        f"{taken((site.dims,))} flow here. These take them: {', '.join(sorted(takers - {name}))}."
    )


def _fits(term: Term, site: Site) -> bool:
    state = torch.get_rng_state()
    try:
        _build(term, site)
    except (FoveateError, ValueError):
        return False
    finally:
        torch.set_rng_state(state)
    return True


def _steps(survey: Survey, term: Term) -> list[Step]:
    interface = interface_of(term)
    if interface not in _KINDS:
        raise SiteError(
            f"{term.mechanism} is a {interface.capitalize()} and no spec can insert it. Build it in your "
            f'own model: fv.mechanisms["{term.mechanism}"](...)'
        )
    found = survey.find(term.site, term.where)
    if term.site == "blocks":
        _warn_of_others(survey)
    aliased = term.site in survey.places
    chosen = [_placed(survey, term, site) for site in found if _suits(interface, site)]
    steps = _unique([step for step in chosen if step is not None])
    if not steps:
        raise SiteError(_no_site(survey, term, found, interface))
    if interface in ("refine", "gate"):
        maps = {site.path for site in found if site.kind in _MAPS}
        named = maps if aliased else set(_ran(survey, term.site))
        _check_all(term, named - {step.site.path for step in steps})
    return steps


def _warn_of_others(survey: Survey) -> None:
    """Say which blocks are left out, where they are of the same class as those that are not."""
    if survey.odd_ones:
        text = f'"blocks" of {survey.model_name} leaves out {in_words(survey.odd_ones)}'
        warnings.warn(text, stacklevel=5)


def _placed(survey: Survey, term: Term, site: Site) -> Step | None:
    """Return the step for one term at one site, None where the site is not what the term asks for."""
    if site.kind in ("pool", "scores"):
        return (
            Step(term, site, "pool" if site.kind == "pool" else "label") if term.where != "before" else None
        )
    if term.where == "replace":
        entry = survey.entry(site.path)
        fits = not site.within and site.source is None and site.deeper is None
        fits = (
            fits
            and site.where == "after"
            and not site.argument
            and entry is not None
            and entry.map == site.map
        )
        return Step(term, site, "replace") if fits else None
    if term.where == "before" and site.where == "after" and site.deeper is None:
        entry = survey.entry(site.path)
        return Step(term, entry, "before") if entry is not None else None
    return Step(term, site, "before" if site.where == "before" else "after")


def _unique(steps: list[Step]) -> list[Step]:
    seen: dict[tuple[object, ...], Step] = {}
    for step in steps:
        site = step.site
        seen.setdefault((site.path, step.role, site.argument, site.first, site.source), step)
    return list(seen.values())


def _ran(survey: Survey, pattern: str) -> list[str]:
    return [path for path in survey.paths if path in survey.notes.counts and matches(pattern, path)]


def _check_all(term: Term, left: set[str]) -> None:
    """Refuse to leave anything out in silence that a pattern names."""
    if left:
        why = "must be given what it returns, in shape" if term.where == "replace" else "must make a map"
        if interface_of(term) == "gate":
            why = "must come after the module that makes the deeper map"
        raise SiteError(
            f'{term}: "{term.site}" also names {", ".join(sorted(left)[:4])}, where {term.mechanism} cannot '
            f"sit: the module {why}. Make the pattern narrower."
        )


def _why_no_map(survey: Survey, term: Term) -> str:
    reasons = ((path, survey.why_not(path)) for path in _ran(survey, term.site))
    path, why = next(((path, why) for path, why in reasons if why), ("", ""))
    return f". What comes out of {path} is no map: {why}" if why else ""


def _no_site(survey: Survey, term: Term, found: list[Site], interface: str) -> str:
    """Say why a term that names something can sit nowhere."""
    text = f"{term}: {term.mechanism} {_WORDS[interface]}"
    if found:
        text += f'; "{term.site}" is {"; ".join(str(site) for site in found[:3])}'
    if term.where == "replace":
        text += ", and what goes in there must have the shape of what comes out"
    if not found:
        text += _why_no_map(survey, term)
    if found and found[0].kind == "scores" and interface == "refine":
        text += ". A classifier's scores are no map: class-wise attention such as csra sits there"
    fits = [site for site in survey.sites if _suits(interface, site) and site.aliases]
    near = "; ".join(str(site) for site in fits[-3:]) or "nowhere in this model"
    return f"{text}. It could sit at: {near}."
