"""When a study looks at its results, and what fits in a budget of time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from foveate.compare.plan import StudyPlan
from foveate.compare.planned import PlannedVariant, Stage
from foveate.compare.question import Question
from foveate.compare.statistics.power import LEAST_SEEDS
from foveate.compare.statistics.spending import for_plan
from foveate.errors import StudyError
from foveate.quantities import ample, precise


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


def _first(plan: StudyPlan, stage: Stage, each: float) -> str:
    """Say how long the first look takes, and the first verdicts, and advise a budget for these."""
    first = stage.looks[0]
    judged = next((seeds for seeds in stage.looks if seeds >= LEAST_SEEDS), first)
    text = f"the first look, after {first} seeds, takes about {precise(each * first, up=True)}"
    if plan.race and first < LEAST_SEEDS <= judged:
        time = precise(each * judged, up=True)
        text += f" and can only drop variants; a verdict takes {judged} seeds, about {time}"
    return f"{text}. Allow {ample(each * judged)}"


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
        raise StudyError(
            f"budget: got {precise(seconds)}, but {_first(plan, stage, each)}, train for fewer epochs, or "
            "leave out variants."
        )
    return replace(plan, seeds=plan.seeds[: fitting[-1]], stages=(replace(stage, looks=fitting),))
