"""Which control a variant has to beat: one that costs as much, or none."""

from __future__ import annotations

from pathlib import Path

import pytest
from foveate.compare.draft import name_variants, with_controls, with_costs

from foveate.compare.plan import StudyPlan
from foveate.compare.statistics.verdict import not_credited
from foveate.errors import StudyError
from foveate.options import read_record
from tests.compare.study_samples import plan

SPECS = ["non_local@stage1+non_local@stage2+non_local@stage3", "se@stage3", "channel@stage3"]


def drafted(control: str, specs: list[str] = SPECS) -> StudyPlan:
    classes = ("a", "b", "c")
    return with_controls(
        with_costs(plan(variants=name_variants(specs), control=control, classes=classes, size=(32, 32)))
    )


def test_a_variant_has_to_beat_a_control_of_its_own_cost_alone() -> None:
    made = drafted("largest")
    control = made.variants[-1]
    assert control.role == "control"
    by_name = {v.name: v for v in made.variants}
    assert by_name[SPECS[0]].control == control.name
    base = made.variants[0].parameters
    assert control.parameters - base == pytest.approx(by_name[SPECS[0]].parameters - base, rel=0.05)
    for name in SPECS[1:]:
        assert control.parameters > 1.05 * by_name[name].parameters
        assert by_name[name].control is None
        assert "each" in not_credited(name) and name in not_credited(name)


def test_each_gives_every_variant_its_own() -> None:
    made = drafted("each")
    by_name = {v.name: v for v in made.variants}
    for name in SPECS:
        control = by_name[by_name[name].control]
        assert control.spec == "+".join(f"control(like={part.replace('@', ')@')}" for part in name.split("+"))
        assert control.parameters == pytest.approx(by_name[name].parameters, rel=0.01)
        assert control.macs == pytest.approx(by_name[name].macs, rel=0.05)


def test_variants_that_cost_the_same_share_a_control() -> None:
    made = drafted("largest", ["se@stage3", "se(bias=False)@stage3"])
    assert len({v.control for v in made.variants if v.role == "variant"}) == 1


def test_which_control_it_is_makes_no_other_study() -> None:
    """Folders of versions that gave every variant the one control there was go on."""
    made = drafted("largest")
    control = made.variants[-1].name
    earlier = made.to_dict()
    for variant in earlier["variants"]:
        variant["control"] = control if variant["role"] == "variant" else None
    assert read_record(StudyPlan, earlier, Path("study.sqlite"), StudyError, "").differences(made) == []


@pytest.mark.parametrize(
    "spec",
    [
        "query2label(width=32)@output",
        "gsop(width=16)@stage3",
        "lambda_layer(width=8)@stage3",
        "mobilevit(width=32)@stage3",
        "feature_pyramid(width=8)@stage3",
    ],
)
def test_an_option_called_width_is_the_mechanisms(spec: str) -> None:
    made = drafted("largest", [spec])
    base, variant, control = made.variants
    assert control.parameters - base.parameters == pytest.approx(
        variant.parameters - base.parameters, rel=0.05, abs=130
    )
