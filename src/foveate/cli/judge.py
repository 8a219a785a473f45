"""``foveate judge``: whether maps of where a model looks tell the truth."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from foveate.errors import DataError, OptionError

if TYPE_CHECKING:
    from foveate.data.judged_pictures import JudgedPictures
    from foveate.explain.judging.judgement import Judgement

UNREADABLE = 2
EXAMPLE = """
    $ foveate judge runs/scenes "scenes(size=32)" --method grad_cam --metric energy
    map            energy
    ────────────────────────────────────────
    grad_cam       0.316 (0.294 to 0.339)
    random         0.130 (0.128 to 0.132)
    smooth_random  0.131 (0.126 to 0.136)
    centre         0.143 (0.137 to 0.149)
    edges          0.181 (0.175 to 0.187)
    gradient       0.224 (0.213 to 0.235)
    mask           1.000 (1.000 to 1.000)

    energy, grad_cam: better than a smooth random map: yes, by 0.15 to 0.22
    energy, grad_cam: better than the centre of the picture: yes, by 0.14 to 0.21
    energy, grad_cam: better than the edges of the picture: yes, by 0.10 to 0.17

    energy: how much of the map lies on the object? (localisation; higher is better)
    All maps are brought to 8 x 8 cells.
    Left out: 21 of 200 pictures, wrongly predicted.
"""


def judge(
    model: str,
    /,
    *data: str,
    method: Annotated[list[str] | None, Parameter(alias="-m")] = None,
    metric: list[str] | None = None,
    baseline: list[str] | None = None,
    images: int = 200,
    split: str = "test",
    grid: int | None = None,
    own_grids: bool = False,
    twin: Path | None = None,
    level: float = 0.95,
    seed: int = 0,
    out: Path | None = None,
    size: int | None = None,
    classes: int = 1000,
    weights: Path | None = None,
    untrained: bool = False,
    trust_code: bool = False,
    json: bool = False,
) -> int | None:
    """Judge whether maps of where a model looks tell the truth: by its own answers, and by true masks.

    Beside each map stand maps that know nothing of the model. A map that does not
    beat the centre of the picture has not shown that it explains anything.

    Args:
        model: The folder of a study or of a training; or a model's name, which gets its published weights;
            or package.module:function.
        data: Where the pictures are: scenes, the built-in ones, whose truth is known; a folder of images and
            masks, or of class folders; or files, folders, lists and patterns of pictures.
        method: How the maps are made, options allowed: "rise(masks=500)"; may be given several times.
            Default: grad_cam.
        metric: How they are judged, options allowed: "deletion(fill=blur)"; may be given several times.
            Default: deletion, insertion, and with masks pointing and energy.
        baseline: What is judged beside them; may be given several times. Default: random, smooth_random,
            centre, edges, gradient, and with masks the mask itself.
        images: The most pictures that are judged, spread evenly over the data.
        split: The part of the data.
        grid: Cells a side to which all maps are brought. Default: those of the coarsest map.
        own_grids: Judge each map as it comes, coarse or fine.
        twin: Folder of the same network trained with another seed: the ceiling for the metric randomisation.
        level: Confidence of the intervals.
        seed: Decides everything random.
        out: Folder for judgement.json and scores.csv, which has one row for each picture, map and metric.
        size: Side of the pictures in pixels, for a model by name.
        classes: How many classes a model by name has.
        weights: A file of weights for a model by name.
        untrained: Leave a model by name with weights drawn at random.
        trust_code: Import and run code that the folder names and that is not part of foveate, timm or
            torchvision.
        json: Print JSON.
    """
    from foveate.cli import output
    from foveate.data.judged_pictures import judged_pictures
    from foveate.data.prepare_pictures import batch_of
    from foveate.explain.judging.judge import BASELINES, COARSEST
    from foveate.explain.judging.judge import judge as judge_maps
    from foveate.infer.find_model import find_model
    from foveate.infer.load import load
    from foveate.running import device_of
    from foveate.tasks.large_inputs import takes_large

    if not data:
        raise DataError("judge: got no pictures. Write: foveate judge MODEL scenes, or a folder of pictures.")
    found = find_model(
        model, size=size, classes=classes, weights=weights, untrained=untrained, trust_code=trust_code
    )
    if takes_large(found.model):
        raise OptionError(
            f"judge: {model} looks at parts of large pictures, and judging shows it whole ones at a small "
            "size. See where it looked with foveate look."
        )
    form = found.form
    pictures = judged_pictures(data, form, classes=found.classes, split=split, most=images, seed=seed)
    judgement = judge_maps(
        found.model,
        batch_of([*pictures.pixels], form, device_of(found.model)),
        method or ["grad_cam"],
        metric,
        pictures.where,
        labels=None if pictures.labels is None else pictures.labels.tolist(),
        baselines=BASELINES if baseline is None else tuple(baseline),
        grid=None if own_grids else (COARSEST if grid is None else grid),
        normalisation=(form.mean, form.std),
        twin=None if twin is None else load(twin, trust_code=trust_code),
        level=level,
        seed=seed,
    )
    if out is not None:
        _write(judgement, pictures, out)
    if json:
        output.machine({"model": model, "names": list(pictures.names), **judgement.as_plain()})
    else:
        print_judgement(judgement)
    for text in pictures.failed:
        print(text, file=sys.stderr)
    return UNREADABLE if pictures.failed else None


def print_judgement(judgement: Judgement) -> None:
    """Print the table, a sentence for each baseline that a reader asks about, and what to know."""
    from foveate.cli import output

    output.table(["map", *judgement], judgement.rows())
    told = judgement.sentences(judgement.told)
    if told:
        output.say("\n".join(told) + "\n")
    output.say("\n".join(judgement.notes()))


def _write(judgement: Judgement, pictures: JudgedPictures, out: Path) -> None:
    """Write all that was found, and a table of one row for each picture, map and metric."""
    import csv
    import io

    from foveate.files import write_bytes, write_json

    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "judgement.json", {"names": list(pictures.names), **judgement.as_plain()})
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow(["picture", "metric", "map", "score"])
    for metric, maps in judgement.scores.items():
        for name, scores in maps.items():
            table.writerows(
                [picture, metric, name, one] for picture, one in zip(pictures.names, scores, strict=True)
            )
    write_bytes(out / "scores.csv", text.getvalue().encode())
