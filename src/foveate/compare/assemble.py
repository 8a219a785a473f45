"""From finished runs to the plain data of a report: statistics, verdicts, costs, cards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from foveate.compare import measured, summary
from foveate.compare.best import choose
from foveate.compare.chance import chance_sentence
from foveate.compare.plan import BASELINE, Key, PlannedVariant, StudyPlan
from foveate.compare.provenance import recipe, versions
from foveate.compare.run_files import answers
from foveate.compare.statistics.family import Difference, compare_all
from foveate.compare.statistics.pseudo_values import class_scores, item_scores
from foveate.compare.statistics.verdict import (
    Terms,
    Verdict,
    could_have_found,
    credit,
    judge,
    not_credited,
    study_sentence,
)
from foveate.data.checks.finding import Finding
from foveate.data.feed import Feed
from foveate.errors import StudyError
from foveate.tasks.base import Task
from foveate.tasks.confusion_matrix import confusion_data
from foveate.tasks.judged import Answers

Records = Mapping[Key, Mapping[str, Any]]


def assemble(
    plan: StudyPlan,
    task: Task,
    feeds: Mapping[str, Feed],
    records: Records,
    models: Mapping[str, nn.Module],
    folder: Path,
    findings: Sequence[Finding],
) -> dict[str, Any]:
    """Return the result of a study whose runs are all done.

    Args:
        plan: The study's.
        task: What was learnt.
        feeds: The splits of the data.
        records: The record of every run.
        models: The trained model of every variant's first seed.
        folder: The study's folder.
        findings: What the check of the data found.
    """
    kept, shown, matrices = _answers(plan, task, feeds["test"], folder)
    judged = Judgement(plan, task, feeds["test"], kept)
    latency = measured.latencies(models, task, plan.train.batch_size)
    variants = [
        _variant(v, judged, records, models[v.name])
        | {"latency": latency[v.name], "confusion": confusion_data(matrices.get(v.name), task.classes)}
        for v in plan.variants
    ]
    chance = task.metric.scale * task.chance(feeds)
    lost = chance_sentence({v["name"]: v["score"] for v in variants}, chance, judged.terms)
    choice = choose(plan, judged.named(), judged.gains(), records, task.metric)
    return {
        "foveate": versions()["foveate"],
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "question": _question(plan, task),
        "sentence": f"{judged.sentence} {lost}".strip(),
        "chance": chance,
        "could_have_found": judged.could_have_found,
        "best": asdict(choice),
        "variants": variants,
        "checks": [asdict(finding) for finding in findings],
        "recipe": recipe(plan),
        "runs": [_run(plan, key, record, task) for key, record in records.items() if key[1] in plan.seeds],
        "pictures": task.cards(models, feeds["test"], shown, judged.of_items()),
    }


class Judgement:
    """All differences of a study and their verdicts, in the metric's unit.

    Args:
        plan: The study's.
        task: What was learnt.
        test: The test items.
        kept: Records (S, N, ...) of every variant.
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
        others = [v.name for v in plan.variants if v.name != BASELINE]
        controlled = {v.name: v.control for v in plan.variants if v.control is not None}
        self.differences = self._family(dict.fromkeys(others, BASELINE))
        self.versus_control = self._family(controlled)
        self.verdicts: dict[str, Verdict] = {
            name: judge(d, self.terms) for name, d in self.differences.items()
        }
        self._tried = [v.name for v in plan.variants if v.role == "variant"]
        self._baseline_by_class = self._by_class(BASELINE)

    @property
    def sentence(self) -> str:
        """The study's answer."""
        verdicts = {name: self.verdicts[name] for name in self._tried}
        return study_sentence(verdicts, self._of_variants(), self.terms, self.items)

    @property
    def could_have_found(self) -> str:
        """The smallest difference the study could have detected, and how well its runs are paired."""
        found = could_have_found(list(self._of_variants().values()), self.terms, self.items)
        pairing = [d.pairing for d in self._of_variants().values() if d.seeds > 1]
        if not pairing:
            return found
        return f"{found} The two runs of a seed correlate by {sum(pairing) / len(pairing):.2f} on average."

    def named(self) -> dict[str, str]:
        """Return the verdict on each variant, controls left out."""
        return {name: self.verdicts[name].name for name in self._tried}

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

    def gains(self) -> dict[str, float]:
        """Return the mean gain of each variant; more is better."""
        sign = 1 if self.metric.higher_is_better else -1
        return {name: sign * d.mean for name, d in self._of_variants().items()}

    def of(self, v: PlannedVariant) -> dict[str, Any]:
        """Return the numbers and words of one variant."""
        difference, control = self.differences.get(v.name), self.versus_control.get(v.name)
        verdict = self.verdicts.get(v.name) or Verdict("baseline", "What all others are compared with.")
        attention = None
        if difference is not None and control is not None:
            attention = credit(difference, control, self.terms)
        elif v.role == "variant" and v.spec is not None and self.plan.control != "none":
            attention = not_credited(v.name)
        return {
            "score": summary.score(self.scores[v.name], self.metric, self.plan.level),
            "difference": None if difference is None else summary.as_data(difference),
            "versus_control": None if control is None else summary.as_data(control),
            "verdict": verdict.name,
            "words": verdict.words,
            "as_attention": attention,
            "per_class": summary.per_class(
                self._baseline_by_class if v.name == BASELINE else self._by_class(v.name),
                None if v.name == BASELINE else self._baseline_by_class,
                self.task.classes,
                self.metric,
                self.plan.level,
            ),
            "figures": summary.figures([self.task.figures(records) for records in self.kept[v.name]]),
        }

    def _by_class(self, name: str) -> list[np.ndarray]:
        """Return the scores (S, n) of the items that are informative about each class; [] if none can be."""
        runs = [class_scores(self.task, records) for records in self.kept[name]]
        scored = [run for run in runs if run is not None]
        if scored:
            return list(np.stack(scored).transpose(2, 0, 1))
        if self.class_of_items is None or self.metric.groups is not None:
            return []
        return [self.scores[name][:, self.class_of_items == k] for k in range(len(self.task.classes))]

    def _of_variants(self) -> dict[str, Difference]:
        return {name: self.differences[name] for name in self._tried}

    def _family(self, against: Mapping[str, str]) -> dict[str, Difference]:
        found = compare_all(
            {name: self.scores[reference] for name, reference in against.items()},
            {name: self.scores[name] for name in against},
            level=self.plan.level,
            margin=self.plan.margin / self.metric.scale,
            span=self.span,
        )
        return {name: summary.in_unit(d, self.metric) for name, d in found.items()}


def _answers(
    plan: StudyPlan, task: Task, test: Feed, folder: Path
) -> tuple[dict[str, np.ndarray], dict[str, Answers], dict[str, np.ndarray]]:
    """Return records (S, N, ...) of every variant, the answers of its first seed, and its confusions."""
    kept, shown, matrices = {}, {}, {}
    for v in plan.variants:
        found = [answers(folder, v.name, seed) for seed in plan.seeds]
        whole = [entry for entry in found if entry is not None]
        if len(whole) < len(found):
            raise StudyError(
                f"{folder}: the answers of {v.name} are gone. Run the same command again to recreate them."
            )
        kept[v.name] = np.stack([entry[0] for entry in whole])
        shown[v.name] = whole[0][1]
        each = [task.confusion(entry[1], test) for entry in whole]
        counted = [matrix for matrix in each if matrix is not None]
        if counted:
            matrices[v.name] = np.sum(counted, axis=0)
    return kept, shown, matrices


def _variant(v: PlannedVariant, judged: Judgement, records: Records, model: nn.Module) -> dict[str, Any]:
    plan = judged.plan
    histories = {seed: records[v.name, seed]["history"] for seed in plan.seeds}
    return {
        "name": v.name,
        "spec": v.spec,
        "model": v.model,
        "role": v.role,
        "control": v.control,
        "cost": {"parameters": v.parameters, "macs": v.macs, "bytes": v.bytes},
        **judged.of(v),
        "memory": measured.memory(model, judged.task, plan.train.batch_size),
        "gates": summary.gates(list(histories.values())),
        "curves": summary.curves(histories, judged.metric),
    }


def _question(plan: StudyPlan, task: Task) -> dict[str, Any]:
    return {
        "mode": plan.mode,
        "model": plan.model,
        "data": plan.data,
        "task": plan.task,
        "items_called": task.items,
        "facts": list(task.facts()),
        "classes": list(task.classes),
        "metric": asdict(task.metric),
        "margin": plan.margin,
        "level": plan.level,
        "seeds": list(plan.seeds),
        "epochs": plan.train.epochs,
        "branch_epochs": plan.branch_epochs,
        "train_items": plan.items["train"],
        "items": plan.items["test"],
        "size": plan.inputs.get("size"),
        "command": plan.command,
    }


def _run(plan: StudyPlan, key: Key, record: Mapping[str, Any], task: Task) -> dict[str, Any]:
    scale, score = task.metric.scale, record.get("score")
    known = {v.name: v.parameters for v in plan.variants}
    return {
        "variant": key[0],
        "seed": key[1],
        "score": None if score is None else scale * score,
        **{name: record[name] for name in ("seconds", "images_per_second", "steps", "images")},
        "parameters": known.get(key[0], known[BASELINE]),
    }
