"""Turn a spec into steps: each term, the sites it names, and whether the mechanism can sit there."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

from foveate.errors import SiteError
from foveate.insert.named_mechanisms import interface_of
from foveate.insert.patterns import matches
from foveate.insert.sites import MAPS, Site, Survey, reasons_in_words
from foveate.insert.slot import Role
from foveate.insert.spec import Spec, Term

_INTERFACES = {
    "refine": "weighs a map and returns one of the same shape",
    "gate": "weighs a map by a deeper one, so it can sit only where the two meet: @skip",
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


def plan(survey: Survey, spec: Spec) -> list[Step]:
    """Return the steps of a spec, in order.

    Raises:
        SiteError: A pattern matches nothing, or a mechanism cannot sit at what it matches.
        UnknownNameError: No mechanism has this name.
        OptionError: A control does not name its mechanism.
    """
    return [step for term in spec.terms for step in _steps(survey, term)]


def _steps(survey: Survey, term: Term) -> list[Step]:
    interface = interface_of(term)
    if interface not in _INTERFACES:
        way = (
            f'Let it choose what the whole model sees: fv.select(model, "{term.mechanism}(...)")'
            if interface == "select"
            else f'Build it in your own model: fv.mechanisms["{term.mechanism}"](...)'
        )
        raise SiteError(f"{term.mechanism} is a {interface.capitalize()}, which no spec can insert. {way}")
    found = survey.find(term.site, term.where)
    if term.site == "blocks":
        _warn_of_left_out(survey)
    aliased = term.site in survey.aliases
    chosen = [_step_at(survey, term, site) for site in found if site.suits(interface)]
    steps = _unique([step for step in chosen if step is not None])
    if not steps:
        raise SiteError(_no_site(survey, term, found, interface))
    if interface in ("refine", "gate"):
        maps = {site.path for site in found if site.kind in MAPS}
        named = maps if aliased else set(_paths_that_ran(survey, term.site))
        _check_all_used(term, named - {step.site.path for step in steps})
    return steps


def _warn_of_left_out(survey: Survey) -> None:
    """Warn of the blocks that are left out although others of their class are not."""
    if survey.left_out_of_class:
        text = f'"blocks" of {survey.model_name} leaves out {reasons_in_words(survey.left_out_of_class)}'
        warnings.warn(text, stacklevel=5)


def _step_at(survey: Survey, term: Term, site: Site) -> Step | None:
    """Return the step for one term at one site, None if the site does not fit the term."""
    if site.kind in ("pool", "scores"):
        role: Role = "pool" if site.kind == "pool" else "label"
        return Step(term, site, role) if term.where != "before" else None
    if term.where == "replace":
        entry = survey.entry(site.path)
        is_whole = site.where == "after" and not site.argument and not site.within
        is_alone = site.source is None and site.deeper is None
        fits = is_whole and is_alone and entry is not None and entry.map == site.map
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


def _paths_that_ran(survey: Survey, pattern: str) -> list[str]:
    return [path for path in survey.paths if path in survey.run.counts and matches(pattern, path)]


def _check_all_used(term: Term, unused: set[str]) -> None:
    """Raise a SiteError if a step is missing for anything that a pattern names."""
    if unused:
        why = "must return the shape that it takes" if term.where == "replace" else "must return a map"
        if interface_of(term) == "gate":
            why = "must come after the module that makes the deeper map"
        paths = ", ".join(sorted(unused)[:4])
        raise SiteError(
            f'{term}: "{term.site}" also names {paths}, where {term.mechanism} cannot sit: the module {why}. '
            "Make the pattern narrower."
        )


def _why_no_map(survey: Survey, term: Term) -> str:
    reasons = ((path, survey.why_not(path)) for path in _paths_that_ran(survey, term.site))
    path, why = next(((path, why) for path, why in reasons if why), ("", ""))
    return f". What comes out of {path} is not a map: {why}" if why else ""


def _no_site(survey: Survey, term: Term, found: list[Site], interface: str) -> str:
    """Return why a term can sit nowhere although it names something."""
    text = f"{term}: {term.mechanism} {_INTERFACES[interface]}"
    if found:
        text += f'; "{term.site}" is {"; ".join(str(site) for site in found[:3])}'
    if term.where == "replace":
        text += ", and what goes in there must have the shape of what comes out"
    if not found:
        text += _why_no_map(survey, term)
    if found and found[0].kind == "scores" and interface == "refine":
        text += ". A classifier's scores are not a map: class-wise attention such as csra sits there"
    fits = [site for site in survey.sites if site.suits(interface) and site.aliases]
    near = "; ".join(str(site) for site in fits[-3:]) or "nowhere in this model"
    return f"{text}. It could sit at: {near}."
