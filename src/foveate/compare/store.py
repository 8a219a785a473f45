"""The state of a study in one SQLite file: which runs are done, which somebody is at, which are free.

A run is claimed in a transaction that begins by locking the file, so that several processes, on one machine
or on a shared disk, work on one study and never on one run. Whoever holds a run renews its heartbeat; a claim
whose holder is gone is free again. Results are written in one transaction each: a process killed at any
moment leaves a file that is whole.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from foveate.compare.plan import REPORT, Key, StudyPlan
from foveate.errors import StudyError

FILE = "study.sqlite"
BEAT = 2.0  # seconds between two heartbeats
DEAD = 3 * BEAT  # of a holder on this machine whose process is no more
STALE = 60.0  # of a holder that this machine cannot ask after
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS plan (id INTEGER PRIMARY KEY CHECK (id = 0), json TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS runs (
    variant TEXT NOT NULL,
    seed INTEGER NOT NULL,
    place INTEGER NOT NULL,
    needs TEXT,
    state TEXT NOT NULL DEFAULT 'free' CHECK (state IN ('free', 'claimed', 'done')),
    owner TEXT,
    beat REAL,
    record TEXT,
    PRIMARY KEY (variant, seed)
);
"""


class Store:
    """The runs of one study.

    Args:
        folder: The study's folder.
        owner: Who claims; this process by default.
    """

    def __init__(self, folder: Path, owner: str | None = None) -> None:
        self.folder, self.path = Path(folder), Path(folder) / FILE
        self.owner = owner or whoami()

    @classmethod
    def open(
        cls,
        folder: Path,
        plan: StudyPlan,
        owner: str | None = None,
        timed: Callable[[], StudyPlan] | None = None,
    ) -> Store:
        """Begin a study in ``folder``, or go on with the one that is there.

        Args:
            folder: The study's folder; made if it is missing.
            plan: What the study is.
            owner: Who claims; this process by default.
            timed: Returns the plan with its times; asked only if the study begins here.

        Raises:
            StudyError: It holds a study with another plan (the message says what differs), or cannot be
            written.
        """
        store = cls(folder, owner)
        with told(folder):
            store.folder.mkdir(parents=True, exist_ok=True)
            if timed is not None and not store._begun():
                plan = timed()
            with store._transaction() as db:
                for statement in _SCHEMA.split(";"):
                    db.execute(statement)
                if db.execute("SELECT json FROM plan").fetchone() is None:
                    store._begin(db, plan)
        _expect_same(store.plan(), plan, folder)
        return store

    def plan(self) -> StudyPlan:
        """Return the plan that the study began with.

        Raises:
            StudyError: There is none.
        """
        if not self.path.is_file():
            raise StudyError(f"{self.folder} holds no study: there is no {FILE}. Give a study's folder.")
        with self._transaction() as db:
            stored = db.execute("SELECT json FROM plan").fetchone()
        if stored is None:
            raise StudyError(f"{self.path} holds no plan. Delete the folder and run the study again.")
        return StudyPlan.from_dict(json.loads(stored[0]))

    def claim(self) -> Key | None:
        """Take the first run that is free and whose needs are met, or return None."""
        now = time.time()
        with self._transaction() as db:
            rows = db.execute(
                "SELECT variant, seed, needs, state, owner, beat FROM runs ORDER BY place"
            ).fetchall()
            done = {(variant, seed) for variant, seed, _, state, _, _ in rows if state == "done"}
            for variant, seed, needs, state, owner, beat in rows:
                free = state == "free" or (state == "claimed" and abandoned(owner, now - beat))
                ready = all(tuple(key) in done for key in json.loads(needs or "[]"))
                if free and ready:
                    _take(db, (variant, seed), self.owner, now)
                    return variant, seed
        return None

    def beat(self, key: Key) -> None:
        """Say that the holder of a run is alive."""
        with self._transaction() as db:
            db.execute(
                "UPDATE runs SET beat = ? WHERE variant = ? AND seed = ? AND owner = ?",
                (time.time(), *key, self.owner),
            )

    def finish(self, key: Key, record: Mapping[str, Any]) -> bool:
        """Store the record of a run; return False if another has taken it over, whose record counts."""
        with self._transaction() as db:
            changed = db.execute(
                "UPDATE runs SET state = 'done', record = ?, beat = ? "
                "WHERE variant = ? AND seed = ? AND owner = ? AND state = 'claimed'",
                (json.dumps(record), time.time(), *key, self.owner),
            )
            return changed.rowcount == 1

    def release(self, key: Key) -> None:
        """Give a run back that was not finished."""
        with self._transaction() as db:
            db.execute(
                "UPDATE runs SET state = 'free', owner = NULL, beat = NULL "
                "WHERE variant = ? AND seed = ? AND owner = ? AND state = 'claimed'",
                (*key, self.owner),
            )

    def release_all(self) -> None:
        """Give every run back that this owner has claimed and not finished."""
        with self._transaction() as db:
            db.execute(
                "UPDATE runs SET state = 'free', owner = NULL, beat = NULL "
                "WHERE owner = ? AND state = 'claimed'",
                (self.owner,),
            )

    def reopen(self, key: Key) -> None:
        """Set a run that is done back to free, because what it left is gone; the report with it."""
        with self._transaction() as db:
            db.executemany(
                "UPDATE runs SET state = 'free', owner = NULL, record = NULL WHERE variant = ? AND seed = ?",
                [key, (REPORT, 0)],
            )

    def records(self) -> dict[Key, dict[str, Any]]:
        """Return the record of every run that is done, in the plan's order."""
        with self._transaction() as db:
            rows = db.execute(
                "SELECT variant, seed, record FROM runs WHERE state = 'done' ORDER BY place"
            ).fetchall()
        return {(variant, seed): json.loads(record) for variant, seed, record in rows}

    def unfinished(self) -> int:
        """Return how many runs are not done, the report counted as one."""
        with self._transaction() as db:
            count: int = db.execute("SELECT COUNT(*) FROM runs WHERE state != 'done'").fetchone()[0]
        return count

    @contextmanager
    def held(self, key: Key) -> Iterator[None]:
        """Keep the heartbeat of a claimed run going; give the run back if the block does not end well."""
        stop = threading.Event()

        def keep() -> None:
            while not stop.wait(BEAT):
                with contextlib.suppress(
                    sqlite3.Error, StudyError
                ):  # a busy or full disk: the next beat will do
                    self.beat(key)

        thread = threading.Thread(target=keep, daemon=True, name=f"heartbeat {key}")
        thread.start()
        try:
            yield
        except BaseException:
            stop.set()
            with contextlib.suppress(sqlite3.Error, OSError, StudyError):
                self.release(key)
            raise
        finally:
            stop.set()
            thread.join()

    def _begun(self) -> bool:
        with self._transaction() as db:
            tables = db.execute("SELECT name FROM sqlite_master WHERE name = 'plan'").fetchone()
            return tables is not None and db.execute("SELECT 1 FROM plan").fetchone() is not None

    def _begin(self, db: sqlite3.Connection, plan: StudyPlan) -> None:
        db.execute("INSERT INTO plan VALUES (0, ?)", (json.dumps(plan.to_dict()),))
        runs = plan.runs
        rows = [
            (*run.key, place, json.dumps([run.needs] if run.needs else [])) for place, run in enumerate(runs)
        ]
        rows.append((REPORT, 0, len(runs), json.dumps([run.key for run in runs])))
        db.executemany("INSERT INTO runs (variant, seed, place, needs) VALUES (?, ?, ?, ?)", rows)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Lock the file, and commit what the block does, or nothing of it."""
        db = sqlite3.connect(self.path, timeout=60.0, isolation_level=None)
        try:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")
        finally:
            db.close()


@contextmanager
def told(folder: Path) -> Iterator[None]:
    """Turn a full or failing disk into an error that says that nothing is lost and what to do.

    Raises:
        StudyError: The block met such a disk.
    """
    advice = "No finished run is lost: make room, then run the same command again."
    try:
        yield
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise StudyError(f"{folder}: the study's state cannot be written ({error}). {advice}") from error
        raise StudyError(
            f"{folder / FILE} is no study ({error}). Delete it, or give another folder."
        ) from error
    except OSError as error:
        if error.errno in _FULL:
            raise StudyError(f"{folder}: the disk is full ({error.strerror}). {advice}") from error
        if error.errno in _REFUSED:
            raise StudyError(f"{folder}: cannot be written ({error}). Give another folder.") from error
        raise


def whoami() -> str:
    """Return this process, such that another on this machine can tell whether it still runs."""
    return f"{socket.gethostname()}/{os.getpid()}/{_started(os.getpid())}"


def abandoned(owner: str | None, silent: float) -> bool:
    """Return whether a claim is free again: its holder was silent for long, or is known to be gone.

    Args:
        owner: What ``whoami`` returned to the holder.
        silent: Seconds since its last heartbeat; negative if the clocks differ.
    """
    if owner is None or silent > STALE:
        return True
    host, pid, started = owner.rsplit("/", 2)
    gone = host == socket.gethostname() and _started(int(pid)) != started
    return gone and silent > DEAD


def _take(db: sqlite3.Connection, key: Key, owner: str, now: float) -> None:
    claim = "UPDATE runs SET state = 'claimed', owner = ?, beat = ? WHERE variant = ? AND seed = ?"
    db.execute(claim, (owner, now, *key))


def _started(pid: int) -> str:
    """Return when a process began, in ticks of the machine: process numbers recur."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except FileNotFoundError:
        pass
    except (OSError, IndexError):
        return "unknown"
    if Path("/proc/self").exists():
        return "gone"
    try:  # no /proc: ask whether the number is in use
        os.kill(pid, 0)
    except ProcessLookupError:
        return "gone"
    except OSError:
        pass
    return "unknown"


def _expect_same(stored: StudyPlan, plan: StudyPlan, folder: Path) -> None:
    different = stored.differences(plan)
    if different:
        listed = "\n  ".join(different)
        raise StudyError(
            f"{folder} holds another study, so this one cannot go on there:\n  {listed}\n"
            "Give another folder, or the same words as before."
        )
