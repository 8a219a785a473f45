"""From finished runs to the plain data of a report: statistics, verdicts, costs, pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from foveate import __version__
from foveate.compare import measured
from foveate.compare import summary as effects
from foveate.compare.best import choose, save_best
from foveate.compare.build import build
from foveate.compare.materials import Materials
from foveate.compare.plan import BASELINE, Key, PlannedVariant, StudyPlan
from foveate.compare.provenance import recipe
from foveate.compare.run import answers, run_folder
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
from foveate.errors import StudyError
from foveate.tasks.cards.labelled_pictures import pictures
from foveate.tasks.cards.mask_pictures import mask_pictures
from foveate.tasks.chance import chance_score, chance_sentence
from foveate.tasks.confusion import confusion_data, confusion_matrix
from foveate.tensor_file import load_tensors
from foveate.train.result import WEIGHTS

Records = Mapping[Key, Mapping[str, Any]]


def assemble(
    plan: StudyPlan, materials: Materials, records: Records, folder: Path, findings: Sequence[Finding]
) -> dict[str, Any]:
    """Return the result of a study whose runs are all done, and keep its best model.

    Args:
        plan: The study's.
        materials: Data and task.
        records: The record of every run.
        folder: The study's folder.
        findings: What the check of the data found.
    """
    kept, shown, matrices = _answers(plan, materials, folder)
    judged = Judgement(plan, materials, kept)
    models = {v.name: _trained(plan, v, folder) for v in plan.variants}
    latency = measured.latencies(models, plan.size, plan.train.batch_size)
    variants = [
        _variant(v, judged, records, models[v.name])
        | {"latency": latency[v.name], "confusion": confusion_data(matrices.get(v.name), plan.classes)}
        for v in plan.variants
    ]
    chance = materials.task.metric.scale * chance_score(materials.task, materials.splits, len(plan.classes))
    lost = chance_sentence({v["name"]: v["score"] for v in variants}, chance, judged.terms)
    choice = choose(plan, judged.named(), judged.gains(), records, materials.task.metric)
    save_best(plan, choice, folder, materials.data)
    return {
        "format": 1,
        "foveate": __version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "question": _question(plan, materials),
        "sentence": f"{judged.sentence} {lost}".strip(),
        "chance": chance,
        "could_have_found": judged.could_have_found,
        "best": asdict(choice),
        "variants": variants,
        "checks": [asdict(finding) for finding in findings],
        "recipe": recipe(plan),
        "runs": [
            _run(plan, key, record, materials) for key, record in records.items() if key[1] in plan.seeds
        ],
        "pictures": _pictures(plan, materials, models, shown, judged),
    }


class Judgement:
    """All differences of a study and what they amount to, in the metric's unit.

    Args:
        plan: The study's.
        materials: Data and task.
        kept: Records (S, N, ...) of every variant.
    """

    def __init__(self, plan: StudyPlan, materials: Materials, kept: Mapping[str, np.ndarray]) -> None:
        self.plan, self.metric = plan, materials.task.metric
        self.task, self.kept = materials.task, kept
        self.scores = {
            name: np.stack([item_scores(self.task, records) for records in runs])
            for name, runs in kept.items()
        }
        self.span = effects.metric_span(self.metric, self.scores.values())
        self.targets = materials.splits["test"].targets
        self.items = len(self.targets)
        self.terms = Terms(self.metric.unit, plan.margin, self.metric.higher_is_better)
        others = [v.name for v in plan.variants if v.name != BASELINE]
        controlled = {v.name: v.control for v in plan.variants if v.control is not None}
        self.differences = self._family(dict.fromkeys(others, BASELINE))
        self.versus_control = self._family(controlled)
        self.verdicts: dict[str, Verdict] = {
            name: judge(d, self.terms) for name, d in self.differences.items()
        }
        self._tried = [v.name for v in plan.variants if v.role == "variant"]

    @property
    def sentence(self) -> str:
        """The study's answer."""
        verdicts = {name: self.verdicts[name] for name in self._tried}
        return study_sentence(verdicts, self._of_variants(), self.terms, self.items)

    @property
    def could_have_found(self) -> str:
        """What the study could have found at all, and how well its runs are paired, which decides it."""
        found = could_have_found(list(self._of_variants().values()), self.terms, self.items)
        pairing = [d.pairing for d in self._of_variants().values() if d.seeds > 1]
        if not pairing:
            return found
        return f"{found} The two runs of a seed correlate by {sum(pairing) / len(pairing):.2f} on average."

    def named(self) -> dict[str, str]:
        """Return the verdict on each variant, controls left out."""
        return {name: self.verdicts[name].name for name in self._tried}

    def of_items(self) -> dict[str, np.ndarray]:
        """Return the metric of each test item by itself (N,), in its unit, of every variant's first seed."""
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
        elif v.role == "variant" and self.plan.control != "none":
            attention = not_credited(v.name)
        return {
            "score": effects.score(self.scores[v.name], self.metric, self.plan.level),
            "difference": None if difference is None else effects.as_data(difference),
            "versus_control": None if control is None else effects.as_data(control),
            "verdict": verdict.name,
            "words": verdict.words,
            "as_attention": attention,
            "per_class": effects.per_class(
                self._by_class(v.name),
                None if v.name == BASELINE else self._by_class(BASELINE),
                self.plan.classes,
                self.metric,
                self.plan.level,
            ),
            "figures": effects.figures([self.task.figures(records) for records in self.kept[v.name]]),
        }

    def _by_class(self, name: str) -> list[np.ndarray]:
        """Return the scores (S, n) of the items that speak of each class."""
        runs = [class_scores(self.task, records) for records in self.kept[name]]
        told = [run for run in runs if run is not None]
        if told:
            return list(np.stack(told).transpose(2, 0, 1))
        return [self.scores[name][:, self.targets == k] for k in range(len(self.plan.classes))]

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
        return {name: effects.in_unit(d, self.metric) for name, d in found.items()}


def _answers(
    plan: StudyPlan, materials: Materials, folder: Path
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return records (S, N, ...) of every variant, the answers (N, ...) of its first seed, and confusions."""
    kept, shown, matrices = {}, {}, {}
    targets = materials.splits["test"].targets
    for v in plan.variants:
        found = [answers(folder, v.name, seed) for seed in plan.seeds]
        whole = [entry for entry in found if entry is not None]
        if len(whole) < len(found):
            raise StudyError(
                f"{folder}: answers of {v.name} are gone. Run the same command again; it makes them again."
            )
        kept[v.name] = np.stack([entry[0] for entry in whole])
        shown[v.name] = whole[0][1]
        if materials.one_class_each:
            each = [confusion_matrix(entry[1], targets, len(plan.classes)) for entry in whole]
            matrices[v.name] = np.sum(each, axis=0)
    return kept, shown, matrices


def _trained(plan: StudyPlan, v: PlannedVariant, folder: Path) -> nn.Module:
    """Return the trained model of a variant's first seed."""
    model = build(plan, v.spec, plan.seeds[0])
    model.load_state_dict(load_tensors(run_folder(folder, v.name, plan.seeds[0]) / WEIGHTS))
    return model.eval()


def _variant(v: PlannedVariant, judged: Judgement, records: Records, model: nn.Module) -> dict[str, Any]:
    plan = judged.plan
    histories = {seed: records[v.name, seed]["history"] for seed in plan.seeds}
    return {
        "name": v.name,
        "spec": v.spec,
        "role": v.role,
        "control": v.control,
        "cost": {"parameters": v.parameters, "macs": v.macs, "bytes": v.bytes},
        **judged.of(v),
        "memory": measured.memory(model, plan.size, plan.train.batch_size),
        "gates": effects.gates(list(histories.values())),
        "curves": effects.curves(histories, judged.metric),
    }


def _question(plan: StudyPlan, materials: Materials) -> dict[str, Any]:
    return {
        "mode": plan.mode,
        "model": plan.model,
        "data": plan.data,
        "classes": list(plan.classes),
        "metric": asdict(materials.task.metric),
        "margin": plan.margin,
        "level": plan.level,
        "seeds": list(plan.seeds),
        "epochs": plan.train.epochs,
        "branch_epochs": plan.branch_epochs,
        "train_items": plan.items["train"],
        "items": plan.items["test"],
        "size": list(plan.size),
        "palette": materials.data.colours.tolist() if materials.data.truth == "mask" else None,
        "command": plan.command,
    }


def _run(plan: StudyPlan, key: Key, record: Mapping[str, Any], materials: Materials) -> dict[str, Any]:
    scale, score = materials.task.metric.scale, record.get("score")
    known = {v.name: v.parameters for v in plan.variants}
    return {
        "variant": key[0],
        "seed": key[1],
        "score": None if score is None else scale * score,
        **{name: record[name] for name in ("seconds", "images_per_second", "steps", "images")},
        "parameters": known.get(key[0], known[BASELINE]),
    }


def _pictures(
    plan: StudyPlan,
    materials: Materials,
    models: Mapping[str, nn.Module],
    shown: Mapping[str, np.ndarray],
    judged: Judgement,
) -> list[dict[str, Any]]:
    test, (mean, std) = materials.splits["test"], plan.normalisation
    if materials.data.truth == "mask":
        return mask_pictures(
            *(models, test),
            palette=materials.data.colours,
            answers=shown,
            scores=judged.of_items(),
            mean=mean,
            std=std,
        )
    return pictures(
        *(models, test),
        classes=plan.classes,
        predictions=shown,
        targets=test.targets,
        mean=mean,
        std=std,
        look=materials.data.splits["test"].look,
    )
