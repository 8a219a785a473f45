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

from torch import nn

from foveate.cost.count import cost
from foveate.data.feed import Feed, plain
from foveate.errors import CheckpointError
from foveate.files import write_json
from foveate.infer.load import equip
from foveate.infer.saved import CONFIG
from foveate.models.given import Given
from foveate.models.given_names import name_of
from foveate.plugins import loaded_plugins
from foveate.recipe import TrainConfig
from foveate.tasks.base import Task
from foveate.tasks.build_model import build_model, start_of
from foveate.tasks.confusion_matrix import confusions, figures_by_class
from foveate.tasks.open_source import open_source
from foveate.tensor_file import SUM, WEIGHTS, read_tensors, tensor_sum
from foveate.train.budget import Budget
from foveate.train.evaluate import Evaluation, evaluate
from foveate.train.loop import fit
from foveate.train.prepare import Setting, settle
from foveate.train.progress import Progress, progress_for
from foveate.train.rehearse import times
from foveate.train.result import MARKER, FitResult
from foveate.train.training import Training, TrainingPlan

_log = logging.getLogger("foveate")
STUDY = "study.sqlite"  # whose folder is a study's


@dataclass(frozen=True)
class _Job:
    """Everything that is decided before the first step."""

    model: nn.Module
    setting: Setting
    feeds: Mapping[str, Feed]
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
    """Train one model on a set of images and save it. The same call resumes where it was stopped.

    One training does not show whether attention helps: seeds often differ more than variants do. For that
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
        progress: Notified of every step; bars or lines on standard error if None.
        dry_run: Return what would be done and what it costs, without training.

    Returns:
        A ``Training``; with ``dry_run`` a ``TrainingPlan``.

    Raises:
        CheckpointError: ``out`` holds another run: with other data, another model or another recipe.
        DataError, ShapeError: Data, model and task do not fit each other.
        SpecError, SiteError, OptionError, UnknownNameError: An argument is impossible.
    """
    opened = open_source(data, task)
    name = name_of(model)
    what = {"model": name, "spec": attention, "start": start_of(start), "seed": seed}
    setting = settle(
        opened,
        name,
        task=task,
        metric=metric,
        recipe=train,
        epochs=epochs,
        size=size,
        seed=seed,
        pretrained=pretrained,
        weights=weights,
    )
    for finding in type(setting.task).warnings(opened):
        _log.warning("%s: %s", opened.name, finding.message)
    job = _job(setting, what, {"pretrained": pretrained, "weights": weights}, metric, out)
    if dry_run:
        return _plan(job, what)
    _expect_own(job.folder)
    with ExitStack() as stack:
        if progress is None:
            progress = shown = progress_for()
            stack.enter_context(shown)
        result = fit(
            job.model,
            setting.task,
            job.feeds,
            setting.recipe,
            job.folder,
            progress=progress,
            name=attention or "plain",
            identity=job.identity,
        )
    return _finished(job, what, result)


def _job(
    setting: Setting,
    what: Mapping[str, Any],
    begin: Mapping[str, Any],
    metric: str | None,
    out: str | Path | None,
) -> _Job:
    """Build the model and open the feeds."""
    task = setting.task
    model = build_model(task, **{name: what[name] for name in ("model", "spec", "start", "seed")}, **begin)
    identity = {
        "data": setting.data.fingerprint,
        **plain(task.inputs),
        "network": what["model"],
        "attention": what["spec"],
        "start": what["start"],
        "pretrained": begin["pretrained"],
        **setting.sources,
        "metric": str(metric or task.metric.name),
    }
    folder = Path(out) if out is not None else Path("runs") / _name(what, setting, identity)
    return _Job(model, setting, setting.feeds(), identity, folder)


def _finished(job: _Job, what: Mapping[str, Any], result: FitResult) -> Training:
    """Judge the model on the test items, and leave ``config.json`` beside its weights, for ``fv.load``."""
    task, test = job.setting.task, job.feeds["test"]
    found = evaluate(result.model, task, test, batch_size=job.setting.recipe.batch_size)
    weights, header = read_tensors(job.folder / WEIGHTS)
    config = {
        **what,
        "pretrained": job.identity["pretrained"],
        "format": 1,
        "task": job.setting.kind,
        "plugins": list(loaded_plugins()),
        **task.saved(job.setting.data),
        "checksum": header.get(SUM) or tensor_sum(weights),  # another tool may have saved them again
    }
    write_json(job.folder / CONFIG, config)
    by_class, confused = _by_class(found, task, test)
    scale = task.metric.scale
    return Training(
        folder=job.folder,
        model=equip(result.model, type(task).of(task.saved(job.setting.data)), config),
        metric=task.metric,
        score=scale * found.score,
        chance=scale * task.chance(job.feeds),
        figures=task.figures(found.records),
        by_class=by_class,
        confusions=confused,
        items=task.items,
        facts=task.facts(),
        test_items=len(test),
        steps=result.steps,
        seconds=result.seconds,
        history=result.history,
    )


def _by_class(found: Evaluation, task: Task, test: Feed) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return how well each class is recognised, and what is confused, where each item has one class."""
    matrix = task.confusion(found.answers, test)
    if matrix is None:
        return [], []
    return figures_by_class(matrix, task.classes), confusions(matrix, task.classes)


def _plan(job: _Job, what: Mapping[str, Any]) -> TrainingPlan:
    task, recipe = job.setting.task, job.setting.recipe
    items = {name: len(feed) for name, feed in job.feeds.items()}
    price, budget = cost(job.model, task.example_for(job.model)), Budget.of(recipe, items["train"])
    step, item = times(job.model, task, job.feeds, recipe)
    evaluated = recipe.epochs * items.get("val", 0) + items["test"]
    return TrainingPlan(
        data={"name": job.setting.data.name, "items": items},
        facts=task.facts(),
        model=what["model"],
        attention=what["spec"],
        task=job.setting.kind,
        metric=task.metric.name,
        recipe=recipe,
        steps=budget.stop,
        parameters=price.parameters,
        macs=price.macs,
        seconds=budget.stop * step + evaluated * item,
        folder=job.folder,
    )


def _expect_own(folder: Path) -> None:
    """Make a folder, or raise if it holds something that must not be overwritten: a study, or another model.

    Raises:
        CheckpointError: It does, or the folder cannot be created or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise CheckpointError(f"{folder}: cannot be created ({reason}). Choose another folder.") from None
    if not os.access(folder, os.W_OK):
        raise CheckpointError(f"{folder}: cannot be written. Choose another folder.")
    if (folder / STUDY).exists():
        raise CheckpointError(f"{folder} holds a study. Choose another folder for this training.")
    if (folder / CONFIG).exists() and not (folder / MARKER).exists():
        raise CheckpointError(
            f"{folder} holds a model, but not the {MARKER} of the training that made it, so this "
            "cannot be recognised as the same training. Choose another folder, or delete this one to start "
            "over."
        )


def _name(what: Mapping[str, Any], setting: Setting, identity: Mapping[str, object]) -> str:
    recipe = asdict(replace(setting.recipe, max_steps=None))  # a later call resumes from there
    text = json.dumps([what, identity, recipe], sort_keys=True, default=str)
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return re.sub(r"[^\w.-]+", "_", f"{what['model']}-{setting.data.name}-{digest}", flags=re.ASCII)
