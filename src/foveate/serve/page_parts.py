"""What a served page shows, as HTML: answers with figures and files, the judgement, and what is wrong."""

from __future__ import annotations

import json
from base64 import b64encode
from functools import cache
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from foveate.explain.judging.judgement import Judgement
from foveate.infer.look_figures import Look

_SHEET = "maps"  # the drawing that has all maps side by side; of one picture it repeats the others
_DIGITS = 6  # of a map's values in a file
_CALLED = {
    "smooth_random": "smooth random map",
    "centre": "centre of the picture",
    "edges": "edges of the picture",
    "mask": "the true mask",
}


def head(name: str, *, here: bool) -> str:
    """Return the head of the page.

    Args:
        name: Of the model.
        here: Whether only this machine can reach the page.
    """
    return _filled(
        "head.html.j2", name=name, place="this machine" if here else "the machine that runs this page"
    )


def empty(text: str) -> str:
    """Return what stands where there is no answer yet."""
    return str(Markup('<div class="fv-empty">{}</div>').format(text))


def wrong(text: str) -> str:
    """Return what stands where an answer cannot be given, and why."""
    return str(Markup('<div class="fv-wrong" role="alert">{}</div>').format(text))


def style() -> str:
    """Return the page's own style sheet."""
    return _filled("page.css.j2")


def answer(found: Look) -> str:
    """Return the prediction, the figures of one picture, and links that save them."""
    drawings = [drawing for name, drawing in found.drawings.items() if name != _SHEET]
    seen = found.pictures[0]
    return _filled(
        "answer.html.j2",
        prediction=seen.prediction,
        figures=[
            {
                "name": drawing.name,
                "text": drawing.text,
                "png": b64encode(drawing.file("png")).decode(),
                "svg": b64encode(drawing.file("svg")).decode(),
            }
            for drawing in drawings
        ],
        numbers=_file({**found.as_plain(), "values": {name: _rows(one) for name, one in seen.maps.items()}}),
        notes=found.notes,
    )


def judged(found: Judgement) -> str:
    """Return the table, the sentences, and a link that saves the numbers."""
    return _filled(
        "judged.html.j2",
        maps=list(found.maps),
        baselines=list(found.baselines),
        metrics=found.metrics,
        scores=found.scores,
        told=found.told,
        pictures=found.pictures,
        notes=found.notes(),
        called=_CALLED,
        numbers=_file(found.as_plain()),
    )


def _rows(values: np.ndarray) -> list[list[float | None]]:
    """Return a map row by row; None where it says nothing."""
    return [
        [float(f"{value:.{_DIGITS}g}") if np.isfinite(value) else None for value in row]
        for row in values.tolist()
    ]


def _file(plain: dict[str, Any]) -> str:
    return b64encode(json.dumps(plain, ensure_ascii=False).encode()).decode()


def _filled(template: str, **values: Any) -> str:
    return _environment().get_template(template).render(**values)


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("foveate.serve"), autoescape=True, undefined=jinja2.StrictUndefined
    )
