from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from foveate.compare.plan import StudyPlan
from foveate.errors import StudyError
from foveate.options import read_record
from foveate.recipe import TrainConfig
from foveate.typed import fitted
from tests.compare.study_samples import INPUTS, plan


def test_every_run_has_the_same_budget_whatever_its_variant():
    runs = plan().runs
    assert [run.key for run in runs] == [
        *(("baseline", 0), ("se@stage3", 0)),
        *(("baseline", 1), ("se@stage3", 1)),
    ]
    assert {run.steps for run in runs} == {4 * 3}  # 100 images in batches of 32: three, the rest left out
    assert runs[0].seconds == pytest.approx(12 * 0.5 + (4 * 10 + 20) * 0.01)
    assert plan().seconds == pytest.approx(sum(run.seconds for run in runs))


def test_branches_follow_their_trunk_and_see_other_orders():
    branching = plan(mode="branch", branch_epochs=2)
    runs = branching.runs
    assert [run.key for run in runs[:3]] == [("trunk", 0), ("baseline", 0), ("se@stage3", 0)]
    assert [run.epochs for run in runs[:3]] == [4, 2, 2]
    assert runs[0].needs is None and {run.needs for run in runs[1:3]} == {("trunk", 0)}
    configs = [branching.config(run) for run in runs]
    assert configs[1] == configs[2] and configs[0].seed == 0 and configs[1].seed not in (0, 1)
    assert len({config.seed for config in configs}) == 4  # two trunks, two sets of branches


def test_a_plan_survives_json():
    assert fitted(json.loads(json.dumps(plan().to_dict())), StudyPlan) == plan()


def test_only_weights_known_to_be_new_are_called_so():
    assert "from scratch" in str(plan(model="resnet8"))
    assert "from the weights it returns" in str(plan(model="package.module:function"))


def test_no_line_is_wider_than_80():
    wide = plan(model="package.module:function" * 5, data="x" * 60, mode="branch", branch_epochs=2)
    wide = replace(
        wide, variants=(*wide.variants, replace(wide.variants[1], name="cbam(reduction=8)@blocks" * 4))
    )
    assert max(map(len, str(wide).splitlines())) <= 80
    assert "se@stage3" in str(wide) and "9 runs" not in str(wide) and "8 runs" in str(wide)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"margin": 1.0}, "margin: 0.5 there, 1.0 here"),
        ({"fingerprint": "g"}, "data: its images, labels or splits have changed"),
        ({"train": TrainConfig(epochs=4, batch_size=32, lr=0.1)}, "train.lr: 0.001 there, 0.1 here"),
        ({"variants": plan().variants[:1]}, "variants: baseline, se@stage3 there, baseline here"),
    ],
)
def test_what_differs_is_named(change: dict, words: str):
    assert plan().differences(plan(**change)) == [words]
    assert plan().digest() != plan(**change).digest()


def test_measured_times_and_wording_do_not_make_another_study():
    slower = replace(
        plan(), variants=tuple(replace(v, step_seconds=9.0) for v in plan().variants), command="other"
    )
    assert plan().differences(slower) == [] and plan().digest() == slower.digest()


def test_an_unknown_variant_is_answered_with_the_nearest():
    with pytest.raises(StudyError, match=r'no variant is called "se@stage4". Nearest: se@stage3'):
        plan().variant("se@stage4")


def test_a_plan_tells_what_the_check_of_the_data_warns_of_and_stays_the_same_study():
    warned = plan(warnings=("3 images occur in two splits, " + "which is long " * 9 + ". Remove them.",))
    lines = str(warned).splitlines()
    assert any(line.startswith("Warning: 3 images occur in two splits") for line in lines)
    assert lines[-1].endswith("foveate check DATA") and max(map(len, lines)) <= 80
    assert warned.digest() == plan().digest() and warned.differences(plan()) == []
    assert "Warning" not in str(plan())


def test_a_plan_of_an_older_version_is_read_and_stays_the_same_study():
    new = plan(sources={"weights": "1"}, threads=2)
    plain = new.to_dict()
    older = {key: value for key, value in plain.items() if key not in ("sources", "threads")}
    old = read_record(StudyPlan, older, Path("study.sqlite"), StudyError, "")
    assert old.sources == {} and old.threads is None
    assert old.differences(new) == [] and plan(threads=3).digest() == plan().digest()
    assert plan(sources={"weights": "2"}).differences(new) == ["weights: the file at this path has changed"]


def stored_by_an_older_version(new: StudyPlan) -> dict:
    """Return a plan as the versions wrote it that kept the inputs of images apart and knew no plug-ins."""
    plain = new.to_dict()
    for name in ("plugins", "stages", "branch_lr", "race", "foreseen"):
        del plain[name]
    for variant in plain["variants"]:
        del variant["model"]
    return plain | plain.pop("inputs")


@pytest.mark.parametrize("sources", [{}, {"weights": "1"}])
def test_a_plan_with_the_inputs_of_images_apart_is_the_same_study_with_the_same_folder(sources: dict):
    new = plan(sources=sources)
    older = stored_by_an_older_version(new)
    assert {"classes", "size", "normalisation"} < older.keys()
    old = read_record(StudyPlan, StudyPlan.upgraded(older), Path("study.sqlite"), StudyError, "")
    assert old == new and old.inputs == INPUTS
    assert StudyPlan.upgraded(new.to_dict()) == new.to_dict()
    assert new.digest() == old.digest()


def test_what_is_stored_of_an_older_plan_is_missed_where_it_is_missing():
    older = stored_by_an_older_version(plan())
    for name in ("classes", "size", "normalisation"):
        del older[name]
    with pytest.raises(StudyError, match="inputs is nothing"):
        read_record(StudyPlan, StudyPlan.upgraded(older), Path("study.sqlite"), StudyError, "")
