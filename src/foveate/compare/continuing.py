"""A study in a folder and a new call there: the same study, the same with more seeds or variants, or another.

More seeds and more variants are legitimate after the results are known, because each stage of looks has its
own share of the error rate (``statistics.spending``). So a continued study gives false verdicts as rarely as
one that was not.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from foveate.compare.plan import StudyPlan
from foveate.compare.planned import PlannedVariant, Stage
from foveate.compare.statistics.spending import for_continuation
from foveate.errors import StudyError

_log = logging.getLogger("foveate")


def continued(stored: StudyPlan, asked: StudyPlan, folder: Path) -> StudyPlan:
    """Return the plan that the folder's study has after this call: the stored one, or one with more in it.

    Args:
        stored: As the study was begun, and perhaps continued.
        asked: As the call describes it.
        folder: The study's folder, for messages.

    Raises:
        StudyError: The folder holds another study, or one that cannot be continued.
    """
    known = {v.name for v in stored.variants}
    more = tuple(v for v in asked.variants if v.name not in known)
    different = stored.differences(replace(asked, variants=_shared(stored, asked)))
    if _tried(stored) - _tried(asked):
        different = [line for line in different if not line.startswith("variants: ")]
        different.append(f"variants: {_names(stored)} there, {_names(asked)} here; they can only be added to")
    if not _prefix(stored.seeds, asked.seeds) and not _prefix(asked.seeds, stored.seeds):
        different.append(f"seeds: {_listed(stored)} there, {_listed(asked)} here")
    if different:
        listed = "\n  ".join(different)
        raise StudyError(
            f"{folder} holds another study, so this one cannot continue there:\n  {listed}\n"
            "Choose another folder, or repeat the call with the same arguments as before."
        )
    longer = len(asked.seeds) > len(stored.seeds)
    if not longer and not more:
        return stored
    if not stored.stages and more:
        raise StudyError(
            f"{folder} holds a study of an earlier version, which spent its whole error rate on one look. It "
            f"cannot take {more[0].name} in: choose another folder, or repeat the call as before to open it."
        )
    if not stored.stages:
        _log.warning(
            "%s: a study of an earlier version, which spent its whole error rate on one look after %d seeds. "
            "It stays at those: choose another folder for more seeds.",
            folder,
            len(stored.seeds),
        )
        return stored
    return _with_stages(stored, asked, more, longer=longer)


def _with_stages(
    stored: StudyPlan, asked: StudyPlan, more: tuple[PlannedVariant, ...], *, longer: bool
) -> StudyPlan:
    """Return the stored plan with a stage for more seeds, one for more variants, or both."""
    stages = list(stored.stages)
    whole = 1 - stored.level
    last = stored.rounds[-1]
    if longer:
        looks = tuple(seeds for seeds in asked.rounds if seeds > last)
        stages.append(Stage(looks, for_continuation(whole, len(stages)), stored.compared))
    if more:
        names = tuple(v.name for v in more)
        stages.append(Stage(asked.rounds, for_continuation(whole, len(stages)), names))
    return replace(
        stored,
        seeds=max(stored.seeds, asked.seeds, key=len),
        variants=(*stored.variants, *more),
        stages=tuple(stages),
        command=asked.command,
    )


def _tried(plan: StudyPlan) -> set[str]:
    return {v.name for v in plan.variants if v.role == "variant"}


def _names(plan: StudyPlan) -> str:
    return ", ".join(v.name for v in plan.variants if v.role == "variant")


def _shared(stored: StudyPlan, asked: StudyPlan) -> tuple[PlannedVariant, ...]:
    """Return the asked plan's variants that the stored one has, in its order.

    Stored controls that the call would choose otherwise now, as a larger variant was added, stay.
    """
    wanted = {v.name: v for v in asked.variants}
    return tuple(wanted.get(v.name, v) for v in stored.variants if v.name in wanted or v.role == "control")


def _prefix(short: tuple[int, ...], long: tuple[int, ...]) -> bool:
    return short == long[: len(short)]


def _listed(plan: StudyPlan) -> str:
    return ", ".join(map(str, plan.seeds))
