"""What a notebook shows of a study: the verdict and the table, without scripts or identifiers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from foveate.compare.report.intervals import difference_scale, glyph
from foveate.compare.report.result import Result, baseline, complete, digits
from foveate.compare.report.svg import Scale, join, tag
from foveate.compare.report.words import (
    badge,
    count,
    heading,
    milliseconds,
    plain,
    short,
    signed,
    span,
    spread,
    without_repeats,
)

# Colours derive from the notebook's own text colour, so that they suit any theme.
_STYLE = """
.foveate-study { font-variant-numeric: tabular-nums; overflow-x: auto; }
.foveate-study .fv-sentence { font-size: 1.25em; font-weight: 600; line-height: 1.35; max-width: 46em; }
.foveate-study .fv-soft { opacity: .72; }
.foveate-study table { border-collapse: collapse; margin: .8em 0; }
.foveate-study th, .foveate-study td { text-align: left; padding: .4em 1.2em .4em 0; vertical-align: top;
  border-bottom: 1px solid rgba(128, 128, 128, .3); background: none; white-space: nowrap; }
.foveate-study .fv-n { text-align: right; }
.foveate-study .fv-wide { min-width: 15em; }
.foveate-study svg { display: block; overflow: visible; }
.foveate-study .glyph { height: 30px; }
.foveate-study .seed-dot { fill: currentColor; opacity: .6; }
.foveate-study .band { fill: currentColor; opacity: .1; }
.foveate-study .zero { stroke: currentColor; opacity: .5; }
.foveate-study .bar { stroke: currentColor; stroke-width: 2; }
.foveate-study .dot { fill: currentColor; }
"""


def repr_html(result: Result) -> str:
    """Return a self-contained HTML fragment, for ``Study._repr_html_``."""
    whole = complete(result)
    scale = difference_scale(whole["variants"], whole["question"]["margin"])
    metric = whole["question"]["metric"]
    heads = ("Variant", "Verdict", heading(metric["name"]), "Difference", "Parameters", "MACs", "Latency")
    head = tag("thead", tag("tr", *(tag("th", text, scope="col") for text in heads)))
    body = tag("tbody", *(_row(variant, whole, scale) for variant in whole["variants"]))
    parts = [
        tag("style", Markup(_STYLE)),
        tag("p", whole["sentence"] or "No verdict yet.", class_="fv-sentence"),
        tag("p", without_repeats(whole["could_have_found"], whole["sentence"]), class_="fv-soft"),
        tag("table", head, body),
    ]
    return str(tag("div", join(parts), class_="foveate-study"))


def _row(variant: Mapping[str, Any], whole: Mapping[str, Any], scale: Scale) -> Markup:
    score, found, first = variant["score"], variant["difference"], digits(whole)
    shown = badge(variant["verdict"])
    timing = (variant["latency"] or {}).get("single") or {}
    around = spread(score["mean"], score["low"], score["high"], first)
    drawn = Markup("")
    if found:
        text = f"{signed(found['mean'], first + 1)} ({span(found['low'], found['high'], first + 1)})"
        drawn = tag("span", text) + glyph(variant, baseline(whole), scale, whole["question"]["margin"])
    return tag(
        "tr",
        tag("th", tag("bdi", variant["name"]), scope="row"),
        tag("td", f"{shown.sign} {variant['verdict']}"),
        tag("td", f"{plain(score['mean'], first)} {around}".strip(), class_="fv-n"),
        tag("td", drawn, class_="fv-wide"),
        tag("td", count(variant["cost"]["parameters"]), class_="fv-n"),
        tag("td", short(variant["cost"]["macs"]), class_="fv-n"),
        tag("td", milliseconds(timing.get("median")), class_="fv-n"),
    )
