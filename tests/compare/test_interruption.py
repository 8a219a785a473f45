"""Studies that are killed, shared or run out of disk come to the same end as undisturbed ones."""

from __future__ import annotations

import json
import multiprocessing
import signal
import sqlite3
import time
from pathlib import Path

import pytest

from foveate.compare.study import compare
from foveate.errors import FoveateError
from foveate.train.progress import Silent
from tests.child_processes import child_processes
from tests.compare.study_samples import done, make_in_a_child, words
from tests.full_disk import no_file_beyond

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("brief")]

RUNS = 9  # three variants, three seeds


class Heard(Silent):
    """Keeps the names of the runs that begin, and calls a function as each begins."""

    def __init__(self) -> None:
        self.runs: list[str] = []

    def begin(self, name: str, steps: int, done: int = 0) -> None:
        self.runs.append(name)


def start(out: Path) -> multiprocessing.process.BaseProcess:
    child = child_processes.Process(target=make_in_a_child, args=(out, out.parent / "cache"))
    child.start()
    return child


def finish(out: Path) -> list[str]:
    """Give the same command in this process; return the runs that it makes."""
    heard = Heard()
    compare(**words(out=out, progress=heard))
    return heard.runs


def table(out: Path) -> list[tuple]:
    """Return all that does not depend on the clock."""
    result = json.loads((out / "study.json").read_text())
    return [(v["name"], v["score"], v["difference"], v["verdict"], v["gates"]) for v in result["variants"]]


@pytest.fixture(scope="module")
def undisturbed(home: Path) -> list[tuple]:
    child = start(home / "undisturbed")
    child.join(timeout=400)
    assert child.exitcode == 0
    return table(home / "undisturbed")


def wait_for(out: Path, runs: int, child: multiprocessing.process.BaseProcess) -> None:
    until = time.monotonic() + 300
    while done(out) < runs or not out.exists():
        assert child.is_alive() and time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.parametrize("after", [0, 4])
def test_a_study_killed_and_continued_gives_the_same_table(after: int, home: Path, undisturbed: list[tuple]):
    out = home / f"killed{after}"
    child = start(out)
    wait_for(out, after, child)
    time.sleep(0.02 * after)
    child.kill()
    child.join()
    kept = done(out)
    assert child.exitcode == -signal.SIGKILL and after <= kept <= RUNS
    assert len(finish(out)) == RUNS - kept  # finished runs are not made again
    assert table(out) == undisturbed


def test_two_processes_share_one_study_and_repeat_no_run(home: Path, undisturbed: list[tuple]):
    out = home / "shared"
    child = start(out)
    wait_for(out, 1, child)
    ours = finish(out)
    child.join(timeout=400)
    assert child.exitcode == 0
    lines = out.with_name("shared.lines.txt").read_text().splitlines()
    theirs = [line for line in lines if line.endswith("steps")]
    assert len(ours) + len(theirs) == RUNS
    assert not [name for name in ours for line in theirs if name in line]
    assert table(out) == undisturbed


def test_a_full_disk_loses_no_finished_run(home: Path, undisturbed: list[tuple]):
    """No file may grow beyond 60 kB, which the state of a study fits in and the weights of a model do not."""
    out = home / "full"
    with no_file_beyond(60_000), pytest.raises(FoveateError, match=r"(?s)[Mm]ake room.*same command again"):
        finish(out)
    assert len(finish(out)) == RUNS
    assert table(out) == undisturbed


class Interrupted(Heard):
    """Receives what Ctrl-C sends as the second run goes on."""

    def advance(self, done: int) -> None:
        if len(self.runs) == 2:
            signal.raise_signal(signal.SIGINT)


def test_control_c_gives_the_run_back(home: Path, undisturbed: list[tuple]):
    out = home / "interrupted"
    with pytest.raises(KeyboardInterrupt):
        compare(**words(out=out, progress=Interrupted()))
    with sqlite3.connect(out / "study.sqlite") as db:
        assert db.execute("SELECT COUNT(*) FROM runs WHERE state = 'claimed'").fetchone()[0] == 0
    assert len(finish(out)) == RUNS - 1
    assert table(out) == undisturbed
