"""Studies of one network, by ``benchmarks.aa_study``: they are judged as real ones are, look by look."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks import aa_study

from foveate.compare.planned import BASELINE
from foveate.compare.planning import outline
from foveate.compare.statistics.verdict import HELPS
from foveate.data.open import open_data

SAME, OPEN = "no difference worth having", "not yet known"


@pytest.fixture(scope="module")
def made():
    data = open_data("scenes(size=16, distractors=0, classes=5, train=8, val=0, test=400)")
    task = outline(data, aa_study.question("3..8", 5.0), "")[1]
    return aa_study.planned(data, 5.0), task, task.feeds(data)["test"]


def records(gain: float, seed: int, sd: float = 0.0) -> np.ndarray:
    """Return right and wrong answers (20, 400) of runs that are right in 60 % of items plus the gain."""
    rng = np.random.default_rng(seed)
    luck = sd * rng.normal(size=(aa_study.SEEDS, 1))
    return (rng.random((aa_study.SEEDS, 400)) < 0.6 + gain + luck).astype(float)


def test_looks_are_those_of_a_study_that_was_continued(made):
    plan = made[0]
    assert plan.rounds == (3, 5, 8, 12, 20)
    spent = sum(stage.alpha for stage in plan.stages)
    assert spent < 1 - plan.level
    assert plan.compared == aa_study.SAME


def test_what_is_there_is_found_and_a_verdict_stays(made):
    one, another = aa_study.SAME
    base = records(0.0, 0)
    looks = aa_study.verdicts_by_look(*made, {BASELINE: base, one: records(0.3, 1), another: base})
    assert len(looks) == 5
    for name, expected in ((one, HELPS), (another, {SAME})):
        given = [found[name] for found in looks if found[name] != OPEN]
        assert len(given) >= 3 and len(set(given)) == 1 and given[0] in expected
        assert [found[name] for found in looks[-len(given) :]] == given


def test_what_varies_too_much_stays_open_without_more_seeds(made):
    one, another = aa_study.SAME
    noisy = {name: records(0.0, seed, sd=0.2) for seed, name in enumerate((BASELINE, one, another))}
    looks = aa_study.verdicts_by_look(*made, noisy)
    assert looks == [{one: OPEN, another: OPEN}] * 5


def test_studies_of_one_draw_share_no_run():
    rng, roles = np.random.default_rng(0), (BASELINE, *aa_study.SAME)
    scratch = np.arange(130)
    found = aa_study.drawn_of_scratch(scratch, rng)
    used = np.concatenate([study[role] for study in found for role in roles])
    assert len(found) == 2 and len(used) == len(set(used)) == 2 * 3 * aa_study.SEEDS
    branches = np.arange(24 * 7).reshape(24, 7)
    found = aa_study.drawn_of_branches(branches, rng)
    used = np.concatenate([study[role] for study in found for role in roles])
    assert len(found) == 2 and len(used) == len(set(used)) == 2 * 3 * aa_study.SEEDS
    trunks = [study[role] // 7 for study in found for role in roles]
    assert all((each == trunks[0]).all() for each in trunks)
