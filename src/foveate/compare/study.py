"""``fv.compare``: a study from the question to the report, which resumes where it was stopped."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from foveate.compare.engine import expect_engine, run_engine
from foveate.compare.execute import Opened, close, keep_open
from foveate.compare.finished_study import Study
from foveate.compare.forecast import foreseen
from foveate.compare.left import with_what_is_left
from foveate.compare.plan import StudyPlan
from foveate.compare.planned import REPORT
from foveate.compare.planning import outline, with_controls, with_costs, with_times
from foveate.compare.question import Question
from foveate.compare.report.result import read_result
from foveate.compare.report.write import is_written
from foveate.compare.run import is_record
from foveate.compare.run_files import is_complete
from foveate.compare.schedule import with_looks, with_times_of, within_budget
from foveate.compare.store import Store, disk_errors
from foveate.compare.trainings import counted
from foveate.data.checks.finding import Finding
from foveate.errors import DataError, StudyError, first_few
from foveate.infer.load import is_sound
from foveate.infer.saved import FOLDER
from foveate.models.given import PREFIX, Given
from foveate.models.given_names import name_of
from foveate.options import checked
from foveate.recipe import TrainConfig
from foveate.tasks.open_source import open_source
from foveate.train.progress import Progress, progress_for
from foveate.train.seed import warn_of_threads

_log = logging.getLogger("foveate")


def compare(
    data: object = None,
    *,
    model: str | Given = "resnet8",
    variants: Sequence[str] | Mapping[str, str] = (),
    seeds: int | str | Sequence[int] | None = None,
    epochs: int | None = None,
    mode: str = "scratch",
    out: str | Path | None = None,
    control: str = "largest",
    margin: float | None = None,
    level: float = 0.95,
    size: int | None = None,
    pretrained: bool = False,
    weights: str | Path | None = None,
    train: TrainConfig | None = None,
    start: str = "identity",
    branch_epochs: int | None = None,
    branch_lr: float | None = None,
    race: bool = False,
    budget: str | float | None = None,
    folds: int | None = None,
    task: str | None = None,
    metric: str | None = None,
    engine: str = "local",
    progress: Progress | None = None,
    command: str | None = None,
    dry_run: bool = False,
) -> Study | StudyPlan:
    """Find out which attention, where, is worth it on this data, and how certain that is.

    The same call resumes an interrupted study; several processes may call it at once and share the
    work.

    Args:
        data: A folder, a manifest, a dataset, or None for the built-in scenes; see ``open_data``.
        model: What ``create_model`` knows; or a function that takes ``classes`` and returns a module; or a
            module, of which every run gets a copy with the weights that it has.
        variants: Specs such as ``"se@blocks"``, which insert, and models such as
            ``"unet(encoder=resnet34)"``, which are compared with ``model``; or a mapping from names to these.
        seeds: From how many to how many runs of each, such as ``"3..8"``, the usual: a variant stops at its
            first verdict, judged after 3, 5, 8, 12 and 20 seeds as far as asked; ``"3..8 from 100"`` begins
            with seed 100. Or a fixed number, or the seeds themselves, also as
            ``"0,3,8"``; under three there is no verdict. A
            larger number continues a finished study.
        epochs: Passes over the training items; ``train.epochs`` if None.
        mode: ``scratch``; ``pretrained``: all start from published weights, or from ``weights``;
            ``branch``: the baseline is trained once per seed, then all continue for ``branch_epochs``.
        out: The study's folder; one under ``runs/`` that belongs to this plan if None.
        control: Which variants get a control of equal cost without attention: largest, each or none.
        margin: The least difference worth having, in the metric's unit; what is usual for it if None, half a
            point of accuracy.
        level: Confidence of all intervals together, in (0, 1).
        size: Side of the images in pixels, the short side of images with masks; what suits data and model if
            None.
        pretrained: Start from published weights.
        weights: Start from this file of weights.
        train: The recipe of every run.
        start: How attention starts: ``identity`` or ``paper``.
        branch_epochs: Length of the branches; half of ``epochs`` if None.
        branch_lr: Learning rate of the branches; a third of the trunk's if None.
        race: For many variants: judge after every seed, and drop those that look no better than the margin.
        budget: A time for all runs, such as ``"2h"``, or in seconds: looks that do not fit are left out.
        folds: Make every run a cross-validation of so many trainings: training and test items are dealt out
            into folds, and each training is tested on the fold that it has not seen; a split ``val`` stays
            out. None: one training, judged on the data's own test items.
        task: What is learnt, such as ``diagnosis``; what the data is usually for if None.
        metric: What is judged by, such as ``dice``; the task's usual metric if None.
        engine: Where the runs are executed: ``local``, in this process; or ``processes(count=4)``.
        progress: Notified of every step; bars or lines on standard error if None.
        command: How to repeat the study, for its report; this call if None.
        dry_run: Return the plan, with costs and times, and what of it is done in ``out``, without running it.

    Returns:
        A ``Study``; with ``dry_run`` a ``StudyPlan``.

    Raises:
        DataError: The data cannot be used; every reason is listed.
        StudyError: The study cannot be planned, or ``out`` holds another one.
        SpecError, SiteError, OptionError, UnknownNameError: A variant or the model cannot be built.
    """
    words: dict[str, Any] = {
        "model": name_of(model),
        "variants": variants,
        "seeds": seeds,
        "epochs": epochs,
        "mode": mode,
        "control": control,
        "margin": margin,
        "level": level,
        "size": size,
        "pretrained": pretrained,
        "weights": weights,
        "train": train,
        "start": start,
        "branch_epochs": branch_epochs,
        "branch_lr": branch_lr,
        "race": race,
        "budget": budget,
        "folds": folds,
        "task": task,
        "metric": metric,
    }
    question = Question(**checked("compare", compare, words))
    expect_engine(engine)
    opened = open_source(data, task)
    said = data if isinstance(data, str | Path) else None
    plan, made = outline(opened, question, command or question.call(said))
    _expect_portable(plan, engine)
    findings = type(made).check(opened)
    _expect_usable(opened.name, findings)
    plan = with_looks(with_controls(with_costs(plan, made), made), question)
    study = Opened.of(plan, opened, made, findings)
    plan = counted(plan, study.feeds, study.trainings)
    study = replace(study, plan=plan)

    folder = Path(out) if out is not None else Path("runs") / _name(plan)

    def timed(stored: StudyPlan | None = None) -> StudyPlan:
        known = {} if stored is None else {v.name: v for v in stored.variants}
        whole = with_times(plan, made, study.trainings[0].feeds()) if {*plan.compared} - {*known} else plan
        found = within_budget(with_times_of(whole, known), question.seconds)
        return replace(found, foreseen=foreseen(found, made.metric, folder.parent))

    if dry_run:
        found, begun = Store.ahead(folder, plan, timed)
        if begun:
            found = with_what_is_left(replace(study, plan=found), folder)
            found = replace(found, foreseen=foreseen(found, made.metric, folder.parent))
        return replace(found, warnings=tuple(f.message for f in findings if f.severity == "warning"))
    return _Session(study, folder, timed).make(engine, progress)


class _Session:
    """One process's part in a study.

    Args:
        study: With its plan priced, not timed.
        folder: The study's folder.
        timed: Returns the plan with its times; of what a stored plan has, with those.
    """

    def __init__(self, study: Opened, folder: Path, timed: Callable[[StudyPlan | None], StudyPlan]) -> None:
        plan = study.plan
        self.folder = folder
        self.store = Store.open(folder, plan, timed=timed)
        # Times and wording are those of the first call; the location of the data is that of this one.
        self.plan = replace(self.store.plan(), origin=plan.origin)
        self.study = replace(study, plan=self.plan)
        if self.store.unfinished():
            warn_of_threads(self.plan.threads, f"the study in {folder}")

    def make(self, engine: str, progress: Progress | None) -> Study:
        """Execute the remaining runs, and return the finished study."""
        with disk_errors(self.folder), ExitStack() as stack:
            self._reopen()
            runs = max(1, self._most_runs())
            if progress is None:
                progress = shown = progress_for(runs=runs)
                stack.enter_context(shown)
            keep_open(self.folder, replace(self.study, progress=progress))
            stack.callback(close, self.folder)
            run_engine(engine, self.folder)
        variants = self.plan.variants
        typed = frozenset((self.plan.model, *(v.spec for v in variants), *(v.model for v in variants)))
        return Study(self.folder, read_result(self.folder), typed)

    def _most_runs(self) -> int:
        """Return how many trainings there may be to make."""
        done = self.store.records()
        left = [run for run in self.plan.runs if run.key not in done] if self.store.unfinished() else []
        return len(left) * len(self.study.trainings)

    def _reopen(self) -> None:
        """Repeat runs whose files or records were deleted or damaged, and the report likewise."""
        for key in self.store.repair():
            _log.warning("%s: the state of %s, seed %d was damaged; the run is repeated", self.folder, *key)
        done = self.store.records()
        for run in self.plan.runs:
            if run.key in done and not (is_complete(self.folder, run) and is_record(run, done[run.key])):
                _log.warning(
                    "%s: the files of %s, seed %d are gone or damaged; the run is repeated",
                    self.folder,
                    *run.key,
                )
                self.store.reopen(run.key)
        if (REPORT, 0) in done and not (is_written(self.folder) and is_sound(self.folder / FOLDER)):
            self.store.reopen((REPORT, 0))


def _expect_portable(plan: StudyPlan, engine: str) -> None:
    """Raise if other processes are to execute the runs and cannot get the data or the model.

    Raises:
        StudyError: Either is a Python object of this process.
    """
    if engine.partition("(")[0].strip() == "local":
        return
    data = "data" if plan.origin.get("source") is None else None
    found = data or ("model" if plan.model.startswith(f"{PREFIX}/") else None)
    if found is not None:
        raise StudyError(
            f'engine="{engine}": other processes cannot get the {found}, which is a Python object of this '
            "one. Give a path or an import path (package.module:function), or leave engine out."
        )


def _expect_usable(name: str, findings: Sequence[Finding]) -> None:
    errors = [finding for finding in findings if finding.severity == "error"]
    if errors:
        lines = [f"{f.message} {first_few(f.items)}".rstrip() for f in errors]
        raise DataError(f"{name} cannot be used yet:\n  " + "\n  ".join(lines))


def _name(plan: StudyPlan) -> str:
    return re.sub(r"[^\w.-]+", "_", f"{plan.model}-{plan.data}-{plan.digest()}", flags=re.ASCII)
