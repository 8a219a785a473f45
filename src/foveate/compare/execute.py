"""One unit of a study's work, given a folder and a key: any process on any machine can do it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Self

from torch import nn

from foveate.compare.assemble import assemble
from foveate.compare.best import Choice, save_best
from foveate.compare.build import build
from foveate.compare.judgement import Judgement, kept_runs, stacked
from foveate.compare.plan import StudyPlan
from foveate.compare.planned import LOOK, REPORT, Key
from foveate.compare.report.write import write_report
from foveate.compare.run import make_run
from foveate.compare.run_files import training_folder
from foveate.compare.store import Store
from foveate.compare.trainings import Feeds, Training, trainings
from foveate.data.checks.finding import Finding
from foveate.data.feed import Data
from foveate.errors import StudyError
from foveate.plugins import load_plugins
from foveate.tasks.base import Task, task_named, task_with
from foveate.tensor_file import WEIGHTS, load_tensors
from foveate.train.progress import Progress

_open: dict[Path, Opened] = {}  # studies of this process, so that data is opened once


@dataclass(frozen=True)
class Opened:
    """A study with its data.

    Args:
        plan: As the study began, but with the present location of the data.
        data: As it was opened.
        task: With what the loss takes from the training data.
        feeds: The splits that it is judged on; with folds, all items are in each of them.
        trainings: Those that every run consists of.
        findings: Of the check of the data; None if this process has not checked it.
        progress: Notified of every step.
    """

    plan: StudyPlan
    data: Data
    task: Task
    feeds: Feeds
    trainings: tuple[Training, ...]
    findings: Sequence[Finding] | None = None
    progress: Progress | None = None

    @classmethod
    def of(cls, plan: StudyPlan, data: Data, task: Task, findings: Sequence[Finding] | None = None) -> Self:
        """Return a study with its data ready for training.

        Raises:
            DataError: An item cannot be read, or the metric says nothing about the test items.
        """
        return cls(plan, data, task, *trainings(plan, data, task), findings)


def execute(folder: Path, key: Key) -> Mapping[str, Any]:
    """Execute one run of the study in ``folder``, take a look, or write the report, and return the record.

    Everything else is read from the folder: the plan, and by its origin the data, which is opened once per
    process.

    Raises:
        StudyError: The data has changed, or the run failed.
        DataError: The data cannot be opened again, as it came from a Python object.
    """
    study = opened(folder)
    if key[0] == LOOK:
        found = _judged(study, folder, key[1])
        if study.progress is not None:
            study.progress.note(found.told(key[1]))
        return {"going": found.going(key[1])}
    if key[0] == REPORT:
        records = Store(folder).records()
        findings = type(study.task).check(study.data) if study.findings is None else study.findings
        result = assemble(
            study.plan,
            study.task,
            study.feeds,
            records,
            _trained(study, folder),
            folder,
            findings,
            study.trainings[0],
        )
        save_best(study.plan, Choice(**result["best"]), folder, study.task.saved(study.data))
        return {"report": write_report(result, folder).name, "best": result["best"]}
    run = next(run for run in study.plan.runs if run.key == key)
    made = partial(build, study.plan, study.task, run, run.seed)
    return make_run(run, made, study.plan, study.task, study.trainings, folder, study.progress)


def _judged(study: Opened, folder: Path, seeds: int) -> Judgement:
    """Return what the first seeds say."""
    runs = kept_runs(study.plan, folder, Store(folder).records(), seeds)
    return Judgement(study.plan, study.task, study.feeds["test"], stacked(runs))


def _trained(study: Opened, folder: Path) -> dict[str, nn.Module]:
    """Return the trained model of every variant's first seed, and of that the first training."""
    plan, seed, fold = study.plan, study.plan.seeds[0], study.trainings[0].fold
    models = {v.name: build(plan, study.task, v, seed) for v in plan.variants}
    for name, model in models.items():
        model.load_state_dict(load_tensors(training_folder(folder, name, seed, fold) / WEIGHTS))
        model.eval()
    return models


def keep_open(folder: Path, study: Opened) -> None:
    """Let ``execute`` use data that this process has opened already."""
    _open[Path(folder).resolve()] = study


def close(folder: Path) -> None:
    """Forget the data of a study."""
    _open.pop(Path(folder).resolve(), None)


def opened(folder: Path) -> Opened:
    """Return the study in a folder, its data opened if this process has not done so.

    The plan is read each time, as another process may have continued the study.
    """
    home = Path(folder).resolve()
    if home not in _open:
        _open[home] = _reopened(home)
    study = _open[home]
    return replace(study, plan=replace(Store(home).plan(), origin=study.plan.origin))


def _reopened(folder: Path) -> Opened:
    plan = Store(folder).plan()
    load_plugins(plan.plugins)
    kind = task_named(plan.task)[0]
    data = kind.reopen(plan.origin)
    if data.fingerprint != plan.fingerprint:
        raise StudyError(f"{folder}: the data has changed since the study began. Restore the same data.")
    task = task_with(plan.task, plan.inputs, plan.train, plan.metric)
    return Opened.of(plan, data, task)
