from __future__ import annotations

import errno
import os
import socket
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from foveate.compare import claims
from foveate.compare import engine as engine_module
from foveate.compare import store as module
from foveate.compare.claims import Watch, abandoned, whoami
from foveate.compare.engine import local
from foveate.compare.planned import REPORT, Key
from foveate.compare.store import Store, disk_errors
from foveate.errors import StudyError
from foveate.train.result import MARKER
from tests.compare.study_samples import plan
from tests.full_disk import no_file_beyond


def test_runs_are_claimed_once_and_the_report_comes_last(tmp_path: Path):
    store = Store.open(tmp_path, plan())
    keys = []
    while (key := store.claim()) is not None:
        keys.append(key)
        assert store.finish(key, {"score": 1})
    assert keys == [*(run.key for run in plan().runs), (REPORT, 0)]
    assert store.unfinished() == 0
    assert list(store.records()) == keys


def test_a_branch_waits_for_its_trunk(tmp_path: Path):
    store = Store.open(tmp_path, plan(mode="branch", branch_epochs=1, seeds=(0,)))
    assert store.claim() == ("trunk", 0)
    assert store.claim() is None
    store.finish(("trunk", 0), {})
    assert store.claim() == ("baseline", 0)


@pytest.fixture
def working(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Key], object]], None]:
    """Return a function that says what making a run is, in place of training."""

    def working(work: Callable[[Key], object]) -> None:
        monkeypatch.setattr(engine_module, "execute", lambda folder, key: work(key))

    return working


def test_many_workers_share_the_work_and_repeat_none(tmp_path: Path, working):
    many = plan(seeds=tuple(range(12)))
    Store.open(tmp_path, many)
    made: list[tuple[str, int]] = []
    lock = threading.Lock()

    def work(key):
        with lock:
            made.append(key)
        time.sleep(0.002)
        return {"key": list(key)}

    working(work)
    with ThreadPoolExecutor(6) as pool:
        stores = [Store(tmp_path, f"elsewhere/{n}/0") for n in range(6)]
        for future in [pool.submit(engine_module._take_turns, store) for store in stores]:
            future.result(timeout=60)
    assert sorted(made) == sorted([*(run.key for run in many.runs), (REPORT, 0)])
    assert all(record["key"] == list(key) for key, record in Store(tmp_path).records().items())


def test_another_plan_is_refused_and_the_difference_told(tmp_path: Path):
    Store.open(tmp_path, plan())
    with pytest.raises(
        StudyError, match=r"(?s)holds another study.*margin: 0.5 there, 2.0 here.*another folder"
    ):
        Store.open(tmp_path, plan(margin=2.0))
    assert Store.open(tmp_path, plan()).plan() == plan()


def test_a_folder_with_a_trained_model_is_refused(tmp_path: Path):
    (tmp_path / MARKER).write_text("{}")
    with pytest.raises(StudyError, match="holds a training of one model"):
        Store.open(tmp_path, plan())
    assert [file.name for file in tmp_path.iterdir()] == [MARKER]


@pytest.mark.parametrize("left", ["study.json", "runs/se/3/test.npz"])
def test_results_without_the_record_of_their_looks_are_refused(left: str, tmp_path: Path):
    """A study begun there again would spend its whole error rate a second time."""
    (tmp_path / left).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / left).write_bytes(b"")
    for begin in (
        lambda: Store.open(tmp_path, plan()),
        lambda: Store.ahead(tmp_path, plan(), lambda _: plan()),
    ):
        with pytest.raises(
            StudyError, match=r"study\.sqlite is missing.*Put the file back, or choose another"
        ):
            begin()
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == [tmp_path / left]


def test_a_run_is_given_back_when_it_fails_or_is_interrupted(tmp_path: Path):
    store = Store.open(tmp_path, plan())
    for error in (KeyboardInterrupt, RuntimeError):
        key = store.claim()
        with pytest.raises(error), store.held(key):
            raise error
        assert Store(tmp_path, "other/1/1").claim() == key
        Store(tmp_path, "other/1/1").release(key)


def test_a_claim_is_free_again_when_its_holder_is_gone(tmp_path: Path):
    here = whoami()
    host, pid, started = here.rsplit("/", 2)
    assert not abandoned(here, 30.0)  # alive, however long it was silent under the limit
    assert abandoned(here, claims.STALE + 1)
    assert abandoned(f"{host}/{pid}/1", claims.DEAD + 1)  # the number was given to another process
    assert not abandoned(f"{host}/{pid}/1", 0.1)
    assert not abandoned(f"elsewhere/{pid}/{started}", 30.0) and abandoned(None, 0.0)


def test_a_run_that_was_taken_over_is_not_finished_by_its_first_holder(tmp_path: Path, monkeypatch):
    store = Store.open(tmp_path, plan(), owner="elsewhere/1/1")
    key = store.claim()
    monkeypatch.setattr(claims, "STALE", -1.0)
    other = Store(tmp_path)
    assert other.claim() == key
    assert not store.finish(key, {"from": "first"})
    assert other.finish(key, {"from": "second"})
    assert store.records()[key] == {"from": "second"}


def test_the_heartbeat_goes_on_while_a_run_is_held(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(claims, "BEAT", 0.02)
    store = Store.open(tmp_path, plan())
    key = store.claim()

    def beat() -> float:
        with sqlite3.connect(store.path) as db:
            return db.execute("SELECT beat FROM runs WHERE variant = ? AND seed = ?", key).fetchone()[0]

    with store.held(key):
        first, until = beat(), time.monotonic() + 5
        while beat() == first and time.monotonic() < until:
            time.sleep(0.02)
        assert beat() > first
    assert not [t for t in threading.enumerate() if t.name.startswith("heartbeat")]


def test_a_lost_run_is_opened_again_with_the_report_and_keeps_its_record(tmp_path: Path, working):
    store = Store.open(tmp_path, plan())
    working(lambda key: {"score": 1})
    local(tmp_path)
    store.reopen(("se@stage3", 1))
    with sqlite3.connect(store.path) as db:
        kept = db.execute("SELECT record FROM runs WHERE variant = 'se@stage3' AND seed = 1").fetchone()
    assert kept == ('{"score": 1}',)
    assert store.unfinished() == 2
    assert store.claim() == ("se@stage3", 1)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_says_that_nothing_is_lost(tmp_path: Path, number: int):
    with pytest.raises(
        StudyError, match="No finished run is lost: free some space, then run the same command again"
    ):
        with disk_errors(tmp_path):
            raise OSError(number, "full")
    with pytest.raises(StudyError, match="No finished run is lost"), disk_errors(tmp_path):
        raise sqlite3.OperationalError("database or disk is full")
    with pytest.raises(FileNotFoundError), disk_errors(tmp_path):
        raise FileNotFoundError(errno.ENOENT, "the user's own")


def test_a_file_that_is_no_study_is_refused(tmp_path: Path):
    (tmp_path / module.FILE).write_text("no database, but long enough to look like one " * 50)
    with pytest.raises(StudyError, match="is not a study file"):
        Store.open(tmp_path, plan())
    with pytest.raises(StudyError, match="holds no study"):
        Store(tmp_path / "nowhere").plan()
    (tmp_path / "file").write_text("")
    with pytest.raises(StudyError, match="cannot be written"):
        Store.open(tmp_path / "file", plan())


def test_a_store_whose_disk_fills_up_stays_whole(tmp_path: Path):
    """A limit on file sizes stands in for the disk: the write fails, what was finished stays."""
    store = Store.open(tmp_path, plan(seeds=tuple(range(4))))
    store.finish(store.claim(), {"score": 1})
    other = Store(tmp_path, "other/1/1")
    key = other.claim()
    with (
        no_file_beyond(store.path.stat().st_size),
        pytest.raises(StudyError, match="No finished run is lost"),
        disk_errors(tmp_path),
    ):
        other.finish(key, {"history": "x" * 200_000})
    with sqlite3.connect(store.path) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert list(store.records()) == [("baseline", 0)]


def rows(store: Store, text: str, *values: object) -> None:
    with sqlite3.connect(store.path) as db:
        db.execute("PRAGMA ignore_check_constraints = ON")
        db.execute(text, values)


DAMAGE = {
    "state": "UPDATE runs SET state = 'lost' WHERE place = 1",
    "record": "UPDATE runs SET record = '{cut' WHERE place = 1",
    "kind": "UPDATE runs SET record = '3' WHERE place = 1",
    "row": "DELETE FROM runs WHERE place = 1",
    "report": "DELETE FROM runs WHERE variant = 'report'",
    "foreign": "INSERT INTO runs (variant, seed, place) VALUES ('stranger', 0, 99)",
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_row_is_put_right_and_sound_records_stay(tmp_path: Path, kind: str, working):
    store = Store.open(tmp_path, plan())
    working(lambda key: {"key": list(key)})
    local(tmp_path)
    before = store.records()
    rows(store, DAMAGE[kind])
    store.repair()
    again: list[tuple[str, int]] = []
    working(lambda key: again.append(key) or {"key": list(key)})
    local(tmp_path)
    assert store.records() == before
    assert len(again) <= 2 and store.repair() == []


@pytest.mark.parametrize(
    "text",
    [
        "UPDATE runs SET state = 'lost' WHERE place = 0",
        "UPDATE runs SET needs = '[[\"nobody\", 0]]' WHERE place = 0",
    ],
)
def test_a_state_in_which_nothing_can_begin_is_told_and_not_waited_for(
    tmp_path: Path, monkeypatch, working, text: str
):
    monkeypatch.setattr(engine_module, "WAIT", 0.0)
    working(lambda key: {})
    store = Store.open(tmp_path, plan())
    rows(store, text)
    with pytest.raises(StudyError, match=r"no process is at work.*damaged"):
        local(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "UPDATE runs SET needs = 'x' WHERE place = 0",
        "UPDATE plan SET json = '{'",
        "UPDATE plan SET json = '[]'",
        "UPDATE plan SET json = json_remove(json, '$.seeds')",
        "UPDATE plan SET json = json_set(json, '$.inputs', 'large')",
        "UPDATE plan SET json = json_set(json, '$.train.epochs', -1)",
        "UPDATE plan SET json = json_set(json, '$.variants[0].macs', 'many')",
    ],
)
def test_a_damaged_state_is_told(tmp_path: Path, text: str):
    store = Store.open(tmp_path, plan())
    rows(store, text)
    with pytest.raises(StudyError, match=r"study\.sqlite.*Move the file away and run the same command again"):
        store.plan(), store.claim()


def test_a_clock_that_was_set_back_is_not_waited_for(tmp_path: Path, monkeypatch):
    gone = f"{socket.gethostname()}/{os.getpid()}/1"  # the number was given to another process
    Store.open(tmp_path, plan(), owner=gone).claim()
    store = Store(tmp_path)
    rows(store, "UPDATE runs SET beat = beat + 86400 WHERE state = 'claimed'")
    now = time.monotonic()
    assert store.claim() == ("se@stage3", 0)
    store.release(("se@stage3", 0))
    monkeypatch.setattr(claims.time, "monotonic", lambda: now + claims.DEAD + 60)
    assert store.claim() == ("baseline", 0)


def test_silence_is_counted_by_the_clock_that_nobody_sets(monkeypatch):
    watch, ticks = Watch(), [0.0]
    monkeypatch.setattr(claims.time, "monotonic", lambda: ticks[0])
    future = time.time() + 3600
    assert watch.silent(("a", 0), "x/1/1", future) == 0
    ticks[0] = 5.0
    assert watch.silent(("a", 0), "x/1/1", future) == 5
    assert watch.silent(("a", 0), "x/1/1", future + 2) == 0  # a sign of life
    assert watch.silent(("a", 0), "x/1/1", time.time() - 30) == pytest.approx(30, abs=5)


@pytest.mark.parametrize("owner", ["", "x", "a/b", "a/b/c", f"{socket.gethostname()}/x/1"])
def test_an_owner_that_nobody_writes_holds_nothing_for_long(owner: str):
    assert abandoned(owner, claims.STALE + 1)
    abandoned(owner, 0.0)
