"""From a question to a plan: the variants with their controls, what each costs, how long a step takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import torch

from foveate.calls import parse_call
from foveate.compare.build import Builder
from foveate.compare.plan import StudyPlan
from foveate.compare.planned import BASELINE, LOOK, REPORT, TRUNK, Folding, PlannedVariant
from foveate.compare.question import Question
from foveate.compare.step_times import estimated, to_measure
from foveate.cost.count import cost
from foveate.data.feed import Data, Feed
from foveate.data.folds import Folds
from foveate.errors import SpecError, StudyError
from foveate.insert.control import control_spec
from foveate.insert.spec import parse
from foveate.models.names import resolve
from foveate.models.source import sources
from foveate.plugins import loaded_plugins
from foveate.tasks.base import Task, task_with
from foveate.tasks.build_model import base_model
from foveate.train.prepare import Setting, settle
from foveate.train.rehearse import expect_trainable, times

_Call = tuple[str, tuple[tuple[str, object], ...], str]  # a mechanism, its options, and how it is put in
SAME = 0.01  # of a model's cost: the tolerance for two costs to count as equal


def outline(data: Data, question: Question, command: str) -> tuple[StudyPlan, Task]:
    """Return the plan without controls, costs and times, and the task.

    Raises:
        StudyError: The question is impossible.
        DataError: The task needs other data.
        UnknownNameError: There is no such model, task or metric.
    """
    variants = name_variants(question.variants)
    _expect_weights_for(variants, question)
    _expect_another_model(variants, question)
    setting = settle(
        data,
        question.model,
        task=question.task,
        metric=question.metric,
        recipe=question.train,
        epochs=question.epochs,
        size=question.size,
        pretrained=question.with_published_weights,
        weights=question.weights,
    )
    variants = (*variants, *_always_compared(setting.task, question, variants))
    branching, epochs = question.mode == "branch", setting.recipe.epochs
    metric = setting.task.metric
    folds = None if question.folds is None else _folding(type(setting.task).folds(data, question.folds))
    usual_metric = task_with(setting.kind, setting.task.inputs, setting.recipe, None).metric
    if not metric.judges:
        usual = usual_metric.name
        raise StudyError(
            f"metric: a study cannot be judged by the {metric.name}: a model that is merely surer of itself "
            f"scores better or worse by it, though it is right as often. Judge by another, such as {usual}; "
            "fv.score reports this one."
        )
    plan = StudyPlan(
        mode=question.actual_mode,
        model=question.model,
        pretrained=question.with_published_weights,
        weights=None if question.weights is None else str(question.weights),
        data=data.name,
        fingerprint=data.fingerprint,
        origin=data.origin,
        inputs=setting.task.inputs,
        items=dict(data.items),
        task=setting.kind,
        metric=None if metric == usual_metric else question.metric,  # stated or not, it is one study
        variants=variants,
        seeds=question.all_seeds,
        train=setting.recipe,
        branch_epochs=(question.branch_epochs or max(1, epochs // 2)) if branching else 0,
        start=question.start,
        control=question.control,
        margin=float(metric.margin if question.margin is None else question.margin),
        level=float(question.level),
        unit=metric.unit,
        command=command,
        sources=_sources(setting, variants, question),
        threads=torch.get_num_threads(),
        plugins=loaded_plugins(),
        branch_lr=(question.branch_lr or setting.recipe.lr / 3) if branching else None,
        race=question.race,
        folds=folds,
    )
    return plan, setting.task


def _always_compared(
    task: Task, question: Question, variants: Sequence[PlannedVariant]
) -> Iterator[PlannedVariant]:
    """Yield the models that every study of the task has, where the user has not named them.

    A study that starts from the user's weights, or branches off a trained baseline, cannot have them, as they
    are other models.
    """
    if question.mode == "branch" or question.weights is not None:
        return
    known = {question.model, *(v.model for v in variants)}
    for name, model in task.always_compared(question.model).items():
        if model not in known:
            yield PlannedVariant(name, "variant", None, model=model)


def _folding(folds: Folds) -> Folding:
    """Return what a plan holds of the folds of its data."""
    trained = tuple(part.items["train"] for part in folds.parts)
    return Folding(tuple(map(len, folds.items)), trained, folds.drawn)


def name_variants(variants: Sequence[str] | Mapping[str, str]) -> tuple[PlannedVariant, ...]:
    """Return the baseline and the variants: a text with an ``@`` inserts, any other names a model.

    Raises:
        StudyError: A name or a spec comes twice, or a name is taken.
        SpecError, UnknownNameError: A spec cannot be read, or there is no such model.
    """
    pairs = variants.items() if isinstance(variants, Mapping) else [(None, text) for text in variants]
    named = [_variant(name, text) for name, text in pairs]
    for what, words in (("name", [v.name for v in named]), ("spec", [str(v.spec or v.model) for v in named])):
        twice = next((word for word in words if words.count(word) > 1), None)
        if twice is not None:
            raise StudyError(f'the {what} "{twice}" stands for two variants. Leave one out, or change it.')
    own = (BASELINE, TRUNK, REPORT, LOOK)
    taken = next((v.name for v in named if v.name in own or not v.name.strip()), None)
    if taken is not None:
        raise StudyError(f'a variant cannot be called "{taken}", which means something else in a study.')
    return (PlannedVariant(BASELINE, "baseline", None), *named)


def _variant(name: str | None, text: str) -> PlannedVariant:
    if "@" in text or not _names_a_model(text, name):
        spec = str(parse(text))
        return PlannedVariant(name or spec, "variant", spec)
    model = text.strip()
    return PlannedVariant(name or model, "variant", None, model=model)


def _names_a_model(text: str, called: str | None) -> bool:
    """Return whether a text without a site is a model.

    Raises:
        SpecError: It is empty, or the name of a mechanism without its site.
        UnknownNameError: There is no such model.
    """
    from foveate.mechanisms import mechanisms

    if not text.strip():
        named = f' called "{called}"' if called else ""
        raise SpecError(f"a variant{named} is empty. Write what it inserts, such as se@blocks, or a model.")
    name = parse_call(text)[0]
    if name in mechanisms:
        raise SpecError(
            f'cannot read "{text}": {name} is a mechanism, and its site is missing. Write where it goes, '
            f"such as {text.strip()}@blocks; `foveate sites MODEL` lists the sites."
        )
    resolve(text)
    return True


def _expect_another_model(variants: Sequence[PlannedVariant], question: Question) -> None:
    """Raise where a variant is the baseline itself."""
    same = next((v.name for v in variants if v.model is not None and v.model == question.model), None)
    if same is not None:
        raise StudyError(f'the variant "{same}" is the baseline itself. Leave it out, or give it options.')


def _expect_weights_for(variants: Sequence[PlannedVariant], question: Question) -> None:
    """Raise where a variant is another model, which cannot begin with the weights of the study's."""
    other = next((v.name for v in variants if v.model is not None), None)
    if other is None:
        return
    if question.mode == "branch":
        raise StudyError(
            f'mode="branch" continues from the trained baseline, but "{other}" is another model and has '
            'other weights. Compare models with mode="scratch" or "pretrained".'
        )
    if question.weights is not None:
        raise StudyError(
            f'weights={str(question.weights)!r} belong to {question.model}, but "{other}" is another model. '
            "Leave weights out, or write pretrained=True if both have published weights."
        )


def _sources(setting: Setting, variants: Sequence[PlannedVariant], question: Question) -> dict[str, str]:
    """Return the hashes of what the models are made of, the variants' own models too."""
    found = dict(setting.sources)
    for variant in variants:
        if variant.model is not None:
            with torch.random.fork_rng(devices=[]):
                made = base_model(setting.task, variant.model, pretrained=question.with_published_weights)
            setting.task.try_out(variant.model, made)
            found |= {f"{key} of {variant.name}": h for key, h in sources(variant.model, made, None).items()}
    return found


def with_costs(plan: StudyPlan, task: Task) -> StudyPlan:
    """Return the plan with what each variant costs: parameters, MACs of one item, bytes."""
    priced, build = [], Builder(plan, task)
    for variant in plan.variants:
        made = build(variant)
        found = cost(made, task.example_for(made))
        priced.append(replace(variant, parameters=found.parameters, macs=found.macs, bytes=found.bytes))
    return replace(plan, variants=tuple(priced))


def with_controls(plan: StudyPlan, task: Task) -> StudyPlan:
    """Return the plan with controls of equal cost, priced, after the variants.

    With one control, for the largest variant, a smaller variant must beat it only if it costs the same:
    beating a more expensive one would say nothing about attention, and the verdict would call it equal.
    Variants that are other models have no control.
    """
    tried = [v for v in plan.variants if v.role == "variant" and v.spec is not None]
    if plan.control == "none" or not tried:
        return plan
    largest = max(tried, key=lambda v: (v.parameters, v.macs))
    chosen = tried if plan.control == "each" else [largest]
    controls = {v.name: _control(v, tried) for v in chosen}
    unique = {c.spec: c for c in controls.values()}
    priced = with_costs(replace(plan, variants=tuple(unique.values())), task).variants
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
            f'the control "{name}" is among the variants already. Leave it out, or write control="none".'
        )
    return PlannedVariant(name, "control", spec)


def with_times(plan: StudyPlan, task: Task, feeds: Mapping[str, Feed]) -> StudyPlan:
    """Return the plan with the time of a training step and of evaluating an item.

    Models are measured; of the variants that insert something a few are, and the others estimated from these.
    Where none of the measured variants has a mechanism with the same options, one that has it takes a step
    too: sites were checked when the variant was built, and what training rejects besides is the model's or
    the mechanism's.

    Raises:
        FoveateError: What a run of the plan would reject, such as fewer epochs than a model has stages.
    """
    recipe = replace(plan.train, epochs=min(run.epochs for run in plan.runs))
    build, chosen, tried = Builder(plan, task), to_measure(plan.variants), set[_Call]()
    measured: dict[str, PlannedVariant] = {}
    for variant in plan.variants:
        if variant.name in chosen:
            step, item = times(build(variant), task, feeds, recipe)
            measured[variant.name] = replace(variant, step_seconds=step, image_seconds=item)
            tried |= _calls(variant)
    others = [variant for variant in plan.variants if variant.name not in chosen]
    for variant in others:
        if not _calls(variant) <= tried:
            expect_trainable(build(variant), task, feeds, recipe)
            tried |= _calls(variant)
    known = {name: variant for name, variant in measured.items() if variant.model is None}
    for variant in others:
        step, item = estimated(variant, known)
        measured[variant.name] = replace(variant, step_seconds=step, image_seconds=item)
    return replace(plan, variants=tuple(measured[variant.name] for variant in plan.variants))


def _calls(variant: PlannedVariant) -> set[_Call]:
    """Return the mechanisms that a variant inserts, with their options, wherever they sit."""
    terms = parse(variant.spec).terms if variant.spec is not None else ()
    return {(term.mechanism, term.options, term.where) for term in terms}
