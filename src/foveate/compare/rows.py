"""The work of a study in the order in which it is done: runs, looks in between, and the report at the end."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from foveate.compare.plan import StudyPlan
from foveate.compare.planned import BASELINE, LOOK, REPORT, TRUNK, Key


@dataclass(frozen=True)
class Row:
    """A piece of work.

    Args:
        key: What ``execute`` takes: a run, ``("look", seeds)`` or ``("report", 0)``.
        place: Its number among all that there may be.
        needs: Keys of what has to be done before.
    """

    key: Key
    place: int
    needs: tuple[Key, ...] = ()


def rows(plan: StudyPlan, going: Mapping[int, Collection[str]]) -> list[Row]:
    """Return the work that is known by now: up to the first look that has not been taken.

    Args:
        plan: The study's.
        going: For each look that was taken, by its number of seeds, the variants that go on.
    """
    places = {key: place for place, key in enumerate(every_key(plan))}
    found: list[Row] = []
    wanted: Collection[str] = plan.compared
    for after, before in zip(plan.rounds, (0, *plan.rounds), strict=False):
        new = plan.seeds[before:after]
        for run in plan.runs:
            if run.seed in new and (run.variant in (BASELINE, TRUNK) or run.variant in wanted):
                found.append(Row(run.key, places[run.key], (run.needs,) if run.needs else ()))
        if after == plan.rounds[-1]:
            break
        look = (LOOK, after)
        found.append(Row(look, places[look], tuple(row.key for row in found)))
        if after not in going:
            return found
        wanted = going[after]
        if not wanted:
            break
    return [*found, Row((REPORT, 0), places[REPORT, 0], tuple(row.key for row in found))]


def every_key(plan: StudyPlan) -> Iterator[Key]:
    """Yield every piece of work that there may be, in order."""
    for after, before in zip(plan.rounds, (0, *plan.rounds), strict=False):
        new = plan.seeds[before:after]
        yield from (run.key for run in plan.runs if run.seed in new)
        if after < plan.rounds[-1]:
            yield LOOK, after
    yield REPORT, 0
