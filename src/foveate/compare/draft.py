"""From a question to a plan: the variants with their controls, what each costs, and how long a step takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import median

from torch import nn

from foveate.compare.build import build, example
from foveate.compare.materials import Materials
from foveate.compare.plan import BASELINE, REPORT, TRUNK, PlannedVariant, StudyPlan
from foveate.cost.count import cost
from foveate.errors import StudyError
from foveate.insert.control import control_spec
from foveate.insert.spec import parse
from foveate.models.normalisation import Triple
from foveate.recipe import TrainConfig
from foveate.train.loop import rehearse

CONTROLS = ("largest", "each", "none")
SAME = 0.01  # of a model's cost: what two that are said to cost the same may differ by
TIMED = 3  # steps; one more goes before them, which pays for what the first step sets up


def name_variants(variants: Sequence[str] | Mapping[str, str]) -> tuple[PlannedVariant, ...]:
    """Return the baseline and the variants, by their specs or by the names that a mapping gives them.

    Raises:
        StudyError: A name or a spec comes twice, or a name is taken.
        SpecError: A spec cannot be read.
    """
    pairs = (
        list(variants.items()) if isinstance(variants, Mapping) else [(str(parse(s)), s) for s in variants]
    )
    named = [PlannedVariant(name, "variant", str(parse(spec))) for name, spec in pairs]
    for what, words in (("name", [v.name for v in named]), ("spec", [str(v.spec) for v in named])):
        twice = next((word for word in words if words.count(word) > 1), None)
        if twice is not None:
            raise StudyError(f'the {what} "{twice}" stands for two variants. Leave one out, or change it.')
    taken = next((v.name for v in named if v.name in (BASELINE, TRUNK, REPORT) or not v.name.strip()), None)
    if taken is not None:
        raise StudyError(f'a variant cannot be called "{taken}", which means something else in a study.')
    return (PlannedVariant(BASELINE, "baseline", None), *named)


def with_costs(plan: StudyPlan) -> StudyPlan:
    """Return the plan with what each variant costs: parameters, MACs of one image, bytes."""
    priced = []
    for variant in plan.variants:
        found = cost(build(plan, variant.spec, plan.seeds[0]), example(plan.size))
        priced.append(replace(variant, parameters=found.parameters, macs=found.macs, bytes=found.bytes))
    return replace(plan, variants=tuple(priced))


def with_controls(plan: StudyPlan) -> StudyPlan:
    """Return the plan with controls of equal cost, priced, behind the variants that they stand for.

    With one control, for the largest variant, a smaller variant has it to beat only if it costs as much:
    beating a dearer one would say nothing about attention, and the verdict would call it equal.

    Raises:
        StudyError: ``plan.control`` is none of ``CONTROLS``.
    """
    if plan.control not in CONTROLS:
        raise StudyError(f"control: got {plan.control!r}, expected one of {', '.join(CONTROLS)}")
    tried = [v for v in plan.variants if v.role == "variant"]
    if plan.control == "none" or not tried:
        return plan
    largest = max(tried, key=lambda v: (v.parameters, v.macs))
    chosen = tried if plan.control == "each" else [largest]
    controls = {v.name: _control(v, tried) for v in chosen}
    unique = {c.spec: c for c in controls.values()}
    priced = with_costs(replace(plan, variants=tuple(unique.values()))).variants
    alike = {v.name: next((c.name for c in priced if _costs_the_same(v, c)), None) for v in tried}
    own = alike | {name: unique[control.spec].name for name, control in controls.items()}
    linked = [replace(v, control=own[v.name]) if v.name in own else v for v in plan.variants]
    return replace(plan, variants=(*linked, *priced))


def _costs_the_same(variant: PlannedVariant, control: PlannedVariant) -> bool:
    """Return whether two models have nearly as many parameters and multiply-adds."""
    pairs = (variant.parameters, control.parameters), (variant.macs, control.macs)
    return all(abs(a - b) <= SAME * max(a, b) for a, b in pairs)


def _control(variant: PlannedVariant, tried: Sequence[PlannedVariant]) -> PlannedVariant:
    """Return the control of a variant; it is called by its spec, or by the variant's own name."""
    spec = str(control_spec(parse(str(variant.spec))))
    name = spec if variant.name == variant.spec else f"control of {variant.name}"
    if any(v.name == name or v.spec == spec for v in tried):
        raise StudyError(
            f'the control "{name}" is among the variants already. Leave it out, or say control="none".'
        )
    return PlannedVariant(name, "control", spec)


def with_times(plan: StudyPlan, materials: Materials) -> StudyPlan:
    """Return the plan with the time of a training step and of evaluating an image, measured on a few.

    Raises:
        FoveateError: What a run of the plan would refuse, such as fewer epochs than a model has stages.
    """
    timed = []
    lengths = {run.variant: run.epochs for run in plan.runs}
    for variant in plan.variants:
        config = replace(plan.train, epochs=min(lengths[variant.name], plan.train.epochs))
        step, image = times(build(plan, variant.spec, plan.seeds[0]), config, plan.normalisation, materials)
        timed.append(replace(variant, step_seconds=step, image_seconds=image))
    return replace(plan, variants=tuple(timed))


def times(
    model: nn.Module, config: TrainConfig, normalisation: tuple[Triple, Triple], materials: Materials
) -> tuple[float, float]:
    """Return seconds a step and seconds an evaluated image, from a few real steps of training."""
    mean, std = normalisation
    spans = rehearse(model, materials.task, materials.splits, config, TIMED + 1, mean=mean, std=std)
    # A step is about three forward passes; evaluation is one of them, without a graph.
    return median(spans[1:]), median(spans[1:]) / (3 * config.batch_size * config.accumulate)
