"""The state of a study in one SQLite file: which runs are done, claimed or free.

A run is claimed in a transaction that begins by locking the file, so that several processes, on one machine
or on a shared disk, work on one study and never on one run. Whoever holds a run renews its heartbeat; a claim
whose holder is gone is free again. Results are written in one transaction each: a process killed at any
moment leaves a file that is whole.
"""

from __future__ import annotations

import contextlib
import errno
import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from foveate.compare import claims
from foveate.compare.continuing import continued
from foveate.compare.plan import StudyPlan
from foveate.compare.planned import LOOK, REPORT, Key
from foveate.compare.rows import Row, every_key, rows
from foveate.compare.run_files import ANSWERS
from foveate.errors import OptionError, StudyError
from foveate.files import sweep
from foveate.infer.saved import FOLDER
from foveate.options import read_record
from foveate.train.result import MARKER

FILE = "study.sqlite"
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


_DAMAGED = (
    "The study's state is damaged. Move the file away and run the same command again: runs whose folders "
    "under runs/ are sound are not trained again."
)
_FREE = "UPDATE runs SET state = 'free', owner = NULL, beat = NULL WHERE variant = ? AND seed = ?"


class Store:
    """The runs of one study.

    Args:
        folder: The study's folder.
        owner: Who claims; this process by default.
    """

    def __init__(self, folder: Path, owner: str | None = None) -> None:
        self.folder, self.path = Path(folder), Path(folder) / FILE
        self.owner = owner or claims.whoami()
        self._watch = claims.Watch()

    @classmethod
    def open(
        cls,
        folder: Path,
        plan: StudyPlan,
        owner: str | None = None,
        timed: Callable[[StudyPlan | None], StudyPlan] | None = None,
    ) -> Store:
        """Begin a study in ``folder``, or continue the one that is there.

        Args:
            folder: The study's folder; made if it is missing.
            plan: What the study is.
            owner: Who claims; this process by default.
            timed: Returns the plan with its times: measured if the study begins here, else those of the
                stored plan that it is given, and measured where that has none.

        Raises:
            StudyError: It holds a study with another plan (the message says what differs) or a training of
            one model, or cannot be written.
        """
        store = cls(folder, owner)
        store._expect_none_but_its_own()
        with disk_errors(folder):
            store.folder.mkdir(parents=True, exist_ok=True)
            for home in (store.folder, store.folder / FOLDER):
                sweep(home)
            if timed is not None and not store._begun():
                plan = timed(None)
            with store._transaction() as db:
                for statement in _SCHEMA.split(";"):
                    db.execute(statement)
                if db.execute("SELECT json FROM plan").fetchone() is None:
                    store._begin(db, plan)
            stored = store.plan()
            if timed is not None and continued(stored, plan, folder) != stored:
                plan = timed(stored)
            wanted = continued(stored, plan, folder)
            if wanted != stored:
                store._continue(wanted)
        return store

    @classmethod
    def ahead(
        cls, folder: Path, plan: StudyPlan, timed: Callable[[StudyPlan | None], StudyPlan]
    ) -> tuple[StudyPlan, bool]:
        """Return the plan that the folder's study would have after ``open``, and whether it has begun.

        Nothing is written. The arguments and the errors are those of ``open``.
        """
        store = cls(folder)
        store._expect_none_but_its_own()
        with disk_errors(folder):
            if not (store.path.is_file() and store._begun()):
                return timed(None), False
            stored = store.plan()
            if continued(stored, plan, folder) == stored:
                return stored, True
            return continued(stored, timed(stored), folder), True

    def plan(self) -> StudyPlan:
        """Return the plan that the study began with, or was continued with.

        Raises:
            StudyError: There is none.
        """
        if not self.path.is_file():
            raise StudyError(f"{self.folder} holds no study: there is no {FILE}. Give the folder of a study.")
        with self._transaction() as db:
            return self._stored_plan(db)

    def _stored_plan(self, db: sqlite3.Connection) -> StudyPlan:
        stored = db.execute("SELECT json FROM plan").fetchone()
        if stored is None:
            raise StudyError(f"{self.path} holds no plan. Delete the folder and run the study again.")
        try:
            return read_record(
                StudyPlan, StudyPlan.upgraded(self._plain(stored[0])), self.path, StudyError, _DAMAGED
            )
        except OptionError as error:  # of the recipe in it
            raise StudyError(f"{self.path}: {error}. {_DAMAGED}") from None

    def claim(self) -> Key | None:
        """Take the first run that is free and whose needs are met, or return None."""
        with self._transaction() as db:
            rows = db.execute(
                "SELECT variant, seed, needs, state, owner, beat FROM runs ORDER BY place"
            ).fetchall()
            done = {(variant, seed) for variant, seed, _, state, _, _ in rows if state == "done"}
            for variant, seed, needs, state, owner, beat in rows:
                free = state == "free" or (
                    state == "claimed" and self._given_up((variant, seed), owner, beat)
                )
                if free and all(key in done for key in self._needs(needs)):
                    _take(db, (variant, seed), self.owner, time.time())
                    return variant, seed
        return None

    def held_by_others(self) -> list[str]:
        """Return the owners of the claimed runs, as ``whoami`` names them."""
        with self._transaction() as db:
            rows = db.execute("SELECT owner FROM runs WHERE state = 'claimed' ORDER BY place").fetchall()
        return [str(owner) for (owner,) in rows]

    def _given_up(self, key: Key, owner: object, beat: object) -> bool:
        if not isinstance(owner, str) or not isinstance(beat, float | int):
            return True  # foveate does not write such a claim
        return claims.abandoned(owner, self._watch.silent(key, owner, beat))

    def _needs(self, written: object) -> list[Key]:
        return read_record(list[Key], self._plain(written or "[]"), self.path, StudyError, _DAMAGED)

    def _plain(self, written: object) -> Any:
        try:
            return json.loads(str(written))
        except (ValueError, RecursionError) as error:
            raise StudyError(f"{self.path}: a record is not JSON ({error}). {_DAMAGED}") from None

    def beat(self, key: Key) -> None:
        """Record that the holder of a run is alive."""
        with self._transaction() as db:
            db.execute(
                "UPDATE runs SET beat = ? WHERE variant = ? AND seed = ? AND owner = ?",
                (time.time(), *key, self.owner),
            )

    def finish(self, key: Key, record: Mapping[str, Any]) -> bool:
        """Store the record of a run; return False if another has taken it over, whose record counts.

        After a look the runs that it asks for become free, or the report does.
        """
        with self._transaction() as db:
            changed = db.execute(
                "UPDATE runs SET state = 'done', record = ?, beat = ? "
                "WHERE variant = ? AND seed = ? AND owner = ? AND state = 'claimed'",
                (json.dumps(record), time.time(), *key, self.owner),
            )
            if key[0] == LOOK:
                self._insert(db, self._known_rows(db))
            return changed.rowcount == 1

    def release(self, key: Key) -> None:
        """Release a run that was not finished."""
        with self._transaction() as db:
            db.execute(
                "UPDATE runs SET state = 'free', owner = NULL, beat = NULL "
                "WHERE variant = ? AND seed = ? AND owner = ? AND state = 'claimed'",
                (*key, self.owner),
            )

    def release_all(self) -> None:
        """Release every run that this owner has claimed and not finished."""
        with self._transaction() as db:
            db.execute(
                "UPDATE runs SET state = 'free', owner = NULL, beat = NULL "
                "WHERE owner = ? AND state = 'claimed'",
                (self.owner,),
            )

    def reopen(self, key: Key) -> None:
        """Free a finished run whose files are gone, and the report with it; what looks found stays.

        Its record stays until the run that is made again writes its own.
        """
        with self._transaction() as db:
            db.executemany(_FREE, [key, (REPORT, 0)])

    def repair(self) -> list[Key]:
        """Repair damaged rows and return their keys: missing ones, unknown states, records that are not JSON.

        Such runs are free again. What their folders hold is used, so that nothing sound is trained twice.
        """
        with self._transaction() as db:
            possible = set(every_key(self._stored_plan(db)))
            found = {
                (variant, seed): (state, record)
                for variant, seed, state, record in db.execute(
                    "SELECT variant, seed, state, record FROM runs"
                )
            }
            odd = [key for key in found if key in possible and not _is_sound(key, *found[key])]
            foreign = [key for key in found if key not in possible]
            db.executemany("DELETE FROM runs WHERE variant = ? AND seed = ?", foreign)
            db.executemany(_FREE, odd)
            missing = [row for row in self._known_rows(db) if row.key not in found]
            self._insert(db, missing)
        for key in odd:
            self.reopen(key)
        return [*odd, *(row.key for row in missing)]

    def records(self) -> dict[Key, dict[str, Any]]:
        """Return the record of every run that is done, in the plan's order."""
        with self._transaction() as db:
            rows = db.execute(
                "SELECT variant, seed, record FROM runs WHERE state = 'done' ORDER BY place"
            ).fetchall()
        return {(variant, seed): self._plain(record) for variant, seed, record in rows}

    def unfinished(self) -> int:
        """Return how many runs are not done, counting the report."""
        with self._transaction() as db:
            count: int = db.execute("SELECT COUNT(*) FROM runs WHERE state != 'done'").fetchone()[0]
        return count

    @contextmanager
    def held(self, key: Key) -> Iterator[None]:
        """Keep the heartbeat of a claimed run going; release the run if the block raises."""
        stop = threading.Event()

        def keep() -> None:
            while not stop.wait(claims.BEAT):
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

    def _expect_none_but_its_own(self) -> None:
        if self.path.exists():
            return
        if (self.folder / MARKER).exists():
            raise StudyError(
                f"{self.folder} holds a training of one model. Choose another folder for this study."
            )
        if (self.folder / "study.json").exists() or any(self.folder.glob(f"runs/*/*/{ANSWERS}")):
            raise StudyError(
                f"{self.folder} holds results of a study, but its {FILE} is missing, which says what was "
                "planned and looked at: without it, verdicts would be wrong more often than they say. Put "
                "the file back, or choose another folder for this study."
            )

    def _begun(self) -> bool:
        with self._transaction() as db:
            tables = db.execute("SELECT name FROM sqlite_master WHERE name = 'plan'").fetchone()
            return tables is not None and db.execute("SELECT 1 FROM plan").fetchone() is not None

    def _begin(self, db: sqlite3.Connection, plan: StudyPlan) -> None:
        db.execute("INSERT INTO plan VALUES (0, ?)", (json.dumps(plan.to_dict()),))
        self._insert(db, self._known_rows(db))

    def _continue(self, plan: StudyPlan) -> None:
        """Replace the plan by one with more in it; looks are taken again, and the report is written again."""
        with self._transaction() as db:
            db.execute("UPDATE plan SET json = ?", (json.dumps(plan.to_dict()),))
            db.execute("DELETE FROM runs WHERE variant IN (?, ?)", (LOOK, REPORT))
            self._insert(db, self._known_rows(db))

    def _known_rows(self, db: sqlite3.Connection) -> list[Row]:
        """Return the work that is known by the looks that were taken."""
        looks = db.execute(
            "SELECT seed, record FROM runs WHERE variant = ? AND state = 'done'", (LOOK,)
        ).fetchall()
        going = {seeds: self._plain(record)["going"] for seeds, record in looks}
        return rows(self._stored_plan(db), going)

    def _insert(self, db: sqlite3.Connection, known: list[Row]) -> None:
        """Insert rows; of those that are there the place is put right."""
        plain = [(*row.key, row.place, json.dumps(row.needs)) for row in known]
        db.executemany(
            "INSERT INTO runs (variant, seed, place, needs) VALUES (?, ?, ?, ?) ON CONFLICT (variant, seed) "
            "DO UPDATE SET place = excluded.place, needs = excluded.needs",
            plain,
        )

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
def disk_errors(folder: Path) -> Iterator[None]:
    """Turn errors of a full or failing disk into one that says that nothing is lost and what to do.

    Raises:
        StudyError: The block raised one.
    """
    advice = "No finished run is lost: free some space, then run the same command again."
    try:
        yield
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError) and "no such" not in str(error):
            raise StudyError(f"{folder}: the study's state cannot be written ({error}). {advice}") from error
        raise StudyError(
            f"{folder / FILE} is not a study file ({error}). Choose another folder: the record of the looks "
            "that were made is lost with it."
        ) from error
    except OSError as error:
        if error.errno in _FULL:
            raise StudyError(f"{folder}: the disk is full ({error.strerror}). {advice}") from error
        if error.errno in _REFUSED:
            raise StudyError(f"{folder}: cannot be written ({error}). Choose another folder.") from error
        raise


def _is_sound(key: Key, state: object, record: object) -> bool:
    """Return whether a row has a known state, and a record if it is done."""
    if state != "done":
        return state in ("free", "claimed")
    try:
        found = json.loads(str(record))
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and (key[0] != LOOK or _names(found.get("going")))


def _names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _take(db: sqlite3.Connection, key: Key, owner: str, now: float) -> None:
    claim = "UPDATE runs SET state = 'claimed', owner = ?, beat = ? WHERE variant = ? AND seed = ?"
    db.execute(claim, (owner, now, *key))
