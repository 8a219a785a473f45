"""``fv.compare``: a study from the question to the report, which goes on where it was stopped."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from foveate.compare.assemble import assemble
from foveate.compare.draft import with_controls, with_costs, with_times
from foveate.compare.engine import Engine, engines
from foveate.compare.materials import Materials, prepare
from foveate.compare.plan import REPORT, Key, StudyPlan
from foveate.compare.question import call, expect_specs, outline
from foveate.compare.report import is_written, read_result, repr_html, write_report
from foveate.compare.run import execute, is_record, left
from foveate.compare.store import Store, told
from foveate.compare.table import Table, table
from foveate.data.checks.check import check
from foveate.data.checks.finding import Finding
from foveate.data.open import open_data
from foveate.errors import DataError
from foveate.infer.load import FOLDER, is_sound, load, load_trusting
from foveate.models.given import Given
from foveate.models.given_names import name_of
from foveate.options import checked
from foveate.recipe import TrainConfig
from foveate.train.progress import Progress, progress_for
from foveate.train.seed import warn_of_threads

__all__ = ["Study", "compare", "load"]
_log = logging.getLogger("foveate")
SHOWN = 5  # files named for each problem in an error


@dataclass(frozen=True)
class Study:
    """A finished study.

    Args:
        folder: Where its files are; ``report.html`` is the one to open.
        result: Everything as plain data, as in ``study.json``.
        typed: Model and specs as the user wrote them on the call that made the study; ``best`` runs their
            code.
    """

    folder: Path
    result: Mapping[str, Any]
    typed: frozenset[str | None] = frozenset()

    @property
    def table(self) -> Table:
        """One row a variant: score, difference with interval, cost, verdict."""
        return table(self.result)

    @property
    def verdicts(self) -> dict[str, str]:
        """The verdict on each variant and control, by name."""
        return {v["name"]: v["verdict"] for v in self.result["variants"] if v["role"] != "baseline"}

    @property
    def sentence(self) -> str:
        """The answer in a sentence."""
        return str(self.result["sentence"])

    def best(self) -> nn.Module:
        """Return the model that the study recommends, trained; see ``load``."""
        return load_trusting(self.folder, lambda saved: {saved.model, saved.spec} <= self.typed)

    def __str__(self) -> str:
        """Return the answer, the table and where the report is."""
        return f"{self.sentence}\n\n{self.table}\n\n{self.folder / 'report.html'}"

    def __repr__(self) -> str:
        return f"Study({str(self.folder)!r}: {self.sentence})"

    def _repr_html_(self) -> str:
        return repr_html(self.result)


def compare(
    data: object = None,
    *,
    model: str | Given = "resnet8",
    variants: Sequence[str] | Mapping[str, str] = (),
    seeds: int | Sequence[int] = 3,
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
    task: str | None = None,
    metric: str | None = None,
    engine: str = "local",
    progress: Progress | None = None,
    command: str | None = None,
    dry_run: bool = False,
) -> Study | StudyPlan:
    """Find out which attention, where, is worth it on this data, and how sure one can be.

    The same call goes on with a study that was interrupted; several processes may make it at once and share
    the work.

    Args:
        data: A folder, a manifest, a dataset, or None for the built-in scenes; see ``open_data``.
        model: What ``create_model`` knows; or a function that takes ``classes`` and returns a module; or a
            module, of which every run gets a copy with the weights that it has.
        variants: Specs such as ``"se@blocks"``, or a mapping from names to specs.
        seeds: How many runs of each, or their seeds. Under three there is no verdict.
        epochs: Passes over the training images; ``train.epochs`` if None.
        mode: ``scratch``; ``pretrained``: all start from published weights, or from ``weights``;
            ``branch``: the baseline is trained once a seed, then all go on from there for ``branch_epochs``.
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
        task: What is learnt: classification where images have labels, segmentation where they have masks,
            if None; or diagnosis.
        metric: What is judged by, such as ``dice`` in segmentation; the task's usual metric if None.
        engine: Where the runs are made.
        progress: Is told of every step; bars or lines on standard error if None.
        command: How to repeat the study, for its report; this call if None.
        dry_run: Return the plan, with costs and times, and make no run.

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
        "task": task,
        "metric": metric,
    }
    expect_specs(variants)
    words = checked("compare", compare, words)
    make = engines[engine]
    opened = open_data(data)
    said = data if isinstance(data, str | Path) else None
    plan = outline(opened, **words, command=command or call({"data": said, **words}))
    findings = check(opened)
    _expect_usable(opened.name, findings)
    plan = with_controls(with_costs(plan))
    materials = prepare(opened, plan.size, plan.task, plan.train, metric)
    if dry_run:
        return with_times(plan, materials)
    folder = Path(out) if out is not None else Path("runs") / _name(plan)
    return _Session(plan, materials, folder, findings).make(make, progress)


class _Session:
    """One process's part in a study.

    Args:
        plan: Priced, not timed.
        materials: Data and task.
        folder: The study's folder.
        findings: What the check of the data found.
    """

    def __init__(
        self, plan: StudyPlan, materials: Materials, folder: Path, findings: Sequence[Finding]
    ) -> None:
        self.materials, self.folder, self.findings = materials, folder, findings
        self.store = Store.open(folder, plan, timed=lambda: with_times(plan, materials))
        # Times and wording are those of the first sitting; where the data lies now is what counts.
        self.plan = replace(self.store.plan(), origin=plan.origin)
        if self.store.unfinished():
            warn_of_threads(self.plan.threads, f"the study in {folder}")
        self.progress: Progress | None = None

    def make(self, engine: Engine, progress: Progress | None) -> Study:
        """Make what is left to make, and return the finished study."""
        with told(self.folder), ExitStack() as stack:
            self._reopen()
            runs = max(1, self.store.unfinished() - 1)  # the report is no run
            if progress is None:
                progress = shown = progress_for(runs=runs)
                stack.enter_context(shown)
            self.progress = progress
            engine(self.store, self._work)
        typed = frozenset((self.plan.model, *(variant.spec for variant in self.plan.variants)))
        return Study(self.folder, read_result(self.folder), typed)

    def _work(self, key: Key) -> Mapping[str, Any]:
        if key[0] == REPORT:
            return self._report()
        run = next(run for run in self.plan.runs if run.key == key)
        return execute(run, self.plan, self.materials, self.folder, self.progress)

    def _report(self) -> Mapping[str, Any]:
        result = assemble(self.plan, self.materials, self.store.records(), self.folder, self.findings)
        return {"report": write_report(result, self.folder).name, "best": result["best"]}

    def _reopen(self) -> None:
        """Make runs again whose files or records somebody has deleted or damaged, and the report likewise."""
        for key in self.store.repair():
            _log.warning("%s: the state of %s, seed %d was damaged; it is made again", self.folder, *key)
        done = self.store.records()
        for run in self.plan.runs:
            if run.key in done and not (left(self.folder, run) and is_record(run, done[run.key])):
                _log.warning(
                    "%s: what %s, seed %d left is gone or damaged; it is made again", self.folder, *run.key
                )
                self.store.reopen(run.key)
        if (REPORT, 0) in done and not (is_written(self.folder) and is_sound(self.folder / FOLDER)):
            self.store.reopen((REPORT, 0))


def _expect_usable(name: str, findings: Sequence[Finding]) -> None:
    errors = [finding for finding in findings if finding.severity == "error"]
    if errors:
        lines = [
            f"{f.message} {', '.join(f.items[:SHOWN])}{', …' * (len(f.items) > SHOWN)}".rstrip()
            for f in errors
        ]
        raise DataError(f"{name} cannot be used yet:\n  " + "\n  ".join(lines))


def _name(plan: StudyPlan) -> str:
    return re.sub(r"[^\w.-]+", "_", f"{plan.model}-{plan.data}-{plan.digest()}", flags=re.ASCII)
