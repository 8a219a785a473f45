"""``fv.judge``: whether maps tell the truth about a model, beside maps that know nothing of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from torch import Tensor, nn

from foveate.errors import DataError, OptionError
from foveate.explain.judging.baselines import Baseline, baselines
from foveate.explain.judging.grids import Grid, on_grid, resolution
from foveate.explain.judging.judgement import Judgement
from foveate.explain.judging.metric import Maps, Metric, metric_named
from foveate.explain.judging.read_maps import read_maps
from foveate.explain.judging.read_subject import Normalisation, read_subject, wrong_predictions
from foveate.explain.judging.score_table import ScoreTable
from foveate.explain.judging.subject import Subject
from foveate.options import between, whole

USUAL = ("deletion", "insertion")
USUAL_WITH_MASKS = (*USUAL, "pointing", "energy")
BASELINES = ("random", "smooth_random", "centre", "edges", "gradient", "mask")
COARSEST = "coarsest"


def judge(
    model: nn.Module,
    images: Tensor,
    maps: object,
    metrics: Sequence[str] | str | None = None,
    masks: object = None,
    target: object = None,
    *,
    labels: Tensor | Sequence[int] | None = None,
    baselines: Sequence[str] = BASELINES,
    grid: str | int | Grid | None = COARSEST,
    normalisation: Normalisation | None = None,
    twin: nn.Module | None = None,
    level: float = 0.95,
    seed: int = 0,
    batch: int | None = None,
) -> Judgement:
    """Judge maps of where a model looks: by the model's own answers, and by true masks if there are any.

    Args:
        model: Any model that ``fv.explain`` takes. It runs in evaluation mode and is left as it was.
        images: As the model takes them (B, C, H, W).
        maps: What is judged: maps (B, H, W) on the grid of the images, or (B, C, H, W) for each channel; the
            name of a method of ``fv.explain``; a function (model, images, target) -> maps; a list of names,
            or a mapping from names to any of these. Maps are taken as they are: signed, not normalised.
        metrics: Names, options allowed: ``"deletion(fill=blur)"``. By default deletion and insertion; with
            masks the pointing game and energy too.
        masks: Where the object is (B, H, W), bool, or 0 and 1. For boxes, see ``masks_of_boxes``.
        target: What the maps explain, as for ``fv.explain``; the predicted classes by default.
        labels: The true classes (B,); pictures with a wrong prediction are then left out, and counted.
        baselines: What is judged beside the maps; those made of masks only if there are any.
        grid: The resolution to which all maps are brought: "coarsest" for that of the coarsest map, a number
            of cells a side, (rows, columns), or None to take each map as it comes.
        normalisation: Mean and deviation by which images in [0, 1] were normalised: for ``fill=black``, and
            for the radius of ``sensitivity``.
        twin: The same network trained with another seed: the ceiling for ``randomisation``.
        level: Confidence of the intervals, in (0, 1); those of comparisons hold all at once for a metric.
        seed: Decides everything random.
        batch: The most pictures in one forward pass; by default what the caches of a processor hold, at
            least 16 and at most 512, and 128 elsewhere.

    Returns:
        Scores by metric, one per image, with intervals over images, and what each map is better than.

    Raises:
        ShapeError: Maps, masks or images do not fit each other.
        OptionError: An option is impossible, or a metric needs what is not there.
        UnknownNameError: There is no such metric, baseline or method.
        DataError: No picture can be judged.
    """
    batch = None if batch is None else whole("batch", batch)
    whole("seed", seed, 0)
    if not 0 < between("level", level, 0, 1) < 1:
        raise OptionError(f"level={level}: expected a number between 0 and 1, such as 0.95")
    subject = read_subject(
        model, images, masks, target, normalisation=normalisation, twin=twin, seed=seed, batch=batch
    )
    chosen = {text: metric_named(text) for text in _texts(metrics, subject)}
    beside = _baselines(baselines, subject)
    wrong = wrong_predictions(subject, labels)
    if wrong.all():
        raise DataError(f"judge: all {subject.count} predictions are wrong. No picture is left to be judged.")
    found = read_maps(maps, subject)
    for text, metric in chosen.items():
        _expect_needs(text, metric, subject, found)
    own = {one.name: resolution(one.values) for one in found}
    coarsest = (min(grid[0] for grid in own.values()), min(grid[1] for grid in own.values()))
    common = _common(grid, coarsest, subject.size)
    table = ScoreTable(subject, chosen, wrong, level)
    for one in found:
        table.add(one if common is None else _brought(one, common, own))
    beside = {name: one for name, one in beside.items() if name not in own}
    for name, baseline in beside.items():
        table.add_baseline(name, baseline, common, coarsest)
    return Judgement(
        maps=tuple(own),
        baselines=tuple(beside),
        metrics=chosen,
        scores=table.scores,
        comparisons=table.comparisons([*own], beside),
        grid=common,
        pictures=subject.count,
        skipped={"wrongly predicted": int(wrong.sum())} if wrong.any() else {},
    )


def _texts(metrics: Sequence[str] | str | None, subject: Subject) -> list[str]:
    if metrics is None:
        return [*(USUAL if subject.masks is None else USUAL_WITH_MASKS)]
    texts = [metrics] if isinstance(metrics, str) else [*metrics]
    if not texts:
        raise OptionError('metrics: got none, expected names such as ("deletion", "insertion")')
    return list(dict.fromkeys(texts))


def _expect_needs(text: str, metric: Metric, subject: Subject, found: Sequence[Maps]) -> None:
    if "masks" in metric.needs and subject.masks is None:
        raise OptionError(f"{text}: needs true masks, and none came. Pass masks=(B, H, W), or leave it out.")
    if "others" in metric.needs and len(found) < 2:
        raise OptionError(f"{text}: compares methods, and there is one. Pass maps of at least two.")
    fixed = [one.name for one in found if one.explain is None]
    if "method" in metric.needs and fixed:
        raise OptionError(
            f"{text}: makes maps again, and for {fixed[0]} only a tensor came. Pass the name of a method, or "
            "a function (model, images, target) -> maps."
        )


def _common(grid: object, coarsest: Grid, size: Grid) -> Grid | None:
    """Return the resolution to which all maps are brought."""
    if grid is None or grid == COARSEST:
        return None if grid is None else coarsest
    sides = (grid, grid) if isinstance(grid, int) else grid
    if not (isinstance(sides, tuple | list) and len(sides) == 2):
        raise OptionError(f'grid={grid!r}: expected "coarsest", a number of cells, (rows, columns) or None')
    rows, columns = (whole("grid", side, 1, most) for side, most in zip(sides, size, strict=True))
    return rows, columns


def _brought(maps: Maps, grid: Grid, own: Mapping[str, Grid]) -> Maps:
    """Return maps at a resolution, and with them those that their method makes later."""
    explain = maps.explain

    def again(model: nn.Module, images: Tensor, target: Any) -> Tensor:
        return on_grid(cast(Any, explain)(model, images, target), grid, own[maps.name])

    return replace(
        maps,
        values=on_grid(maps.values, grid, own[maps.name]),
        explain=None if explain is None else again,
        others={name: on_grid(other, grid, own[name]) for name, other in maps.others.items()},
    )


def _baselines(names: Sequence[str], subject: Subject) -> dict[str, Baseline]:
    found = {name: baselines[name] for name in names}
    return {name: one for name, one in found.items() if subject.masks is not None or not one.needs_masks}
