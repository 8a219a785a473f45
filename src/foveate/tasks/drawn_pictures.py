"""Pictures that a trained generator draws: for a user's goals, and a sheet of all goals for a look.

Shapes  pictures uint8 (N, S, S, 3); noise (N, Z); conditions (N, K + P + T).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor, nn

from foveate.data.posed.posed_data import PoseColumn
from foveate.options import whole
from foveate.running import device_of, eval_no_grad
from foveate.sampling.goals import Goals, read_goals
from foveate.sampling.noise import draw_noise, on_the_way
from foveate.sampling.picture_sheet import as_pictures, sheet
from foveate.tasks.cards.pixel_attention import pixel_attention
from foveate.tasks.goal_inputs import Askable
from foveate.tasks.judged import Told

COLUMNS = 8  # pictures in a row of a sheet
_ROWS = 10  # classes on a sheet
_PLAIN_ROWS = 4  # rows of a sheet without classes
_ATTENDED = 4  # pictures whose attention is shown
_AT_ONCE = 64
_MOST = 100_000

Pictures = UInt8[np.ndarray, "n s s 3"]


def draw_for(
    model: nn.Module,
    asked: Askable,
    *,
    label: str | int | None = None,
    pose: Any = None,
    words: str | None = None,
    number: int = 16,
    seed: int = 0,
    truncation: float | None = None,
    interpolate: bool = False,
) -> tuple[Pictures, tuple[str, ...]]:
    """Return pictures for a goal, and what each was asked for; see ``Generation.predict``."""
    whole("number", number, 1, _MOST)
    goals = goals_for(asked, number, label=label, pose=pose, seed=seed, words=words)
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


def goals_for(asked: Askable, number: int, **wishes: Any) -> Goals:
    """Return what ``number`` pictures are asked for; see ``read_goals``."""
    return read_goals(asked.classes, asked.columns, number, sentences=asked.sentences, **wishes)


def overview(model: nn.Module, asked: Askable) -> Image.Image:
    """Return a sheet with poses from left to right, always of the same noise.

    There is a row for each class; without classes for each of a few captions of training, if there are any.
    """
    rows: list[dict[str, Any]] = [{"label": name} for name in asked.classes[:_ROWS]]
    if not rows and asked.sentences is not None:
        rows = [{"words": text} for text in asked.sentences.examples[:_ROWS]]
    rows = rows or [{}] * _PLAIN_ROWS
    goals = [goals_for(asked, COLUMNS, pose=_sweep(asked.columns), **row) for row in rows]
    noise = draw_noise(COLUMNS * len(rows), cast(int, model.noise), seed=0)
    return sheet(drawn(model, noise, np.concatenate([goal.conditions for goal in goals])), COLUMNS)


def attended(model: nn.Module, asked: Askable) -> Image.Image | None:
    """Return where pixels of a few drawn pictures looked; None for a generator without attention."""
    goals = torch.from_numpy(goals_for(asked, _ATTENDED).conditions).to(device_of(model))
    noise = draw_noise(_ATTENDED, cast(int, model.noise), seed=0).to(device_of(model))
    return pixel_attention(model, noise, condition_or_none(goals))


def written(pictures: Pictures, names: Sequence[str], folder: Path) -> Iterator[Told]:
    """Write each picture as a PNG, and at last the sheet of all of them; yield what was written."""
    folder.mkdir(parents=True, exist_ok=True)
    for place, (picture, name) in enumerate(zip(pictures, names, strict=True)):
        path = folder / f"{place:04d}.png"
        Image.fromarray(picture).save(path)
        yield Told(str(path), (f"  {name}",) if name else (), {"file": str(path), "goal": name})
    path = folder / "sheet.png"
    sheet(pictures, min(len(pictures), COLUMNS)).save(path)
    yield Told(str(path), (), {"file": str(path), "goal": "all of them"})


def condition_or_none(conditions: Tensor) -> Tensor | None:
    """Return conditions, or None where nothing can be asked for."""
    return conditions if conditions.shape[1] else None


def _sweep(columns: Sequence[PoseColumn]) -> str | None:
    """Return poses from one end of the range to the other."""
    if not columns:
        return None
    ends = (",".join(str(getattr(column, end)) for column in columns) for end in ("low", "high"))
    return ":".join(ends)
