"""Pictures that a trained generator draws: for a user's goals, and a sheet of all goals for a look.

Shapes  pictures uint8 (N, S, S, 3); noise (N, Z); conditions (N, K + P).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor, nn

from foveate.data.posed.posed_data import PoseColumn
from foveate.options import whole
from foveate.running import device_of, eval_no_grad
from foveate.sampling.goals import read_goals
from foveate.sampling.noise import draw_noise, on_the_way
from foveate.sampling.picture_sheet import as_pictures, sheet

COLUMNS = 8  # pictures in a row of a sheet
_ROWS = 10  # classes on a sheet
_PLAIN_ROWS = 4  # rows of a sheet without classes
_AT_ONCE = 64
_MOST = 100_000

Pictures = UInt8[np.ndarray, "n s s 3"]


def draw_for(
    model: nn.Module,
    classes: Sequence[str],
    columns: Sequence[PoseColumn],
    *,
    label: str | int | None = None,
    pose: Any = None,
    number: int = 16,
    seed: int = 0,
    truncation: float | None = None,
    interpolate: bool = False,
) -> tuple[Pictures, tuple[str, ...]]:
    """Return pictures for a goal, and what each was asked for; see ``Generation.predict``."""
    whole("number", number, 1, _MOST)
    goals = read_goals(classes, columns, number, label=label, pose=pose, seed=seed)
    width = cast(int, model.noise)
    noise = draw_noise(2 if interpolate else number, width, seed=seed, truncation=truncation)
    if interpolate:
        noise = on_the_way(noise[0], noise[1], number)
    elif goals.moves:  # the same noise for all, so that nothing but the goal changes
        noise = noise[:1].repeat(number, 1)
    return drawn(model, noise, goals.conditions), goals.names


def drawn(model: nn.Module, noise: Tensor, conditions: np.ndarray) -> Pictures:
    """Return what a model draws, a few pictures at a time."""
    device, found = device_of(model), []
    asked = torch.from_numpy(conditions).split(_AT_ONCE)
    with eval_no_grad(model):
        for some, goals in zip(noise.split(_AT_ONCE), asked, strict=True):
            found.append(as_pictures(model(some.to(device), condition_or_none(goals.to(device)))))
    return np.concatenate(found)


def overview(model: nn.Module, classes: Sequence[str], columns: Sequence[PoseColumn]) -> Image.Image:
    """Return a sheet with a row for each class and poses from left to right, always of the same noise."""
    names: Sequence[str | None] = classes[:_ROWS] or [None] * _PLAIN_ROWS
    goals = [read_goals(classes, columns, COLUMNS, label=name, pose=_sweep(columns)) for name in names]
    noise = draw_noise(COLUMNS * len(names), cast(int, model.noise), seed=0)
    return sheet(drawn(model, noise, np.concatenate([goal.conditions for goal in goals])), COLUMNS)


def condition_or_none(conditions: Tensor) -> Tensor | None:
    """Return conditions, or None where nothing can be asked for."""
    return conditions if conditions.shape[1] else None


def _sweep(columns: Sequence[PoseColumn]) -> str | None:
    """Return poses from one end of the range to the other."""
    if not columns:
        return None
    ends = (",".join(str(getattr(column, end)) for column in columns) for end in ("low", "high"))
    return ":".join(ends)
