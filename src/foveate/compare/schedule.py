"""When a study looks at its results, and what fits in a budget of time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from foveate.compare.plan import StudyPlan
from foveate.compare.planned import PlannedVariant, Stage
from foveate.compare.question import Question
from foveate.compare.statistics.spending import for_plan
from foveate.errors import StudyError
from foveate.quantities import duration


def with_times_of(plan: StudyPlan, known: Mapping[str, PlannedVariant]) -> StudyPlan:
    """Return the plan with the times of variants that were measured before, by name."""
    times = ("step_seconds", "image_seconds")
    found = [
        replace(v, **{name: getattr(known[v.name], name) for name in times}) if v.name in known else v
        for v in plan.variants
    ]
    return replace(plan, variants=tuple(found))


def with_looks(plan: StudyPlan, question: Question) -> StudyPlan:
    """Return the plan, its controls chosen, with the looks that the question asks for."""
    return replace(plan, stages=(Stage(question.looks, for_plan(1 - plan.level), plan.compared),))


def within_budget(plan: StudyPlan, seconds: float | None) -> StudyPlan:
    """Return the plan with as many of its looks as fit in a time, as measured on one run after the other.

    Raises:
        StudyError: Not even the first look fits.
    """
    if seconds is None:
        return plan
    (stage,) = plan.stages
    each = plan.seconds / len(plan.seeds)
    fitting = tuple(seeds for seeds in stage.looks if each * seeds <= seconds)
    if not fitting:
        first = stage.looks[0]
        raise StudyError(
            f"budget: got {duration(seconds)}, but the first verdicts take {first} seeds, about "
            f"{duration(each * first)}. Allow more time, train for fewer epochs, or leave out variants."
        )
    return replace(plan, seeds=plan.seeds[: fitting[-1]], stages=(replace(stage, looks=fitting),))
