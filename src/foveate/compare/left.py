"""What the study in a folder has done, and what the same command would not train: for its plan."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from foveate.compare.execute import Opened
from foveate.compare.judgement import Judgement, kept_runs, stacked
from foveate.compare.plan import StudyPlan
from foveate.compare.planned import BASELINE, TRUNK, Key
from foveate.compare.run import is_record
from foveate.compare.run_files import is_complete
from foveate.compare.store import Store
from foveate.errors import StudyError


def with_what_is_left(study: Opened, folder: Path) -> StudyPlan:
    """Return the study's plan, with the runs that are done and those that its looks leave out.

    Looks are judged again on the answers of finished runs, as a study that is continued does it. Nothing is
    written.

    Args:
        study: As it would go on in the folder.
        folder: Where its runs are.
    """
    plan, records = study.plan, Store(folder).records()
    done = tuple(
        run.key
        for run in plan.runs
        if run.key in records and is_record(run, records[run.key]) and is_complete(folder, run)
    )
    return replace(plan, done=done, spared=_spared(study, folder, frozenset(done)))


def _spared(study: Opened, folder: Path, done: Collection[Key]) -> tuple[Key, ...]:
    """Return the runs that are not done and not needed, as their variants have stopped."""
    plan, spared = study.plan, list[Key]()
    going: Collection[str] = plan.compared
    for after, before in zip(plan.rounds, (0, *plan.rounds), strict=False):
        new = [run.key for run in plan.runs if run.seed in plan.seeds[before:after]]
        wanted = (*going, BASELINE, TRUNK) if going else ()
        spared += [key for key in new if key not in done and key[0] not in wanted]
        if going and after < plan.rounds[-1]:
            going = _going(study, folder, done, after, going)
    return tuple(spared)


def _going(
    study: Opened, folder: Path, done: Collection[Key], after: int, wanted: Collection[str]
) -> Collection[str]:
    """Return the variants and controls that go on after a look; all whose runs are not done do."""
    plan, seeds = study.plan, study.plan.seeds[:after]

    def is_there(name: str) -> bool:
        return all((name, seed) in done for seed in (seeds if name in (*wanted, BASELINE) else seeds[:1]))

    def is_judged(name: str) -> bool:
        return is_there(name) and is_there(plan.variant(name).control or BASELINE)

    judged = [v for v in plan.variants if v.name == BASELINE or is_judged(v.name)]
    open_ = {name for name in wanted if not is_judged(name)}
    open_ |= {control for name in open_ if (control := plan.variant(name).control) is not None}
    if len(judged) < 2 or not is_there(BASELINE):
        return wanted
    part = replace(plan, variants=tuple(judged))
    try:
        runs = kept_runs(part, folder, done, after)
    except StudyError:  # they are damaged, and will be made again
        return wanted
    found = Judgement(part, study.task, study.feeds["test"], stacked(runs)).going(after)
    return [name for name in plan.compared if name in open_ or name in found]
