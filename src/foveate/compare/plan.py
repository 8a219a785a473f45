"""The plan of a study: every run with its cost and its time, fixed before the first run starts."""

from __future__ import annotations

import hashlib
import json
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from foveate.data.feed import plain
from foveate.errors import StudyError, nearest
from foveate.quantities import duration, short
from foveate.recipe import TrainConfig
from foveate.tasks.base import Inputs, task_named, task_with
from foveate.train.budget import Budget

Mode = Literal["scratch", "pretrained", "branch"]
Role = Literal["baseline", "variant", "control", "trunk", "report"]
BASELINE, TRUNK, REPORT = "baseline", "trunk", "report"
_CHANGED = {  # what is known by a hash alone
    "sources.weights": "weights: the file at this path has changed",
    "sources.code": "model: its code has changed",
    "fingerprint": "data: its images, labels or splits have changed",
}
BRANCH_SEED = 100_003  # a branch sees an order and augmentations that its trunk has not seen

Key = tuple[str, int]


@dataclass(frozen=True)
class PlannedVariant:
    """One column of the study.

    Args:
        name: What the report calls it.
        role: ``baseline``, ``variant`` or ``control``.
        spec: What is inserted, or None.
        model: Its own model, if it is another one than the study's; nothing is inserted in it.
        control: For a variant: the name of the control that it must beat, or None.
        parameters: Learnable numbers.
        macs: Multiply-adds of one item.
        bytes: Size of the parameters and buffers.
        step_seconds: Time of one training step, measured.
        image_seconds: Time of evaluating one item, measured.
    """

    name: str
    role: Role
    spec: str | None
    model: str | None = None
    control: str | None = None
    parameters: int = 0
    macs: int = 0
    bytes: int = 0
    step_seconds: float = 0.0
    image_seconds: float = 0.0


@dataclass(frozen=True)
class PlannedRun:
    """One training of one variant with one seed.

    Args:
        variant: Its name.
        seed: Its seed.
        role: ``trunk`` for the training that the branches of a seed share; else the variant's role.
        spec: What is inserted, or None.
        model: The variant's own model, or None.
        epochs: Passes over the training items.
        steps: Optimiser steps; the same for all variants, and checked after the run.
        parameters: Learnable numbers.
        macs: Multiply-adds of one item.
        bytes: Size of the parameters and buffers.
        seconds: How long it will take, from a few measured steps.
        needs: The run that has to be done before, or None.
    """

    variant: str
    seed: int
    role: Role
    spec: str | None
    model: str | None
    epochs: int
    steps: int
    parameters: int
    macs: int
    bytes: int
    seconds: float
    needs: Key | None = None

    @property
    def key(self) -> Key:
        """What the store knows it by."""
        return self.variant, self.seed


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
        seeds: One study has the same seeds for every variant.
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

    @property
    def runs(self) -> tuple[PlannedRun, ...]:
        """Every run: seed by seed, so that a study stopped early has whole seeds to compare."""
        return tuple(run for seed in self.seeds for run in self._of_seed(seed))

    @property
    def seconds(self) -> float:
        """How long all runs will take, one after the other."""
        return sum(run.seconds for run in self.runs)

    @property
    def rules(self) -> tuple[str, ...]:
        """What is decided before the first run."""
        paired = "branching off one trained baseline per seed" if self.mode == "branch" else "paired by seed"
        items = task_named(self.task)[0].items
        return (
            f"{len(self.seeds)} seeds, all variants {paired}: same first weights where shared, "
            f"same order of {items}, same augmentation, same number of steps.",
            f"Differences to the baseline by seed and test item; seeds and {items} are crossed random "
            "effects. The uncertainty of the seed variance is carried into the interval; variants share its "
            "estimate, each at least its own.",
            f"Intervals hold together at {100 * self.level:g} % (Bonferroni), p-values by Holm; "
            "the verdict follows the interval.",
            f"A difference of less than {f'{self.margin:g} {self.unit}'.rstrip()} is not worth having.",
            "All runs are completed before any verdict: no peeking, no early stop.",
            "A variant helps as attention only if it also beats the control of equal cost without attention; "
            "a variant without a control of equal cost is not judged as attention.",
        )

    def config(self, run: PlannedRun) -> TrainConfig:
        """Return the recipe of one run."""
        shift = BRANCH_SEED if self.mode == "branch" and run.role != "trunk" else 0
        return replace(self.train, seed=run.seed + shift, epochs=run.epochs)

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
        for name in ("command", "origin", "threads", "plugins", *(() if self.sources else ("sources",))):
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
        steps = Budget.of(replace(self.train, epochs=epochs), self.items["train"]).stop
        judged = epochs * self.items.get("val", 0) + self.items["test"]
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
        )

    def _heading(self) -> Iterator[str]:
        runs = self.runs
        yield f"{len(runs)} runs: {len(self.variants)} variants x {len(self.seeds)} seeds" + (
            f" and {len(self.seeds)} trunks" if self.mode == "branch" else ""
        )
        counts = ", ".join(f"{name} {count:,}" for name, count in self.items.items())
        facts = task_with(self.task, self.inputs, self.train, self.metric).facts()
        yield from textwrap.wrap(f"data   {self.data}: {'; '.join((*facts, counts))}", 80)
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
        yield f"About {duration(self.seconds)} in all, one run after the other."


def _modes(plan: StudyPlan) -> str:
    own = ":" in plan.model  # a function of the user's own: only it knows whether its weights are new
    begin = "from pretrained weights" if plan.pretrained or plan.weights else "from scratch"
    begin = "from the weights it returns" if own and begin == "from scratch" else begin
    if plan.mode == "branch":
        return f"{begin} {plan.train.epochs} epochs, then branching for {plan.branch_epochs} epochs"
    return f"{begin}, {plan.train.epochs} epochs"


def _differences(old: Any, new: Any, path: str) -> Iterator[str]:
    """Yield the leaves in which two plain plans differ."""
    if isinstance(old, dict) and isinstance(new, dict):
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
