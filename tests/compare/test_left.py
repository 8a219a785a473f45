"""What a dry run says of a folder that holds a study: the command's refusal, or what is left to train."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from foveate.compare import left
from foveate.compare.execute import Opened
from foveate.compare.left import with_what_is_left
from foveate.compare.plan import StudyPlan
from foveate.compare.store import FILE, Store
from foveate.errors import StudyError
from foveate.train.result import MARKER
from tests.compare.test_looks_of_a_study import MIXED, TASK, TEST, planned, play


def ahead(folder: Path, asked: StudyPlan) -> StudyPlan:
    """Return the plan of a dry run in a folder."""
    found, begun = Store.ahead(folder, asked, lambda _: asked)
    if not begun:
        return found
    opened: Any = Opened(found, None, TASK, {"test": TEST}, ())  # type: ignore[arg-type]
    sound = mock.patch.object(left, "is_complete", lambda *_: True)
    known = mock.patch.object(left, "is_record", lambda *_: True)
    with sound, known:
        return with_what_is_left(opened, folder)


def of_runs(plan: StudyPlan) -> set[tuple[str, int]]:
    return {run.key for run in plan.left}


def test_a_folder_without_a_study_has_all_to_do_and_stays_empty(tmp_path: Path):
    asked = planned("good", "loud")
    assert ahead(tmp_path / "none", asked) == asked and len(asked.left) == len(asked.runs)
    assert not (tmp_path / "none").exists()


def test_what_the_command_refuses_the_dry_run_refuses_in_the_same_words(tmp_path: Path):
    play(tmp_path, planned("good", "loud"), MIXED)
    other = planned("good", "loud", margin=1.0)
    with pytest.raises(StudyError) as real:
        Store.open(tmp_path, other)
    with pytest.raises(StudyError, match=re.escape(str(real.value))):
        ahead(tmp_path, other)
    (tmp_path / "trained").mkdir()
    (tmp_path / "trained" / MARKER).write_text("{}")
    with pytest.raises(StudyError, match="holds a training of one model"):
        ahead(tmp_path / "trained", other)


@pytest.mark.parametrize(
    "asked",
    [
        planned("good", "loud", looks=(3,)),
        planned("good", "loud", looks=(8,)),
        planned("good", "loud", "new", looks=(3,)),
    ],
)
def test_what_is_said_to_be_left_is_what_the_command_trains(asked: StudyPlan, tmp_path: Path):
    play(tmp_path, planned("good", "loud", looks=(3,)), MIXED)
    stored = (tmp_path / FILE).read_bytes()
    told = ahead(tmp_path, asked)
    assert (tmp_path / FILE).read_bytes() == stored
    made = play(tmp_path, asked, MIXED)
    assert of_runs(told) == {key for key in made if key[0] not in ("look", "report")}
    assert len(told.done) == 9


def test_the_plan_counts_and_times_what_is_left(tmp_path: Path):
    play(tmp_path, planned("good", "loud", looks=(3,)), MIXED)
    joined = ahead(tmp_path, planned("good", "loud", "new", looks=(3,)))
    said = " ".join(str(joined).split())
    assert "9 of 12 runs are done. About 36 s for the others" in said  # three runs of 12 steps of a second
    again = " ".join(str(ahead(tmp_path, planned("good", "loud", looks=(3,)))).split())
    assert "All 9 runs are done: the command trains nothing" in again


def test_a_lost_run_is_left_again(tmp_path: Path):
    play(tmp_path, planned("good", "loud", looks=(3,)), MIXED)
    asked = planned("good", "loud", looks=(3,))
    store = Store(tmp_path)
    store.reopen(("loud", 1))
    assert of_runs(ahead(tmp_path, asked)) == {("loud", 1)}
