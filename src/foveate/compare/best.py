"""The model that a study recommends, kept with all it takes to use it, and loading it again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MethodType
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

from foveate.compare.build import rebuild
from foveate.compare.plan import BASELINE, Key, StudyPlan
from foveate.compare.run import run_folder
from foveate.compare.verdict import HELPS
from foveate.data.decode import read_square, square, upright_rgb
from foveate.errors import CheckpointError, ShapeError
from foveate.tasks.base import tasks
from foveate.train.result import WEIGHTS

FOLDER = "best"
CONFIG = "config.json"
_BATCH = 64


@dataclass(frozen=True)
class Choice:
    """Which run is kept, and why."""

    variant: str
    seed: int
    reason: str


def choose(
    plan: StudyPlan,
    verdicts: Mapping[str, str],
    gains: Mapping[str, float],
    records: Mapping[Key, Mapping[str, Any]],
) -> Choice:
    """Return the variant that helps most if one is shown to help, else the baseline; and its best seed.

    The best seed has the highest validation score at the end. Without validation images it is the seed of the
    median test score: picking the best test score would flatter it.

    Args:
        plan: The study's.
        verdicts: Verdict of each variant; controls left out.
        gains: Mean gain of each, more being better.
        records: The record of every run.
    """
    helping = sorted((n for n, verdict in verdicts.items() if verdict in HELPS), key=lambda n: -gains[n])
    variant = helping[0] if helping else BASELINE
    why = "it helps most" if helping else "no variant is shown to help, so it is the baseline"
    runs = {seed: records[variant, seed] for seed in plan.seeds}
    validated = {seed: _validated(record) for seed, record in runs.items()}
    if all(value is not None for value in validated.values()):
        seed = max(validated, key=lambda s: validated[s] or 0.0)
        return Choice(variant, seed, f"{why}; of its seeds, {seed} has the best validation score")
    ranked = sorted(runs, key=lambda s: runs[s]["score"])
    seed = ranked[(len(ranked) - 1) // 2]
    return Choice(variant, seed, f"{why}; of its seeds, {seed} has the median test score")


def save_best(plan: StudyPlan, choice: Choice, folder: Path) -> Path:
    """Copy the chosen run's weights to ``best/`` and write beside them what the model is."""
    target = Path(folder) / FOLDER
    target.mkdir(parents=True, exist_ok=True)
    (target / CONFIG).unlink(missing_ok=True)  # written last: where it is, the weights belong to it
    part = target / f"{WEIGHTS}.part"
    shutil.copyfile(run_folder(folder, choice.variant, choice.seed) / WEIGHTS, part)
    part.replace(target / WEIGHTS)
    part = target / f"{CONFIG}.part"
    part.write_text(json.dumps(_config(plan, choice), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    part.replace(target / CONFIG)
    return target


def load(path: str | Path) -> nn.Module:
    """Return a trained model from a study's folder, or from a folder with its weights and ``config.json``.

    The model is in evaluation mode. It has ``.classes`` (names in the order of its outputs), ``.config`` (all
    that is known about it) and ``.predict(images)``, which takes paths, pictures or arrays (H, W, 3) uint8,
    brings them to the model's size and normalisation, and returns probabilities (N, classes).

    Raises:
        CheckpointError: There is no such model, or its weights do not fit.
    """
    home = Path(path)
    if (home / FOLDER / CONFIG).is_file():
        home = home / FOLDER
    try:
        config = json.loads((home / CONFIG).read_text(encoding="utf-8"))
        state = load_file(home / WEIGHTS)
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{path}: no model is there ({Path(str(error.filename or home)).name} is missing). "
            f"Give the folder of a finished study, or one with {WEIGHTS} and {CONFIG}."
        ) from None
    except Exception as error:
        raise CheckpointError(f"{home}: the model cannot be read ({error}). Run the study again.") from error
    model = rebuild(config)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise CheckpointError(
            f"{home}: the weights do not fit the model that {CONFIG} names. {error}"
        ) from None
    return equip(model.eval(), config)


def equip(model: nn.Module, config: Mapping[str, Any]) -> nn.Module:
    """Give a model its class names and a way to be asked."""
    for name, value in (
        ("classes", tuple(config["classes"])),
        ("config", dict(config)),
        ("predict", MethodType(predict, model)),
    ):
        model.__dict__[name] = value
    return model


def predict(model: nn.Module, images: object) -> Tensor:
    """Return probabilities (N, classes) for pictures.

    Args:
        model: What ``load`` returned.
        images: A path, a picture, an array (H, W, 3) or (N, H, W, 3) uint8, or a sequence of such.

    Raises:
        ShapeError: Something else came.
        DataError: A file cannot be read.
    """
    config: Mapping[str, Any] = model.__dict__["config"]
    size = int(config["size"])
    pixels = [_pixels(image, size) for image in _each(images)]
    mean, std = (torch.tensor(config["normalisation"][key]).view(1, 3, 1, 1) for key in ("mean", "std"))
    task = tasks[config["task"]]
    found = [torch.zeros(0, len(config["classes"]))]
    training = model.training
    model.eval()
    with torch.no_grad():
        for first in range(0, len(pixels), _BATCH):
            stack = torch.from_numpy(np.stack(pixels[first : first + _BATCH])).permute(0, 3, 1, 2)
            outputs = model((stack.float() / 255 - mean) / std)
            found.append(task.predict(outputs))
    model.train(training)
    return torch.cat(found)


def _each(images: object) -> Sequence[object]:
    if isinstance(images, np.ndarray) and images.ndim == 4:
        return list(images)
    return list(images) if isinstance(images, list | tuple) else [images]


def _pixels(image: object, size: int) -> np.ndarray:
    """Return one picture as uint8 (size, size, 3), cut like the images that the model was trained on."""
    if isinstance(image, str | Path):
        return read_square(Path(image), size)
    if isinstance(image, Image.Image):
        return square(upright_rgb(image), size)
    if isinstance(image, np.ndarray) and image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8:
        return square(image, size)
    what = f"an array {image.shape} {image.dtype}" if isinstance(image, np.ndarray) else type(image).__name__
    raise ShapeError(f"predict: got {what}, expected a path, a PIL picture or uint8 (H, W, 3)")


def _validated(record: Mapping[str, Any]) -> float | None:
    history = record["history"]
    value: float | None = history[-1]["val_score"] if history else None
    return value


def _config(plan: StudyPlan, choice: Choice) -> dict[str, Any]:
    mean, std = plan.normalisation
    return {
        "format": 1,
        "model": plan.model,
        "task": plan.task,
        "classes": list(plan.classes),
        "variant": choice.variant,
        "spec": plan.variant(choice.variant).spec,
        "start": plan.start,
        "seed": choice.seed,
        "chosen": choice.reason,
        "size": plan.size,
        "example": [1, 3, plan.size, plan.size],
        "normalisation": {"mean": list(mean), "std": list(std)},
    }
