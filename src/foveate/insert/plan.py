"""Turn a spec into what will be done: each term, the sites it names, and whether the mechanism can sit there."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import nn

from foveate.errors import FoveateError, OptionError, ShapeError, SiteError
from foveate.insert.control import Control
from foveate.insert.sites import Site, Survey, is_glob
from foveate.insert.spec import Spec, Term
from foveate.mechanisms.base import Mechanism, Refine, build, mechanisms

_MAPS = ("map", "grid", "tokens")
_KINDS = {"refine": _MAPS, "pool": ("pool",), "label": ("scores",)}
_WORDS = {
    "refine": "weighs a map and returns one of the same shape",
    "pool": "turns a map into one vector, so it can sit only where the model does that: @pool",
    "label": "turns a map into one score per class, so it can sit only where a classifier's scores are made: @output",
}


@dataclass(frozen=True)
class Step:
    """One mechanism at one site."""

    term: Term
    site: Site
    role: str

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
        others = {site.channels: site for site in survey.sites if site.kind in _KINDS[step.interface]}
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


def interface_of(term: Term) -> str:
    """Return the interface of a term's mechanism, or of the one that a control stands for."""
    name = term.mechanism
    if name == "control":
        name = str(dict(term.options).get("like", ""))
        if not name:
            raise OptionError(
                "control needs like=..., the mechanism whose cost it shall have, as in control(like=se)"
            )
    return mechanisms[name].interface


def _build(term: Term, site: Site) -> nn.Module:
    options = dict(term.options)
    if interface_of(term) == "label":
        options.setdefault("classes", site.classes)
    if term.mechanism == "control":
        like = str(options.pop("like"))
        return Control(site.channels, like=like, height=site.height, width=site.width, **options)
    return build(term.mechanism, site.channels, **options)


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
            f"{term.mechanism} is a {interface.capitalize()} and cannot be inserted by a spec. Build it in your own "
            f'model: fv.mechanisms["{term.mechanism}"](...)'
        )
    found = survey.find(term.site)
    aliased = term.site in survey.places
    chosen = [_placed(survey, term, site, aliased) for site in found if site.kind in _KINDS[interface]]
    steps = _unique([step for step in chosen if step is not None])
    if not steps:
        raise SiteError(_no_site(survey, term, found, interface))
    if interface == "refine" and not aliased:
        _check_all(survey, term, found, steps)
    return steps


def _placed(survey: Survey, term: Term, site: Site, aliased: bool) -> Step | None:
    """Return the step for one term at one site, None where the site is not what the term asks for."""
    if site.kind in ("pool", "scores"):
        return (
            Step(term, site, "pool" if site.kind == "pool" else "label") if term.where != "before" else None
        )
    if aliased and (term.where == "after" or site.where == "before"):
        return Step(term, site, site.where) if term.where != "replace" else None
    if not aliased and site.where == "before":
        return None
    if term.where == "after":
        return Step(term, site, "after")
    arriving = survey.layout_before(site.path)
    if arriving is None or (term.where == "replace" and arriving != site.map):
        return None
    moved = replace(
        site,
        channels=arriving.channels,
        height=arriving.height,
        width=arriving.width,
        layout=arriving.kind,
        kind=arriving.kind,
        prefix=arriving.prefix,
        where="before" if term.where == "before" else "after",
    )
    return Step(term, moved, term.where)


def _unique(steps: list[Step]) -> list[Step]:
    seen: dict[tuple[str, str, str], Step] = {}
    for step in steps:
        seen.setdefault((step.site.path, step.role, step.site.argument), step)
    return list(seen.values())


def _check_all(survey: Survey, term: Term, found: list[Site], steps: list[Step]) -> None:
    """A path that was named must take part: nothing that a pattern matches is left out in silence."""
    done = {step.site.path for step in steps}
    wanted = [path for path in survey.paths if path in survey.notes.counts and _named(term.site, path)]
    left = [path for path in wanted if path not in done]
    if left:
        raise SiteError(
            f'{term}: "{term.site}" also names {", ".join(left[:4])}, where {term.mechanism} cannot sit: it '
            f"{_WORDS['refine']}. Make the pattern narrower."
        )


def _named(pattern: str, path: str) -> bool:
    from foveate.insert.sites import matches

    return matches(pattern, path)


def _no_site(survey: Survey, term: Term, found: list[Site], interface: str) -> str:
    """Say why a term that names something can sit nowhere."""
    kinds = _KINDS[interface]
    text = f"{term}: {term.mechanism} {_WORDS[interface]}"
    if found:
        text += f'; "{term.site}" is {"; ".join(str(site) for site in found[:3])}'
    if term.where == "replace":
        text += ", and what goes in there must have the shape of what comes out"
    if found and found[0].kind == "scores" and interface == "refine":
        text += ". A classifier's scores are no map: class-wise attention such as csra sits there"
    fits = [site for site in survey.sites if site.kind in kinds and site.aliases]
    near = "; ".join(str(site) for site in fits[-3:]) or "nowhere in this model"
    return f"{text}. It could sit at: {near}."


__all__ = ["Mechanism", "Refine", "Step", "interface_of", "is_glob", "make", "plan"]
