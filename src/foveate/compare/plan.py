"""The plan of a study: every run that there may be, with its cost and time, and when verdicts are due."""

from __future__ import annotations

import hashlib
import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from foveate.compare.data_warnings import data_warnings
from foveate.compare.planned import (
    BASELINE,
    TRUNK,
    Folding,
    Key,
    Mode,
    PlannedRun,
    PlannedVariant,
    Stage,
)
from foveate.compare.statistics.spending import Look, for_continuation, spend
from foveate.data.feed import plain
from foveate.errors import StudyError, nearest
from foveate.quantities import duration, short
from foveate.recipe import TrainConfig
from foveate.tasks.base import Inputs, task_named, task_with
from foveate.train.budget import Budget

_CHANGED = {  # what is known by a hash alone
    "sources.weights": "weights: the file at this path has changed",
    "sources.code": "model: its code has changed",
    "fingerprint": "data: its images, labels or splits have changed",
}
BRANCH_SEED = 100_003  # a branch sees an order and augmentations that its trunk has not seen


@dataclass(frozen=True)
class StudyPlan:
    """Everything that decides the outcome of a study, and what it will cost.

    Args:
        mode: From scratch, from a pretrained model, or branching off a trained baseline.
        model: The model's name.
        pretrained: Whether it starts from published weights.
        weights: A file of weights to start from, or None.
        data: What the data is called.
        fingerprint: Hash of its contents.
        origin: How to open it again.
        inputs: What the models are made for, as the task has it: of images classes, size and normalisation.
        items: Number of items by split.
        task: The task's name, with options.
        metric: What is judged by; None for the task's usual metric.
        variants: Baseline first.
        seeds: All that there may be; a variant that is decided early does without the last ones.
        train: The recipe, alike for all; each run replaces its seed.
        branch_epochs: Epochs of the branches; 0 unless branching.
        start: How attention starts: ``identity`` or ``paper``.
        control: Which variants get a control: ``largest``, ``each`` or ``none``.
        margin: The least difference worth having, in the metric's unit.
        level: Confidence of all intervals together.
        unit: The metric's unit.
        command: How to repeat it.
        sources: Hashes of what the model is made of: the file of weights, the code of foreign modules.
        threads: Number of threads it began with, which decides the last bits; None in older studies.
        plugins: Packages whose tasks, models, mechanisms or metrics it uses; imported when it resumes.
        stages: Looks in the order in which they were planned. Older studies have none: they judge once, after
            all seeds.
        branch_lr: Learning rate of the branches; None for the trunk's.
        race: Whether variants that look no better than the margin are dropped early.
        foreseen: What was said before the first run about what it would be able to find.
        folds: How the training and test items together are dealt out, where each run is a cross-validation;
            None where a run is one training, judged on the data's own test items.
        done: Runs that are done; known only of the plan that a dry run shows, and empty in a study's folder.
        spared: Runs that no look asks for, as their variants have stopped; likewise.
        warnings: What the check of the data warns of; known to a plan that is only printed, not stored.
    """

    mode: Mode
    model: str
    pretrained: bool
    weights: str | None
    data: str
    fingerprint: str
    origin: Mapping[str, object]
    inputs: Inputs
    items: Mapping[str, int]
    task: str
    metric: str | None
    variants: tuple[PlannedVariant, ...]
    seeds: tuple[int, ...]
    train: TrainConfig
    branch_epochs: int
    start: str
    control: str
    margin: float
    level: float
    unit: str
    command: str
    sources: Mapping[str, str] = field(default_factory=dict)
    threads: int | None = None
    plugins: tuple[str, ...] = ()
    stages: tuple[Stage, ...] = ()
    branch_lr: float | None = None
    race: bool = False
    foreseen: tuple[str, ...] = ()
    folds: Folding | None = None
    done: tuple[Key, ...] = ()
    spared: tuple[Key, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def runs(self) -> tuple[PlannedRun, ...]:
        """Every run that there may be, seed by seed: a study stopped early has whole seeds to compare."""
        return tuple(run for seed in self.seeds for run in self._of_seed(seed))

    @property
    def seconds(self) -> float:
        """How long all runs take, one after the other, if none is left out."""
        return sum(run.seconds for run in self.runs)

    @property
    def left(self) -> tuple[PlannedRun, ...]:
        """The runs that there may be and that are neither done nor left out."""
        apart = {*self.done, *self.spared}
        return tuple(run for run in self.runs if run.key not in apart)

    @property
    def trained_on(self) -> tuple[int, ...]:
        """Number of training items of each training that a run consists of."""
        return (self.items["train"],) if self.folds is None else self.folds.trained

    @property
    def judged_on(self) -> int:
        """Number of items that a run is judged on."""
        return self.items["test"] if self.folds is None else sum(self.folds.sizes)

    @property
    def compared(self) -> tuple[str, ...]:
        """Names of the variants and controls, which are compared with the baseline."""
        return tuple(v.name for v in self.variants if v.name != BASELINE)

    @property
    def all_stages(self) -> tuple[Stage, ...]:
        """The stages; of an older study the one look after all seeds."""
        return self.stages or (Stage((len(self.seeds),), 1 - self.level, self.compared),)

    @property
    def rounds(self) -> tuple[int, ...]:
        """Numbers of seeds after which some variant is judged, rising."""
        return tuple(sorted({seeds for stage in self.all_stages for seeds in stage.looks}))

    def looks(self, name: str, *, control: bool = False) -> tuple[Look, ...]:
        """Return when, and with what confidence, a variant is compared with the baseline, or its control."""
        found: list[Look] = []
        for stage in self.all_stages:
            judged = [n for n in stage.variants if not control or self.variant(n).control is not None]
            if name in judged:
                parts = spend(stage.looks, stage.alpha)
                found += [
                    Look(seeds, 1 - part / len(judged), last=seeds == stage.looks[-1])
                    for seeds, part in zip(stage.looks, parts, strict=True)
                ]
        return tuple(found)

    @property
    def rules(self) -> tuple[str, ...]:
        """What is decided before the first run."""
        paired = "branching off one trained baseline per seed" if self.mode == "branch" else "paired by seed"
        items = task_named(self.task)[0].items
        return (
            f"{_between(self.rounds)} seeds, all variants {paired}: same first weights where shared, "
            f"same order of {items}, same augmentation, same number of steps.",
            f"Differences to the baseline by seed and test item; seeds and {items} are crossed random "
            "effects. The uncertainty of the seed variance is carried into the interval; variants "
            "share its estimate, each at least its own.",
            *self._cross_validated(items),
            *(self._spent(stage) for stage in self.all_stages),
            f"A difference of less than {f'{self.margin:g} {self.unit}'.rstrip()} is not worth having.",
            *self._stopping(),
            "A variant helps as attention only if it also beats the control of equal cost without attention; "
            "a variant without a control of equal cost is not judged as attention.",
        )

    def _cross_validated(self, items: str) -> Iterator[str]:
        if self.folds is not None:
            yield (
                f"Every run is a cross-validation over the same {len(self.folds.sizes)} folds of "
                f"{_between(sorted(self.folds.sizes))} {items}, {self.folds.drawn}: one training for each "
                f"fold, on the {items} of the others. It is judged on all {self.judged_on} {items}, each "
                "answered by the training that has not seen it."
            )

    def _spent(self, stage: Stage) -> str:
        """Say how one stage divides its share of the error rate."""
        parts = spend(stage.looks, stage.alpha)
        looks = ", ".join(
            f"{100 * part:.2g} % after {seeds} seeds" for seeds, part in zip(stage.looks, parts, strict=True)
        )
        count = len(stage.variants)
        each = f"each divided among {count} comparisons (Bonferroni)" if count > 1 else "for one comparison"
        return f"False verdicts take at most {looks}, {each}; the verdict follows the interval."

    def _stopping(self) -> Iterator[str]:
        if len(self.rounds) == 1:
            yield "All runs are completed before any verdict: no peeking, no early stop."
            return
        yield (
            "A variant stops at its first verdict, or where the chance that the remaining seeds bring one is "
            "below 10 %; the latter is not a verdict. The baseline goes on while a variant does."
        )
        if self.race:
            yield (
                "Race: from 2 seeds on, a variant is dropped if its gain plus 1.28 standard errors is below "
                "the margin. Dropped means not pursued; it proves nothing."
            )

    def seed_seconds(self, name: str) -> float:
        """Return how long one more seed of a variant takes, with the runs that it is compared with."""
        seed = self.seeds[0]
        needed = (name, self.variant(name).control, BASELINE, TRUNK)
        return sum(run.seconds for run in self._of_seed(seed) if run.variant in needed)

    def further_level(self, *, control: bool = False) -> float:
        """Return the confidence of each interval at one look that a continuation would add."""
        count = sum(not control or self.variant(name).control is not None for name in self.compared)
        return 1 - for_continuation(1 - self.level, max(len(self.stages), 1)) / max(count, 1)

    def config(self, run: PlannedRun) -> TrainConfig:
        """Return the recipe of one run."""
        if self.mode != "branch" or run.role == "trunk":
            return replace(self.train, seed=run.seed, epochs=run.epochs)
        rate = self.train.lr if self.branch_lr is None else self.branch_lr
        return replace(self.train, seed=run.seed + BRANCH_SEED, epochs=run.epochs, lr=rate)

    def variant(self, name: str) -> PlannedVariant:
        """Return a variant by its name.

        Raises:
            StudyError: There is none.
        """
        for variant in self.variants:
            if variant.name == name:
                return variant
        raise StudyError(f'no variant is called "{name}". {nearest(name, [v.name for v in self.variants])}')

    def identity(self) -> dict[str, Any]:
        """Return what must be equal for two commands to be one study: all but measured time and wording."""
        plan = self.to_dict()
        shown = ("foreseen", "done", "spared", "warnings")
        apart = ("command", "origin", "threads", "plugins", "seeds", "stages", *shown)
        unknown = (*(() if self.sources else ("sources",)), *(() if self.folds else ("folds",)))
        for name in (*apart, *unknown):
            plan.pop(name)
        for variant in plan["variants"]:
            variant.pop("step_seconds")
            variant.pop("image_seconds")
            if variant["model"] is None:  # which older studies do not know
                variant.pop("model")
        return plan | plan.pop("inputs")

    def digest(self) -> str:
        """Return eight letters that differ between studies."""
        text = json.dumps(self.identity(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, as JSON holds it."""
        found: dict[str, Any] = plain(asdict(self))
        return found

    @classmethod
    def upgraded(cls, stored: Any) -> Any:
        """Return a stored plan as this version has it: older ones keep the inputs of images apart."""
        if not isinstance(stored, dict) or "inputs" in stored:
            return stored
        names = ("classes", "size", "normalisation")
        inputs = {name: stored[name] for name in names if name in stored}
        return {**stored, "inputs": inputs} if inputs else stored

    def differences(self, other: StudyPlan) -> list[str]:
        """Return how another plan differs, one line each: empty for the same study."""
        mine, theirs = self.identity(), other.identity()
        if not (self.sources and other.sources):  # an older study does not know them
            mine.pop("sources", None)
            theirs.pop("sources", None)
        for variant in (*mine["variants"], *theirs["variants"]):
            variant.pop("control")  # follows from the rest; that of the first call counts
        if not self.stages:  # older studies have the trunk's rate in the branches
            mine.pop("branch_lr")
            theirs.pop("branch_lr")
        return list(_differences(mine, theirs, ""))

    def __str__(self) -> str:
        """Return the plan as text, no line wider than 80."""
        return "\n".join((*self._heading(), "", *self._rows(), "", *self._footing()))

    def _of_seed(self, seed: int) -> Iterator[PlannedRun]:
        trunk = None
        if self.mode == "branch":
            base = self.variants[0]
            yield self._run(replace(base, name=TRUNK, role="trunk"), seed, self.train.epochs, None)
            trunk = (TRUNK, seed)
        epochs = self.branch_epochs if trunk else self.train.epochs
        for variant in self.variants:
            yield self._run(variant, seed, epochs, trunk)

    def _run(self, v: PlannedVariant, seed: int, epochs: int, needs: Key | None) -> PlannedRun:
        recipe = replace(self.train, epochs=epochs)
        steps = sum(Budget.of(recipe, items).stop for items in self.trained_on)
        judged = len(self.trained_on) * epochs * self.items.get("val", 0) + self.judged_on
        seconds = steps * v.step_seconds + judged * v.image_seconds
        return PlannedRun(
            variant=v.name,
            seed=seed,
            role=v.role,
            spec=v.spec,
            model=v.model,
            epochs=epochs,
            steps=steps,
            parameters=v.parameters,
            macs=v.macs,
            bytes=v.bytes,
            seconds=seconds,
            needs=needs,
            folds=len(self.folds.sizes) if self.folds else 0,
        )

    def _heading(self) -> Iterator[str]:
        runs, seeds = self.runs, _between(self.rounds)
        each = len(runs) // len(self.seeds)
        count = _between(tuple(each * rounds for rounds in self.rounds))
        of = f" of {len(self.folds.sizes)} trainings" if self.folds else ""
        yield f"{count} runs{of}: {len(self.variants)} variants x {seeds} seeds" + (
            f" and {seeds} trunks" if self.mode == "branch" else ""
        )
        counts = ", ".join(f"{name} {count:,}" for name, count in self.items.items())
        facts = task_with(self.task, self.inputs, self.train, self.metric).facts()
        yield from textwrap.wrap(f"data   {self.data}: {'; '.join((*facts, counts))}", 80)
        if self.folds is not None:
            items, sizes = task_named(self.task)[0].items, sorted(self.folds.sizes)
            told = f"{len(sizes)} of {_between(sizes)} {items}, {self.folds.drawn}; each is tested in turn"
            yield from textwrap.wrap(f"folds  {told}", 80)
        yield from textwrap.wrap(f"model  {self.model}, {_modes(self)}", 80)
        yield f"steps  {runs[-1].steps:,} per run, batches of {self.train.batch_size}, {self.train.optimizer}"

    def _rows(self) -> Iterator[str]:
        yield f"{'variant':<36}{'role':<10}{'params':>9}{'MACs':>9}{'MiB':>7}{'per run':>9}"
        seed = self.seeds[0]
        for run in (r for r in self.runs if r.seed == seed):
            name = run.variant if len(run.variant) <= 35 else run.variant[:34] + "…"
            cost = f"{short(run.parameters):>9}{short(run.macs):>9}{run.bytes / 2**20:>7.1f}"
            yield f"{name:<36}{run.role:<10}{cost}{duration(run.seconds):>9}"

    def _footing(self) -> Iterator[str]:
        yield from textwrap.wrap(" ".join(self._left()), 80)
        for sentence in self.foreseen:
            yield from textwrap.wrap(sentence, 80)
        if self.warnings:
            yield from ("", *data_warnings(self.warnings))

    def _left(self) -> Iterator[str]:
        """Say how long the runs take, and how many are done."""
        done, left = len(self.done), self.left
        if not left:
            yield f"All {done} runs are done: the command trains nothing and opens the study."
            return
        by_round = [[run for run in left if run.seed in self.seeds[:seeds]] for seeds in self.rounds]
        least = next(runs for runs in by_round if runs)  # what there is to do before the next look
        times = [duration(sum(run.seconds for run in runs)) for runs in (least, left)]
        time = f"About {' to '.join(dict.fromkeys(times))}"
        if not done:
            yield f"{time} in all, one run after the other."
            return
        yield f"{done} of {_between([done + len(runs) for runs in (least, left)])} runs are done."
        yield f"{time} for the others, one run after the other."


def _between(numbers: Sequence[int]) -> str:
    """Write the least and the greatest of some numbers."""
    return " to ".join(dict.fromkeys((str(numbers[0]), str(numbers[-1]))))


def _modes(plan: StudyPlan) -> str:
    own = ":" in plan.model  # a function of the user's own: only it knows whether its weights are new
    begin = "from pretrained weights" if plan.pretrained or plan.weights else "from scratch"
    begin = "from the weights it returns" if own and begin == "from scratch" else begin
    if plan.mode == "branch":
        rate = "" if plan.branch_lr is None else f" at a rate of {plan.branch_lr:.2g}"
        return f"{begin} {_epochs(plan.train.epochs)}, then branching for {_epochs(plan.branch_epochs)}{rate}"
    return f"{begin}, {_epochs(plan.train.epochs)}"


def _epochs(count: int) -> str:
    return f"{count} epoch" if count == 1 else f"{count} epochs"


def _differences(old: Any, new: Any, path: str) -> Iterator[str]:
    """Yield the leaves in which two plain plans differ."""
    if path == "folds" and old != new:
        there, here = (len(found["sizes"]) if found else "none" for found in (old, new))
        yield f"folds: {there} there, {here} here" + (", dealt out otherwise" if there == here else "")
    elif isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys((*old, *new)):
            yield from _differences(old.get(key), new.get(key), f"{path}.{key}" if path else key)
    elif path in _CHANGED and old != new:
        yield _CHANGED[path]
    elif path.startswith("sources.code of ") and old != new:
        yield f"{path.removeprefix('sources.code of ')}: its code has changed"
    elif path == "variants":
        names = [[v["spec"] or v["name"] for v in variants] for variants in (old, new)]
        if names[0] != names[1]:
            yield f"variants: {', '.join(names[0])} there, {', '.join(names[1])} here"
        else:
            for before, after in zip(old, new, strict=True):
                yield from _differences(before, after, before["name"])
    elif old != new:
        yield f"{path}: {old} there, {new} here"
