"""What is compared at which cost: variants, models, and the control that a variant has to beat, or none."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from foveate.compare import planning
from foveate.compare.build import Builder, build
from foveate.compare.plan import StudyPlan
from foveate.compare.planning import name_variants, with_controls, with_costs, with_times
from foveate.compare.statistics.verdict import not_credited
from foveate.compare.step_times import SAMPLE
from foveate.cost.count import cost
from foveate.data.open import open_data
from foveate.errors import SpecError, StudyError, UnknownNameError
from foveate.mechanisms import mechanisms
from foveate.mechanisms.base import Refine
from foveate.mechanisms.facets import Cost
from foveate.models import create_model
from foveate.models.names import models
from foveate.options import read_record
from foveate.tasks import build_model as making
from foveate.tasks.base import Task, task_with
from tests.compare.study_samples import INPUTS, plan

SPECS = ["non_local@stage1+non_local@stage2+non_local@stage3", "se@stage3", "channel@stage3"]


def task_of(made: StudyPlan) -> Task:
    return task_with(made.task, made.inputs, made.train, made.metric)


def drafted(control: str, variants: list[str] = SPECS) -> StudyPlan:
    inputs = INPUTS | {"classes": ["a", "b", "c"], "size": [32, 32]}
    bare = plan(variants=name_variants(variants), control=control, inputs=inputs)
    return with_controls(with_costs(bare, task_of(bare)), task_of(bare))


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
    read = read_record(StudyPlan, earlier, Path("study.sqlite"), StudyError, "")
    assert read.differences(made) == []


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


def test_a_model_is_compared_at_its_own_cost_and_has_no_control() -> None:
    base, deeper, se, control = drafted("each", ["resnet14", "se@stage3"]).variants
    assert (deeper.role, deeper.model, deeper.spec, deeper.control) == ("variant", "resnet14", None, None)
    assert (se.model, se.control, control.role) == (None, control.name, "control")
    example = torch.zeros(2, 3, 32, 32)
    for variant, name in ((base, "resnet8"), (deeper, "resnet14")):
        found = cost(create_model(name, classes=3), example)
        assert (variant.parameters, variant.macs, variant.bytes) == (
            found.parameters,
            found.macs,
            found.bytes,
        )
    assert [v.role for v in drafted("largest", ["resnet14"]).variants] == ["baseline", "variant"]


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("se", SpecError, r'cannot read "se": se is a mechanism, and its site is missing.*se@blocks'),
        ("se(reduction=4)", SpecError, "cannot read"),
        ("resnet9", UnknownNameError, 'no model is called "resnet9". Nearest: resnet8'),
    ],
)
def test_a_mechanism_without_a_site_is_not_taken_for_a_model(text: str, error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        name_variants([text])


@pytest.fixture
def two_forms(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model whose option adds a layer, which draws numbers before the layers that both forms have."""
    monkeypatch.setattr(models, "_entries", dict(models._entries))

    @models.register("two_forms")
    def two_forms(*, classes: int, added: bool = False, width: int = 4) -> nn.Module:
        layers = OrderedDict({"added": nn.Conv2d(3, 3, 1)} if added else {})
        layers |= {"stem": nn.Conv2d(3, width, 3), "pool": nn.AdaptiveAvgPool2d(1), "flat": nn.Flatten()}
        return nn.Sequential(OrderedDict(layers | {"head": nn.Linear(width, classes)}))


def test_forms_of_one_model_share_first_weights_where_name_and_shape_agree(two_forms: None) -> None:
    names = ["two_forms(added=True)", "two_forms(width=5)"]
    made = plan(model="two_forms", variants=name_variants(names))
    base, added, wider = (build(made, task_of(made), v, 1).state_dict() for v in made.variants)
    assert base.keys() < added.keys()
    assert all(torch.equal(added[name], value) for name, value in base.items())
    assert [name for name in base if wider[name].shape == base[name].shape] == ["head.bias"]
    assert torch.equal(wider["head.bias"], base["head.bias"])
    tuned = plan(model="two_forms", variants=made.variants, mode="pretrained")
    begun = build(tuned, task_of(tuned), tuned.variants[1], 1).state_dict()
    assert not any(torch.equal(begun[name], value) for name, value in base.items())


MANY = [
    f"{name}@{site}"
    for name in ("se", "eca", "cbam", "gc", "simam")
    for site in ("stage1", "stage2", "stage3", "blocks")
]


def counted(monkeypatch: pytest.MonkeyPatch, place: Any, name: str, seen: Counter[str]) -> None:
    """Count the calls of a function."""
    function: Callable[..., Any] = getattr(place, name)

    def call(*args: Any, **kwargs: Any) -> Any:
        seen[name] += 1
        return function(*args, **kwargs)

    monkeypatch.setattr(place, name, call)


@pytest.mark.slow
def test_many_variants_are_inserted_once_each_into_a_model_that_is_made_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: Counter[str] = Counter()
    for name in ("create_model", "insert"):
        counted(monkeypatch, making, name, seen)
    drafted("none", MANY)
    assert seen == {"create_model": 2, "insert": len(MANY)}  # the other is the baseline
    drafted("each", MANY[:4])
    assert seen == {"create_model": 5, "insert": len(MANY) + 8}


@pytest.mark.parametrize("start", ["identity", "paper"])
@pytest.mark.parametrize("spec", [*SPECS, "csra@output", "cbam_pool@pool+se@before:blocks", None])
def test_a_builder_makes_what_a_build_of_its_own_makes(spec: str | None, start: str) -> None:
    made = plan(start=start, seeds=(7,), variants=name_variants(["eca@stage1", *([spec] if spec else [])]))
    task = task_of(made)
    make = Builder(made, task)
    with torch.no_grad():
        for parameter in make(made.variants[0]).parameters():
            parameter.zero_()  # of one variant, which shares no weights with another
    ours, full = make(made.variants[-1]), build(made, task, made.variants[-1], 7)
    assert cost(ours, task.example()) == cost(full, task.example())
    state, expected = ours.state_dict(), full.state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], value) for name, value in expected.items())


def timed(monkeypatch: pytest.MonkeyPatch, variants: list[str]) -> tuple[StudyPlan, Counter[str]]:
    """Return a plan with times that are not measured, and how often what was called."""
    opened = open_data("scenes(train=8, val=0, test=4, classes=3, size=32)")
    made = drafted("none", variants)
    seen: Counter[str] = Counter()
    steps = iter(range(1, 100))
    monkeypatch.setattr(planning, "times", lambda *_: (float(next(steps)), 0.5))
    for name in ("times", "expect_trainable"):
        counted(monkeypatch, planning, name, seen)
    task = task_of(made)
    return with_times(made, task, task.feeds(opened)), seen


@pytest.mark.slow
def test_a_few_variants_are_timed_and_one_of_every_other_mechanism_takes_a_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, seen = timed(monkeypatch, MANY)
    assert seen["times"] == 1 + SAMPLE
    whole = sorted(made.variants, key=lambda v: (v.macs, v.parameters))
    measured = [v for v in whole if v.step_seconds % 1 == 0]
    assert whole[-1] in measured
    for below, above in pairwise(measured):
        between = whole[whole.index(below) : whole.index(above) + 1]
        low, high = sorted((below.step_seconds, above.step_seconds))
        assert all(low <= v.step_seconds <= high for v in between)
    assert {v.image_seconds for v in made.variants} == {0.5}
    assert [v.name for v in made.variants] == ["baseline", *MANY]
    names = {name.partition("@")[0] for name in MANY}
    assert seen["expect_trainable"] == len(names - {v.name.partition("@")[0] for v in measured})


class Untrainable(Refine):
    """Runs, but not in training."""

    facets = mechanisms["se"].facets

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.conv = nn.Conv2d(channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            raise RuntimeError("not in training")
        return x + self.conv(x)

    def cost(self, height: int, width: int) -> Cost:
        parameters = self.channels * (self.channels + 1)
        return Cost(parameters, self.channels**2 * height * width, 4 * parameters)


@pytest.mark.slow
def test_a_mechanism_that_cannot_be_trained_is_told_though_its_time_is_not_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mechanisms, "_entries", dict(mechanisms._entries))
    mechanisms.register("untrainable")(Untrainable)
    with pytest.raises(RuntimeError, match="not in training"):
        timed(monkeypatch, [*MANY, "untrainable@stage2", "non_local@stage1"])
