"""What the answers of finished runs say: differences, verdicts, and which variants need more seeds."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from foveate.compare import summary
from foveate.compare.plan import StudyPlan
from foveate.compare.planned import BASELINE, Key, PlannedVariant
from foveate.compare.run_files import answers
from foveate.compare.statistics.answer import Candidate, answer, recommended
from foveate.compare.statistics.difference import Difference
from foveate.compare.statistics.looks import Decision, decide
from foveate.compare.statistics.pseudo_values import class_scores, item_scores
from foveate.compare.statistics.verdict import (
    HELPS,
    Terms,
    Verdict,
    could_have_found,
    credit,
    judge,
    not_credited,
)
from foveate.data.feed import Feed
from foveate.errors import StudyError
from foveate.tasks.base import Task
from foveate.tasks.judged import Answers


class Judgement:
    """All differences of a study and their verdicts, in the metric's unit.

    Args:
        plan: The study's.
        task: What was learnt.
        test: The test items.
        kept: Records (S, N, ...) of every variant; S may differ, as a variant that is decided gets no more
            seeds.
    """

    def __init__(self, plan: StudyPlan, task: Task, test: Feed, kept: Mapping[str, np.ndarray]) -> None:
        self.plan, self.metric = plan, task.metric
        self.task, self.kept = task, kept
        self.scores = {
            name: np.stack([item_scores(self.task, records) for records in runs])
            for name, runs in kept.items()
        }
        self.span = summary.metric_span(self.metric, self.scores.values())
        self.class_of_items = task.class_of_items(test)
        self.items = len(test)
        self.terms = Terms(self.metric.unit, plan.margin, self.metric.higher_is_better, f"test {task.items}")
        self.decisions = self._decide(dict.fromkeys(plan.compared, BASELINE))
        controlled = {v.name: v.control for v in plan.variants if v.control is not None}
        self.versus_control = self._decide(controlled, control=True)
        self.verdicts: dict[str, Verdict] = {
            name: judge(d.difference, self.terms, outcome=d.outcome, stopped=self._is_stopped(name, d))
            for name, d in self.decisions.items()
        }
        self._tried = [v.name for v in plan.variants if v.role == "variant"]
        self._baseline_by_class = self._by_class(BASELINE)

    @property
    def sentence(self) -> str:
        """The study's answer."""
        return answer(self._candidates(), self.terms)

    @property
    def is_decided(self) -> bool:
        """Whether every variant has a verdict."""
        return all(self.verdicts[name].name != "not yet known" for name in self._tried)

    @property
    def recommended(self) -> str:
        """The variant to use: the baseline if none is shown to help."""
        chosen = recommended(self._candidates(), self.terms)
        return BASELINE if chosen is None else chosen.name

    @property
    def could_have_found(self) -> str:
        """The smallest difference the study could have detected."""
        return could_have_found(list(self._of_variants().values()), self.terms, self.items)

    def going(self, seeds: int) -> list[str]:
        """Return the variants and controls that need more than these seeds: they are not decided yet.

        A variant that helps goes on until it is known whether it beats its control too. A control goes on
        while a variant needs it.
        """
        needed = [v for v in self.plan.variants if v.role == "variant" and self._is_open(v, seeds)]
        controls = {v.control for v in needed}
        names = {v.name for v in needed}
        new = {name for name in self.plan.compared if self.plan.looks(name)[0].seeds > seeds}
        return [name for name in self.plan.compared if name in names | controls | new]

    def told(self, seeds: int) -> str:
        """Return what is known after these seeds, no line wider than 80."""
        known = [f"{name}: {v.name}" for name, v in self.verdicts.items() if name in self._tried]
        left = [name for name in self.going(seeds) if name in self._tried]
        next_ = f"More seeds for {', '.join(left)}" if left else "No variant needs more seeds"
        text = f"After {seeds} seeds: {'; '.join(known)}. {next_}."
        return textwrap.fill(text, 80, break_long_words=False, break_on_hyphens=False)

    def _is_open(self, v: PlannedVariant, seeds: int) -> bool:
        """Return whether a variant has looks to come, and something to find out at them."""
        if self.plan.looks(v.name)[-1].seeds <= seeds:
            return False
        if self.decisions[v.name].outcome == "open":
            return True
        control = self.versus_control.get(v.name)
        return self.verdicts[v.name].name in HELPS and control is not None and control.outcome == "open"

    def _is_stopped(self, name: str, decision: Decision) -> bool:
        """Return whether a race ends a comparison before its last look."""
        return self.plan.race and decision.seeds < self.plan.looks(name)[-1].seeds

    def of_items(self) -> dict[str, np.ndarray]:
        """Return the metric of each test item by itself (N,), in its unit, of every variant's first seed.

        NaN where items are judged in groups: then one says nothing by itself.
        """
        if self.metric.groups is not None:
            return {name: np.full(self.items, np.nan) for name in self.kept}
        each = {
            name: [self.task.value(record[None]) for record in runs[0]] for name, runs in self.kept.items()
        }
        return {name: self.metric.scale * np.array(values) for name, values in each.items()}

    def of(self, v: PlannedVariant) -> dict[str, Any]:
        """Return the numbers and words of one variant."""
        decision, control = self.decisions.get(v.name), self.versus_control.get(v.name)
        verdict = self.verdicts.get(v.name) or Verdict("baseline", "What all others are compared with.")
        attention = None
        if decision is not None and control is not None:
            attention = credit(decision.difference, control.difference, self.terms)
        elif v.role == "variant" and v.spec is not None and self.plan.control != "none":
            attention = not_credited(v.name)
        classes = self._by_class(v.name) if v.name != BASELINE else self._baseline_by_class
        base = [y[: len(self.kept[v.name])] for y in self._baseline_by_class]
        return {
            "score": self._score(v.name),
            "difference": None if decision is None else summary.as_data(decision.difference),
            "versus_control": None if control is None else summary.as_data(control.difference),
            "verdict": verdict.name,
            "words": verdict.words,
            "as_attention": attention,
            "per_class": summary.per_class(
                classes,
                None if v.name == BASELINE else base,
                self.task.classes,
                self.metric,
                self.plan.level,
            ),
            "figures": summary.figures([self.task.figures(records) for records in self.kept[v.name]]),
        }

    def _score(self, name: str) -> dict[str, Any]:
        """Return the score of a variant; of one with fewer seeds, brought to those of the baseline."""
        found = summary.score(self.scores[name], self.metric, self.plan.level)
        base = self.scores[BASELINE]
        if len(self.scores[name]) == len(base):
            return found
        mean = self.metric.scale * float(base.mean()) + self.decisions[name].difference.mean
        return summary.on_all_seeds(found, mean, self.metric)

    def _by_class(self, name: str) -> list[np.ndarray]:
        """Return the scores (S, n) of the items that are informative about each class; [] if none can be."""
        runs = [class_scores(self.task, records) for records in self.kept[name]]
        scored = [run for run in runs if run is not None]
        if scored:
            return list(np.stack(scored).transpose(2, 0, 1))
        if self.class_of_items is None or self.metric.groups is not None:
            return []
        return [self.scores[name][:, self.class_of_items == k] for k in range(len(self.task.classes))]

    def _candidates(self) -> list[Candidate]:
        base, found = self.plan.variant(BASELINE), []
        for name in self._tried:
            v, control = self.plan.variant(name), self.versus_control.get(name)
            beats = None if control is None else judge(control.difference, self.terms).name in HELPS
            found.append(
                Candidate(
                    name,
                    self.verdicts[name],
                    self.decisions[name].difference,
                    attention=beats,
                    macs=v.macs / base.macs if base.macs else 1.0,
                    seed_seconds=self.plan.seed_seconds(name),
                )
            )
        return found

    def _of_variants(self) -> dict[str, Difference]:
        return {name: self.decisions[name].difference for name in self._tried}

    def _decide(self, against: Mapping[str, str], *, control: bool = False) -> dict[str, Decision]:
        """Return how each comparison ended; variants that joined later do not change earlier ones."""
        found: dict[str, Decision] = {}
        for stage in self.plan.all_stages:
            joined = [name for name in against if name in found or name in stage.variants]
            if {*joined} - {*found}:
                found = self._decided({name: against[name] for name in joined}, control=control) | found
        return {
            name: replace(found[name], difference=summary.in_unit(found[name].difference, self.metric))
            for name in against
        }

    def _decided(self, against: Mapping[str, str], *, control: bool) -> dict[str, Decision]:
        return decide(
            {name: self.scores[reference] for name, reference in against.items()},
            {name: self.scores[name] for name in against},
            {name: self.plan.looks(name, control=control) for name in against},
            margin=self.plan.margin / self.metric.scale,
            span=self.span,
            higher_is_better=self.metric.higher_is_better,
            race=self.plan.race and not control,
            alpha=1 - self.plan.level,
            further=dict.fromkeys(against, self.plan.further_level(control=control)),
        )


def kept_runs(
    plan: StudyPlan, folder: Path, done: Collection[Key], seeds: int
) -> dict[str, list[tuple[np.ndarray, Answers]]]:
    """Return records (N, ...) and answers of every variant's finished runs, by seed.

    Args:
        plan: The study's.
        folder: Its folder.
        done: Keys of the finished runs.
        seeds: How many of the seeds count.

    Raises:
        StudyError: Files of a run are gone.
    """
    found: dict[str, list[tuple[np.ndarray, Answers]]] = {}
    for v in plan.variants:
        wanted = plan.seeds[:seeds]
        count = next((n for n, seed in enumerate(wanted) if (v.name, seed) not in done), len(wanted))
        runs = [answers(folder, v.name, seed) for seed in wanted[:count]]
        whole = [run for run in runs if run is not None]
        if not whole or len(whole) < len(runs):
            raise StudyError(
                f"{folder}: the answers of {v.name} are gone. Run the same command again to recreate them."
            )
        found[v.name] = whole
    return found


def stacked(runs: Mapping[str, Sequence[tuple[np.ndarray, Answers]]]) -> dict[str, np.ndarray]:
    """Return the records (S, N, ...) of every variant."""
    return {name: np.stack([records for records, _ in whole]) for name, whole in runs.items()}
