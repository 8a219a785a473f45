"""A study that looks at its results after a few seeds: who goes on, what is trained, how it is continued."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foveate.compare.continuing import continued
from foveate.compare.judgement import Judgement, kept_runs, stacked
from foveate.compare.plan import StudyPlan
from foveate.compare.planned import LOOK, REPORT, Key, PlannedVariant, Stage
from foveate.compare.question import Question
from foveate.compare.rows import every_key, rows
from foveate.compare.run_files import ANSWERS, keep_answers, run_folder
from foveate.compare.schedule import with_times_of, within_budget
from foveate.compare.statistics.verdict import Terms
from foveate.compare.store import FILE, Store
from foveate.compare.trained_out import still_rising
from foveate.errors import StudyError
from foveate.tasks import tasks
from tests.compare.study_samples import plan
from tests.train.train_samples import feed

ITEMS = 400
TASK = tasks["classification"]()
TEST = feed(ITEMS, seed=0)
Hits = Callable[[str, int], np.ndarray]


def variants(*names: str, control: str | None = None) -> tuple[PlannedVariant, ...]:
    times = {"parameters": 10, "macs": 100, "step_seconds": 1.0, "image_seconds": 0.0}
    made = [PlannedVariant("baseline", "baseline", None, **times)]
    made += [PlannedVariant(n, "variant", f"{n}@blocks", control=control, **times) for n in names]
    return (*made, *([PlannedVariant(control, "control", f"{control}@blocks", **times)] if control else []))


def planned(
    *names: str, looks: tuple[int, ...] = (3, 5, 8), control: str | None = None, **others: Any
) -> StudyPlan:
    columns = variants(*names, control=control)
    stage = Stage(looks, 0.04, tuple(v.name for v in columns[1:]))
    known = {"variants": columns, "stages": (stage,), "seeds": tuple(range(looks[-1])), "margin": 2.0}
    return plan(items={"train": 100, "val": 10, "test": ITEMS}, **{**known, **others})


def hits(gains: dict[str, float], noise: dict[str, float] | None = None) -> Hits:
    """Return which items each run has right: 60 %, and a gain in points with its noise between seeds."""

    def of(variant: str, seed: int) -> np.ndarray:
        rng = np.random.default_rng([seed, *variant.encode()])
        gain = gains.get(variant, 0.0) + (noise or {}).get(variant, 0.0) * rng.standard_normal()
        right = np.arange(ITEMS) < round(ITEMS * (0.6 + gain / 100))
        return right.astype(np.float64)

    return of


def play(folder: Path, asked: StudyPlan, of: Hits) -> list[Key]:
    """Play a study without training, and return the work that was done."""
    store, done = Store.open(folder, asked), []
    while (key := store.claim()) is not None:
        done.append(key)
        record: dict[str, Any] = {"steps": 1}
        if key[0] == LOOK:
            record = {"going": judged(folder, key[1]).going(key[1])}
        elif key[0] != REPORT:
            path = run_folder(folder, *key) / ANSWERS
            path.parent.mkdir(parents=True, exist_ok=True)
            right = of(*key)
            keep_answers(path, right, right[:, None])
        store.finish(key, record)
    assert store.unfinished() == 0
    return done


def judged(folder: Path, seeds: int = 99) -> Judgement:
    store = Store(folder)
    runs = kept_runs(store.plan(), folder, store.records(), seeds)
    return Judgement(store.plan(), TASK, TEST, stacked(runs))


def seeds_of(done: list[Key], name: str) -> list[int]:
    return [seed for variant, seed in done if variant == name]


MIXED = hits({"good": 10.0, "loud": 2.0}, {"loud": 2.0})


def test_a_variant_stops_at_its_first_verdict_and_the_baseline_goes_on_with_the_rest(tmp_path: Path):
    done = play(tmp_path, planned("good", "same", "loud"), MIXED)
    assert seeds_of(done, "good") == seeds_of(done, "same") == [0, 1, 2]
    assert seeds_of(done, "loud") == seeds_of(done, "baseline") == [*range(len(seeds_of(done, "loud")))]
    assert len(seeds_of(done, "loud")) in (5, 8)
    assert done[-1] == (REPORT, 0) and (LOOK, 3) in done
    found = judged(tmp_path)
    names = {name: verdict.name for name, verdict in found.verdicts.items()}
    assert (names["good"], names["same"]) == ("helps enough", "no difference worth having")
    assert found.decisions["good"].seeds == 3 and found.recommended == "good"


def test_scores_and_differences_agree_though_seeds_are_uneven(tmp_path: Path):
    play(tmp_path, planned("good", "same", "loud"), MIXED)
    found = judged(tmp_path)
    base = found.of(found.plan.variant("baseline"))["score"]["mean"]
    for name in ("good", "same", "loud"):
        given = found.of(found.plan.variant(name))
        assert given["score"]["mean"] == pytest.approx(base + given["difference"]["mean"])
        assert len(given["score"]["per_seed"]) == len(found.kept[name])


def test_where_all_is_decided_at_the_first_look_nothing_more_is_trained(tmp_path: Path):
    done = play(tmp_path, planned("good", "same"), MIXED)
    assert max(seed for _, seed in done[:-2]) == 2
    assert done[-2:] == [(LOOK, 3), (REPORT, 0)]


def test_a_variant_that_helps_goes_on_until_it_is_compared_with_its_control(tmp_path: Path):
    """The control varies a lot, so three seeds do not tell it from the variant."""
    of = hits({"good": 10.0, "control": 7.0}, {"control": 1.5})
    done = play(tmp_path, planned("good", control="control"), of)
    assert len(seeds_of(done, "good")) == len(seeds_of(done, "control")) > 3
    found = judged(tmp_path)
    assert found.decisions["good"].seeds == 3  # the first verdict counts


def test_the_control_of_a_variant_that_does_not_help_stops_with_it(tmp_path: Path):
    done = play(tmp_path, planned("same", control="control"), hits({}, {"control": 5.0}))
    assert seeds_of(done, "control") == [0, 1, 2]


def test_a_race_drops_after_two_seeds(tmp_path: Path):
    asked = planned("good", "same", "bad", looks=(2, 3, 4, 5), race=True)
    done = play(tmp_path, asked, hits({"good": 10.0, "bad": -1.0}, {"bad": 0.5, "same": 0.3}))
    assert seeds_of(done, "bad") == seeds_of(done, "same") == [0, 1]
    names = {name: verdict.name for name, verdict in judged(tmp_path).verdicts.items()}
    assert names == {"good": "helps enough", "same": "dropped", "bad": "dropped"}


def test_a_race_that_drops_all_claims_nothing(tmp_path: Path):
    asked = planned("same", "bad", looks=(2, 3, 4, 5), race=True, control="control")
    done = play(tmp_path, asked, hits({"bad": -1.0}, {"bad": 0.5, "same": 0.3, "control": 40.0}))
    assert max(seed for name, seed in done if name == "baseline") == 1
    found = judged(tmp_path)
    assert found.sentence.startswith("Keep the baseline for now: both variants were dropped from the race")
    assert "after 2 seeds" in found.sentence and "this proves nothing" in found.sentence
    control = found.verdicts["control"]
    assert "Run at least 3" not in control.words and control.name in ("no verdict", "dropped")
    assert "With 2 seeds" in found.could_have_found


def test_what_is_known_after_a_look_fits_80_columns(tmp_path: Path):
    play(tmp_path, planned("good", "loud", "a_variant_of_a_long_name", "another_of_a_long_name"), MIXED)
    lines = judged(tmp_path, 3).told(3).splitlines()
    assert len(lines) > 1 and max(map(len, lines)) <= 80
    assert " ".join(lines).startswith("After 3 seeds: good: helps enough; ")


def test_more_seeds_train_only_what_is_new_and_not_decided(tmp_path: Path):
    first = play(tmp_path, planned("good", "loud", looks=(3,)), MIXED)
    assert judged(tmp_path).verdicts["loud"].name == "not yet known"
    more = play(tmp_path, planned("good", "loud", looks=(8,)), MIXED)
    assert seeds_of(more, "loud") == seeds_of(more, "baseline") == [3, 4, 5, 6, 7]
    assert seeds_of(more, "good") == [] and not {*first[:-1]} & {*more[:-1]} - {(LOOK, 3)}
    found = judged(tmp_path)
    assert found.decisions["loud"].seeds == 8 and found.decisions["good"].seeds == 3
    assert play(tmp_path, planned("good", "loud", looks=(8,)), MIXED) == []  # nothing is left to do
    assert play(tmp_path, planned("good", "loud", looks=(5,)), MIXED) == []  # fewer are there already


def test_a_variant_that_joins_changes_no_verdict_of_before(tmp_path: Path):
    play(tmp_path, planned("good", "loud"), MIXED)
    before = judged(tmp_path)
    more = play(tmp_path, planned("new", "good", "loud"), hits({"good": 10.0, "new": 3.0}, {"new": 9.0}))
    assert {name for name, _ in more if name not in (LOOK, REPORT)} <= {"new", "baseline"}
    after = judged(tmp_path)
    assert {name: after.decisions[name] for name in before.decisions} == before.decisions
    assert after.plan.compared == ("good", "loud", "new")


def test_however_often_it_is_continued_a_study_spends_less_than_its_error_rate(tmp_path: Path):
    asked = stored = planned("a", "b", looks=(3,))
    for count in range(4, 12):
        stored = continued(stored, planned("a", "b", looks=(count,)), tmp_path)
        spent = sum(1 - look.level for name in stored.compared for look in stored.looks(name))
        assert spent < 1 - asked.level
    joined = continued(stored, planned("a", "b", "c", looks=(3, 5)), tmp_path)
    spent = sum(1 - look.level for name in joined.compared for look in joined.looks(name))
    assert 1 - asked.level > spent > sum(stage.alpha for stage in stored.stages)
    assert joined.rounds[-1] == 11 and joined.looks("c")[0].seeds == 3


def test_another_study_is_not_continued(tmp_path: Path):
    stored = planned("a", "b")
    for other, text in (
        (planned("a"), "variants: a@blocks, b@blocks there|variants: "),
        (planned("a", "b", margin=1.0), "margin: 2.0 there, 1.0 here"),
        (planned("a", "b", seeds=(5, 6, 7), looks=(3,)), "seeds: 0, 1, 2, 3, 4, 5, 6, 7 there, 5, 6, 7 here"),
    ):
        with pytest.raises(StudyError, match=text):
            continued(stored, other, tmp_path)


def test_a_study_of_an_earlier_version_is_opened_as_it_is(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    stored = planned("a", stages=(), seeds=(0, 1, 2))
    assert continued(stored, planned("a"), tmp_path) == stored
    assert "spent its whole error rate on one look after 3 seeds" in caplog.text
    with pytest.raises(StudyError, match="cannot take b in"):
        continued(stored, planned("a", "b"), tmp_path)
    assert [(look.seeds, round(look.level, 6)) for look in stored.looks("a")] == [(3, 0.95)]


def test_a_damaged_look_is_taken_again_and_no_run_is_repeated(tmp_path: Path):
    asked = planned("good", "loud")
    first = play(tmp_path, asked, MIXED)
    with sqlite3.connect(tmp_path / FILE) as db:
        db.execute("UPDATE runs SET record = '{\"going\": 3}' WHERE variant = ?", (LOOK,))
    store = Store(tmp_path)
    assert set(store.repair()) == {key for key in first if key[0] == LOOK}
    again = play(tmp_path, asked, MIXED)
    assert {key[0] for key in again} == {LOOK, REPORT}


def test_work_is_known_up_to_the_next_look():
    asked = planned("a", "b")
    first = rows(asked, {})
    assert [row.key[1] for row in first if row.key[0] == "a"] == [0, 1, 2]
    assert first[-1].key == (LOOK, 3) and set(first[-1].needs) == {row.key for row in first[:-1]}
    second = rows(asked, {3: ["b"]})
    assert {row.key for row in second} - {row.key for row in first} == {
        *((name, seed) for name in ("baseline", "b") for seed in (3, 4)),
        (LOOK, 5),
    }
    assert rows(asked, {3: []})[-1].key == (REPORT, 0)
    places = [row.place for row in rows(asked, {3: ["b"], 5: ["b"]})]
    assert places == sorted(places) and len(set(places)) == len(places)
    assert len([*every_key(asked)]) == 3 * 8 + 2 + 1


def test_how_many_seeds_can_be_asked_for_in_three_ways():
    def looks(**words: Any) -> tuple[int, ...]:
        return Question("resnet8", ["se@blocks"], **words).looks

    assert looks() == looks(seeds="3..8") == (3, 5, 8)
    assert looks(seeds="3..20") == (3, 5, 8, 12, 20)
    assert looks(seeds=" 4 .. 9") == (4, 5, 8, 9)
    assert Question("resnet8", ["se@blocks"], seeds="3..4 from 70").all_seeds == (70, 71, 72, 73)
    listed = Question("resnet8", ["se@blocks"], seeds="0, 3,8")  # as the command line has them
    assert (listed.all_seeds, listed.looks) == ((0, 3, 8), (3,))
    assert Question("resnet8", ["se@blocks"], seeds="5").all_seeds == (0, 1, 2, 3, 4)
    assert looks(seeds=5) == looks(seeds=(4, 7, 1, 0, 9)) == (5,)
    assert looks(race=True) == (2, 3, 4, 5) and looks(race=True, seeds="2..3") == (2, 3)
    for wrong in ("2..8", "8..3", "3..", "three", 0, -1, True, "3..99999", (1, 1), ()):
        with pytest.raises(StudyError, match="seeds: got"):
            looks(seeds=wrong)


def test_a_budget_leaves_out_the_looks_that_do_not_fit():
    asked = planned("a")  # 16 steps of a second, two models a seed
    each = asked.seconds / 8
    assert within_budget(asked, None) == asked
    assert within_budget(asked, 6 * each).rounds == (3, 5) and within_budget(asked, 6 * each).seeds == (
        0,
        1,
        2,
        3,
        4,
    )
    with pytest.raises(StudyError, match=r"the first look, after 3 seeds, takes about .* Allow [0-9]+"):
        within_budget(asked, 2 * each)
    for text, seconds in (("40min", 2400.0), ("2 h", 7200.0), (90.0, 90.0)):
        assert Question("resnet8", ["se@blocks"], budget=text).seconds == seconds
    with pytest.raises(StudyError, match="budget: got 'soon', expected a time"):
        Question("resnet8", ["se@blocks"], budget="soon")


@pytest.mark.parametrize(("looks", "race", "seeds"), [((3, 5), False, 3), ((2, 3, 4), True, 3)])
def test_the_budget_that_a_refusal_names_is_enough_for_a_verdict(looks: tuple[int, ...], race, seeds: int):
    asked = planned("a", looks=looks, race=race)
    with pytest.raises(StudyError) as refused:
        within_budget(asked, 1.0)
    named = re.search(r"Allow (\S+),", str(refused.value))
    assert named is not None
    enough = Question("resnet8", ["se@blocks"], budget=named[1]).seconds
    assert seeds in within_budget(asked, enough).rounds
    assert race == ("can only drop variants; a verdict takes 3 seeds" in str(refused.value))


def test_a_budget_just_too_small_is_not_said_to_be_what_it_takes():
    asked = planned("a")
    need = 3 * asked.seconds / 8
    for short in (0.1, 1.0):
        with pytest.raises(StudyError) as refused:
            within_budget(asked, need - short)
        got, takes = re.findall(r"(?:got|takes about) ((?:[0-9]+ (?:h|min|s) ?)+)", str(refused.value))
        assert got.strip() != takes.strip()


def test_times_that_are_known_are_not_measured_again():
    slow, fast = planned("a", "b"), planned("a", "b", "c")
    known = {v.name: replace(v, step_seconds=9.0, image_seconds=3.0) for v in slow.variants}
    found = {v.name: (v.step_seconds, v.image_seconds) for v in with_times_of(fast, known).variants}
    assert found == {"baseline": (9.0, 3.0), "a": (9.0, 3.0), "b": (9.0, 3.0), "c": (1.0, 0.0)}


def test_a_baseline_that_was_still_improving_is_told():
    def warned(*scores: float | None, **others: Any) -> str:
        asked = planned("a", **others)
        records = {(n, 0): {"history": [{"val_score": s} for s in scores]} for n in ("baseline", "trunk")}
        return still_rising(asked, records, TASK.metric, Terms(margin=asked.margin))

    assert "The baseline was still improving, by 6.0 points" in warned(0.5, 0.8, 0.86)
    assert warned(0.5, 0.8, 0.83) == warned(0.5, 0.9, 0.8) == ""  # the margin is 2 points
    assert warned(0.8) == warned(None, 0.9) == warned() == warned(0.1, 0.9, margin=0.0) == ""
    branch = {"mode": "branch", "branch_epochs": 1}
    assert warned(0.5, 0.9, **branch).startswith("The trunk was")


def test_branches_learn_at_a_rate_of_their_own():
    asked = planned("a", mode="branch", branch_epochs=1, branch_lr=1e-4)
    rates = {run.role: asked.config(run).lr for run in asked.runs}
    assert rates == {"trunk": asked.train.lr, "baseline": 1e-4, "variant": 1e-4}
    with pytest.raises(StudyError, match="branch_lr"):
        Question("resnet8", ["se@blocks"], branch_lr=1e-3)
