"""What a study says beforehand about what it will be able to find."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from foveate.compare.forecast import foreseen
from foveate.compare.planned import Folding, PlannedVariant, Stage
from foveate.tasks import tasks
from tests.compare.study_samples import plan

METRIC = tasks["classification"]().metric
FOLDED = {"items": {"train": 120, "test": 30}, "folds": Folding((50, 50, 50), (100, 100, 100), "at random")}


def planned(**others: Any) -> Any:
    times = {"parameters": 10, "macs": 100, "step_seconds": 1.0}
    columns = (
        PlannedVariant("baseline", "baseline", None, **times),
        PlannedVariant("se@blocks", "variant", "se@blocks", **times),
    )
    known = {"variants": columns, "stages": (Stage((3, 5, 8), 0.04, ("se@blocks",)),), "seeds": (*range(8),)}
    items = {"train": 100, "val": 10, "test": 4000}
    return plan(**{**known, "items": items, "mode": "branch", "branch_epochs": 1, "margin": 1.0, **others})


def sizes(sentences: tuple[str, ...]) -> list[float]:
    return [float(found[1]) for text in sentences if (found := re.search(r"differences of ([0-9.]+) ", text))]


def earlier(root: Path, name: str, seed_sd: float = 0.1, **question: Any) -> None:
    """Write what an earlier study in the folder measured."""
    asked = {"mode": "branch", "model": "resnet8", "data": "scenes", "epochs": 4, "branch_epochs": 1}
    difference = {"mean": 0.1, "seed_sd": seed_sd, "item_sd": 5.0}
    result = {
        "format": 3,
        "question": {**asked, "metric": {"name": METRIC.name}, **question},
        "variants": [{"name": "se", "difference": difference}, {"name": "baseline"}],
    }
    (root / name).mkdir()
    (root / name / "study.json").write_text(json.dumps(result))


def test_each_look_finds_smaller_differences_than_the_one_before(tmp_path: Path):
    found = sizes(foreseen(planned(), METRIC, tmp_path))
    assert len(found) == 3 and found == sorted(found, reverse=True) and found[-1] < found[0] / 2
    scratch = sizes(foreseen(planned(mode="scratch", branch_epochs=0), METRIC, tmp_path))
    assert all(rough > fine for rough, fine in zip(scratch, found, strict=True))


def test_an_earlier_study_of_the_same_is_believed_rather_than_an_assumption(tmp_path: Path):
    before = sizes(foreseen(planned(), METRIC, tmp_path))
    earlier(tmp_path, "other", model="resnet14")
    earlier(tmp_path, "another", data="cats")
    assert sizes(foreseen(planned(), METRIC, tmp_path)) == before
    earlier(tmp_path, "like")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "study.json").write_text("{")
    after = foreseen(planned(), METRIC, tmp_path)
    assert all(now < then for now, then in zip(sizes(after), before, strict=True))
    assert "varies by 0.1 points" in after[-1] and str(tmp_path / "like") in after[-1]


def test_seeds_that_vary_no_more_than_the_items_explain_are_not_said_to_vary_by_nothing(tmp_path: Path):
    earlier(tmp_path, "like", seed_sd=0.0)
    said = " ".join(foreseen(planned(), METRIC, tmp_path))
    assert "the difference of one seed varies by no more than the test items' own noise." in said


def test_times_are_of_what_is_left(tmp_path: Path):
    whole = planned()
    done = tuple(run.key for run in whole.runs if run.seed < 3)
    told = foreseen(planned(done=done), METRIC, tmp_path)
    assert not any(text.startswith("After 3 seeds") for text in told)
    assert sizes(told) == sizes(foreseen(whole, METRIC, tmp_path))[1:]
    assert foreseen(planned(done=tuple(run.key for run in whole.runs)), METRIC, tmp_path) == ()


def test_folds_judge_by_more_items_and_do_not_believe_a_study_without(tmp_path: Path):
    few = {"items": {"train": 120, "test": 30}}
    plain, folded = (sizes(foreseen(planned(**words), METRIC, tmp_path)) for words in (few, FOLDED))
    assert all(fine < rough / 2 for fine, rough in zip(folded, plain, strict=True))  # of five times the items
    earlier(tmp_path, "without")
    assert sizes(foreseen(planned(**FOLDED), METRIC, tmp_path)) == folded
    earlier(tmp_path, "with", folds=3)
    assert "varies by 0.1 points" in foreseen(planned(**FOLDED), METRIC, tmp_path)[-1]


@pytest.mark.parametrize(
    ("others", "text"),
    [
        ({}, r"For 1\.0 points: --seeds 3\.\.[0-9]+, at most "),
        ({"margin": 0.01}, "0.01 points is out of reach of 20 seeds: train for longer, or set"),
        ({"margin": 0.5, "mode": "scratch", "branch_epochs": 0}, "or --mode branch, or set"),
        (
            {"items": {"train": 100, "test": 50}, "margin": 0.5},
            "For 0.5 points it takes more test items, or --folds 5; more seeds alone will not do",
        ),
        ({**FOLDED, "margin": 0.1}, "For 0.1 points it takes more test items; more seeds alone"),
        ({"margin": 0.0}, "There is no margin to reach"),
    ],
)
def test_the_cheapest_plan_for_the_margin_is_named_or_why_there_is_none(others, text, tmp_path: Path):
    assert re.search(text, " ".join(foreseen(planned(**others), METRIC, tmp_path)))


def test_of_a_metric_without_experience_nothing_is_promised(tmp_path: Path):
    metric = tasks["segmentation"]().metric
    assert foreseen(planned(), metric, tmp_path) == (
        "What it will be able to find is known after its first verdicts.",
    )
