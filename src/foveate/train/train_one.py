"""``fv.train``: one model, with attention or without, trained and kept with all it takes to use it."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from foveate.compare.build import base_model, example, start_of
from foveate.compare.draft import times
from foveate.compare.materials import (
    Materials,
    expect_task,
    expect_validation,
    fitting_size,
    prepare,
    usual_task,
)
from foveate.compare.question import asked_recipe
from foveate.compare.store import FILE as STUDY
from foveate.cost.count import cost
from foveate.data.base import ImageData
from foveate.data.canvas import Canvas
from foveate.data.checks.check import opening_warnings
from foveate.data.open import open_data
from foveate.errors import CheckpointError
from foveate.files import write_json
from foveate.infer.load import description, equip
from foveate.infer.saved import CONFIG
from foveate.insert.surgery import insert
from foveate.models.given import Given
from foveate.models.given_names import name_of
from foveate.models.normalisation import Triple, model_normalisation
from foveate.models.source import sources
from foveate.recipe import TrainConfig, usual_recipe
from foveate.tasks.chance import chance_score
from foveate.tasks.confusion import confusion_matrix, confusions, told_by_class
from foveate.tensor_file import SUM, read_tensors, tensor_sum
from foveate.train.budget import Budget
from foveate.train.evaluate import Evaluation, evaluate
from foveate.train.loop import fit
from foveate.train.progress import Progress, progress_for
from foveate.train.result import MARKER, WEIGHTS, FitResult
from foveate.train.training import Training, TrainingPlan

_log = logging.getLogger("foveate")


@dataclass(frozen=True)
class _Job:
    """Everything that is decided before the first step."""

    model: nn.Module
    config: TrainConfig
    materials: Materials
    size: Canvas
    normalisation: tuple[Triple, Triple]
    identity: Mapping[str, object]
    folder: Path


def train(
    data: object = None,
    *,
    model: str | Given,
    attention: str | None = None,
    epochs: int | None = None,
    size: int | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    pretrained: bool = False,
    weights: str | Path | None = None,
    train: TrainConfig | None = None,
    start: str = "identity",
    task: str | None = None,
    metric: str | None = None,
    progress: Progress | None = None,
    dry_run: bool = False,
) -> Training | TrainingPlan:
    """Train one model on a set of images and keep it. The same call goes on where it was stopped.

    One training does not tell whether attention helps: seeds often differ more than variants do. For that
    there is ``fv.compare``.

    Args:
        data: A folder, a manifest, a dataset, or None for the built-in scenes; see ``open_data``.
        model: What ``create_model`` knows; or a function that takes ``classes`` and returns a module; or a
            module, whose copy is trained.
        attention: What is inserted and where, such as ``"se@blocks"``; None for the plain model.
        epochs: Passes over the training images; ``train.epochs`` if None.
        size: Side of the images in pixels, the short side of images with masks; what suits data and model if
            None.
        seed: Decides weights, order and augmentation.
        out: Where the model and its history go; a folder under ``runs/`` that belongs to this training if
            None.
        pretrained: Start from published weights.
        weights: Start from this file of weights.
        train: The recipe.
        start: How attention starts: ``identity`` leaves the first output as it was, ``paper`` as published.
        task: What is learnt; by default segmentation where images have masks, else classification.
        metric: What is judged by; the task's usual metric if None.
        progress: Is told of every step; bars or lines on standard error if None.
        dry_run: Return what would be done, and what it costs, and train nothing.

    Returns:
        A ``Training``; with ``dry_run`` a ``TrainingPlan``.

    Raises:
        CheckpointError: ``out`` holds another run: the data, the model or the recipe was another one.
        DataError, ShapeError: Data, model and task do not fit each other.
        SpecError, SiteError, OptionError, UnknownNameError: A word is impossible.
    """
    opened = open_data(data)
    for finding in opening_warnings(opened):
        _log.warning("%s: %s", opened.name, finding.message)
    recipe = train or usual_recipe(opened, tuned=pretrained or weights is not None)
    recipe = asked_recipe(recipe, epochs, size, seed)
    begin = {"pretrained": pretrained, "weights": weights}
    what = {"model": name_of(model), "spec": attention, "start": start_of(start), "seed": seed}
    job = _job(opened, what, begin, recipe, (task, metric), out)
    if dry_run:
        return _plan(job, what)
    _expect_own(job.folder)
    with ExitStack() as stack:
        if progress is None:
            progress = shown = progress_for()
            stack.enter_context(shown)
        result = _fitted(job, progress, attention or "plain")
    return _finished(job, what, result)


def _job(
    data: ImageData,
    what: Mapping[str, Any],
    begin: dict[str, Any],
    recipe: TrainConfig,
    asked: tuple[str | None, str | None],
    out: str | Path | None,
) -> _Job:
    """Decide everything, and tell what cannot be before anything is made."""
    task, metric = asked
    judge = expect_task(data, task)(data.classes, loss=recipe.loss, metric=metric)
    expect_validation(data, recipe)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(what["seed"])
        model = base_model(what["model"], len(data.classes), **begin)
        size = fitting_size(data, recipe.size, what["model"], model, judge, **begin)
        normalisation = model_normalisation(model)
        known = sources(what["model"], model, begin["weights"])
        if what["spec"]:
            model = insert(model, what["spec"], example=example(size), start=what["start"])
    identity = {
        "data": data.fingerprint,
        "classes": list(data.classes),
        "size": list(size),
        "network": what["model"],
        "attention": what["spec"],
        "start": what["start"],
        "pretrained": begin["pretrained"],
        **known,
        "normalisation": [list(triple) for triple in normalisation],
        "metric": str(metric or judge.metric.name),
    }
    materials = prepare(data, size, task or usual_task(data), recipe, metric)
    config = replace(recipe, size=None)
    folder = Path(out) if out is not None else Path("runs") / _name(what, data, identity, config)
    return _Job(model, config, materials, size, normalisation, identity, folder)


def _fitted(job: _Job, progress: Progress, name: str) -> FitResult:
    mean, std = job.normalisation
    return fit(
        job.model,
        job.materials.task,
        job.materials.splits,
        job.config,
        job.folder,
        progress=progress,
        mean=mean,
        std=std,
        name=name,
        identity=job.identity,
    )


def _finished(job: _Job, what: Mapping[str, Any], result: FitResult) -> Training:
    """Judge the model on the test images, and leave ``config.json`` beside its weights, for ``fv.load``."""
    (mean, std), judge, data = job.normalisation, job.materials.task, job.materials.data
    test = job.materials.splits["test"]
    found = evaluate(result.model, judge, test, batch_size=job.config.batch_size, mean=mean, std=std)
    weights, header = read_tensors(job.folder / WEIGHTS)
    config = {
        **what,
        "pretrained": job.identity["pretrained"],
        **description(judge.name, data, job.size, job.normalisation),
        "checksum": header.get(SUM) or tensor_sum(weights),  # another tool may have saved them again
    }
    write_json(job.folder / CONFIG, config)
    by_class, confused = _by_class(found, job)
    scale = judge.metric.scale
    return Training(
        folder=job.folder,
        model=equip(result.model, config),
        metric=judge.metric,
        score=scale * found.score,
        chance=scale * chance_score(judge, job.materials.splits, len(data.classes)),
        figures=judge.figures(found.records),
        by_class=by_class,
        confusions=confused,
        size=job.size,
        test_images=len(test),
        steps=result.steps,
        seconds=result.seconds,
        history=result.history,
    )


def _by_class(found: Evaluation, job: _Job) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return how well each class is told, and what is confused, where each image has one class."""
    classes, test = job.materials.data.classes, job.materials.splits["test"]
    if not job.materials.one_class_each:
        return [], []
    matrix = confusion_matrix(found.answers, test.targets, len(classes))
    return told_by_class(matrix, classes), confusions(matrix, classes)


def _plan(job: _Job, what: Mapping[str, Any]) -> TrainingPlan:
    items = {name: len(split) for name, split in job.materials.splits.items()}
    price, budget = cost(job.model, example(job.size)), Budget.of(job.config, items["train"])
    step, image = times(job.model, job.config, job.normalisation, job.materials)
    evaluated = job.config.epochs * items.get("val", 0) + items["test"]
    data = job.materials.data
    return TrainingPlan(
        data={"name": data.name, "items": items},
        classes=data.classes,
        model=what["model"],
        attention=what["spec"],
        size=job.size,
        task=job.materials.task.name,
        metric=job.materials.task.metric.name,
        recipe=job.config,
        steps=budget.stop,
        parameters=price.parameters,
        macs=price.macs,
        seconds=budget.stop * step + evaluated * image,
        folder=job.folder,
    )


def _expect_own(folder: Path) -> None:
    """Make a folder, or raise if what it holds would be spoilt: a study, or a model that came otherwise.

    Raises:
        CheckpointError: It would, or the folder cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise CheckpointError(f"{folder}: cannot be made ({reason}). Choose another folder.") from None
    if not os.access(folder, os.W_OK):
        raise CheckpointError(f"{folder}: cannot be written. Choose another folder.")
    if (folder / STUDY).exists():
        raise CheckpointError(f"{folder} holds a study. Choose another folder for this training.")
    if (folder / CONFIG).exists() and not (folder / MARKER).exists():
        raise CheckpointError(
            f"{folder} holds a model, but not the {MARKER} of the training that made it, so that nobody "
            "knows whether this is the same one. Choose another folder, or delete this one to train anew."
        )


def _name(
    what: Mapping[str, Any], data: ImageData, identity: Mapping[str, object], config: TrainConfig
) -> str:
    recipe = asdict(replace(config, max_steps=None))  # a later call goes on from there
    text = json.dumps([what, identity, recipe], sort_keys=True, default=str)
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return re.sub(r"[^\w.-]+", "_", f"{what['model']}-{data.name}-{digest}", flags=re.ASCII)
