"""The page: one self-contained HTML text that loads nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

import jinja2

from foveate.compare.report import axes, confusion, curves, gates, intervals, map_scores, pareto, words
from foveate.compare.report.cards import by_kind
from foveate.compare.report.heat import heat
from foveate.compare.report.result import Result, better, complete, digits

MODES = {
    "scratch": "every model trained from random weights",
    "pretrained": "every model fine-tuned from the same pretrained weights",
    "branch": "baseline trained once per seed, then continued with and without attention",
}
OWN = "every model trained from the weights that the named function returns"


def render(result: Result) -> str:
    """Return the report as one HTML text.

    Args:
        result: The plain data of a study, as ``study.json`` holds it, with its ``pictures``.

    Example:
        >>> page = render({"question": {}, "variants": [], "sentence": "Nothing to compare."})
        >>> page.startswith("<!doctype html>") and "Nothing to compare." in page
        True
    """
    whole = complete(result)
    environment = _environment()
    script = environment.loader.get_source(environment, "script.js")[0]  # type: ignore[union-attr]
    page = environment.get_template("page.html.j2")
    return page.render(**view(whole), script=script, script_hash=_hash(script)).strip() + "\n"


def view(whole: Mapping[str, Any]) -> dict[str, Any]:
    """Return the variables of the templates: the completed result, and what several sections share."""
    question, variants = whole["question"], whole["variants"]
    compared = [variant for variant in variants if variant["difference"]]
    return {
        "result": whole,
        "question": question,
        "metric": question["metric"],
        "unit": question["metric"]["unit"],
        "variants": variants,
        "compared": compared,
        "base": next((variant for variant in variants if variant["role"] == "baseline"), None),
        "digits": digits(whole),
        "better": better(whole),
        "items": question["items_called"],
        "seeds": words.between(_seeds(variants) or [len(question["seeds"])]),
        "uneven": len(set(_seeds(variants))) > 1,
        "of_models": bool(compared) and all(variant["model"] for variant in compared),
        "cards": by_kind(whole["pictures"]),
        "lead": words.without_repeats(whole["could_have_found"], whole["sentence"])
        if _is_open(variants)
        else "",
        "mode": _asked(question),
        "scale": intervals.difference_scale(variants, question["margin"]),
        "class_scale": intervals.class_scale(compared),
        "gate_scale": gates.gate_scale(variants),
        "sections": sections(whole),
        "numbers": {key: value for key, value in whole.items() if key != "pictures"},
    }


def _is_open(variants: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether a variant is without a verdict, so that what the study could have shown matters."""
    tried = [variant["verdict"] for variant in variants if variant["role"] == "variant"]
    return not tried or any(verdict in ("not yet known", "no verdict", "dropped") for verdict in tried)


def _seeds(variants: Sequence[Mapping[str, Any]]) -> list[int]:
    """Return how many seeds each variant has."""
    return [len((variant["score"] or {}).get("per_seed") or ()) for variant in variants if variant["score"]]


def _asked(question: Mapping[str, Any]) -> str:
    """Say where training starts; whether a function of the user's own returns new weights is not known."""
    own = ":" in question["model"] and question["mode"] == "scratch"
    return OWN if own else MODES.get(question["mode"], question["mode"])


def sections(whole: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the anchor and the title of every section with content, in order."""
    variants = whole["variants"]
    known = [
        ("verdict", "Verdict", True),
        ("table", "Every variant", True),
        ("cost", "Quality and cost", axes.costs(whole)),
        ("curves", "Learning curves", curves.measures(whole)),
        ("classes", "Effect on classes", any(v["difference"] and v["per_class"] for v in variants)),
        ("confusion", "Confusions", any(variant["confusion"] for variant in variants)),
        ("gates", "Gates", any(variant["gates"] for variant in variants)),
        ("pictures", words.heading(whole["question"]["items_called"]), whole["pictures"]),
        ("maps", "Judged maps", whole["judged_maps"]),
        ("checks", "Check of the data", True),
        ("recipe", "How to repeat it", True),
        ("rules", "How verdicts are reached", True),
    ]
    return [(anchor, title) for anchor, title, there in known if there]


def moment(iso: str) -> str:
    """Write a date and time for people; text that is not ISO 8601 is returned unchanged."""
    try:
        return datetime.fromisoformat(iso).strftime("%-d %B %Y, %H:%M")
    except ValueError:
        return iso


def picture(uri: str) -> str:
    """Return an image's data URI; anything else, such as a web address, becomes an empty one."""
    return uri if uri.startswith("data:image/") else "data:,"


def flat(tree: Mapping[str, Any], before: str = "") -> list[tuple[str, str]]:
    """Return the leaves of nested options as (dotted name, text), in order."""
    found: list[tuple[str, str]] = []
    for key, value in tree.items():
        name = f"{before}{key}"
        if isinstance(value, Mapping):
            found += flat(value, f"{name}.")
        elif isinstance(value, list):
            found.append((name, ", ".join(map(str, value)) or "none"))
        else:
            found.append((name, _written(value)))
    return found


def _written(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


def _hash(script: str) -> str:
    """Return the hash of the one script that the page's policy lets run."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader(
            [jinja2.PackageLoader("foveate.compare.report"), jinja2.PackageLoader("foveate.explain.drawing")]
        ),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False}  # and in the order they have
    writers: tuple[Callable[..., str], ...] = (
        words.plain,
        words.exactly,
        words.signed,
        words.span,
        words.spread,
        words.count,
    )
    more = (
        words.short,
        words.milliseconds,
        words.mebibytes,
        words.duration,
        words.relative,
        words.chance,
        words.letter,
        words.heading,
        words.singular,
    )
    environment.filters.update(
        {write.__name__: write for write in (*writers, *more, flat, moment, picture, heat)}
    )
    environment.filters["parts"] = words.parts
    environment.globals.update(
        axes=axes,
        badge=words.badge,
        plain=words.plain,
        confusion=confusion,
        curves=curves,
        gates=gates,
        intervals=intervals,
        map_scores=map_scores,
        pareto=pareto,
    )
    return environment
