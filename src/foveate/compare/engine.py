"""Where the runs of a study are executed: in this process, in several on this machine, or on a cluster.

All state is in the store, and a piece of work is ``execute(folder, key)``. So an engine is any way of calling
that for claimed keys, in one place or in many, until none is left. An engine is one function.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from foveate.calls import parse_call
from foveate.compare.execute import execute
from foveate.compare.store import Store, disk_errors
from foveate.errors import StudyError
from foveate.options import checked
from foveate.registry import Registry
from foveate.typed import Range

_log = logging.getLogger("foveate")
WAIT = 0.5  # seconds between two checks of what other processes are doing
IDLE = 5  # checks without any activity, after which there will be none


Engine = Callable[..., None]
"""Takes the study's folder, whose ``Store`` hands out the runs, and returns when every run is done, by any
process. Its keyword arguments are its options."""

engines: Registry[Engine] = Registry("engine")


def run_engine(text: str, folder: Path) -> None:
    """Execute the runs of a study on an engine, such as ``local`` or ``processes(count=4)``.

    Raises:
        UnknownNameError: There is no such engine.
        OptionError: It does not have such an option.
    """
    name, options = parse_call(text)
    engines[name](folder, **checked(f"engine {name}", engines[name], options))


def expect_engine(text: str) -> None:
    """Raise unless there is such an engine with such options."""
    name, options = parse_call(text)
    checked(f"engine {name}", engines[name], options)


@engines.register("local")
def local(folder: Path) -> None:
    """Execute the runs in this process, one after the other; others may join on the same folder."""
    store = Store(folder)
    with disk_errors(folder):
        try:
            _take_turns(store)
        except BaseException:  # also between a claim and its work, when no heartbeat runs yet
            with contextlib.suppress(sqlite3.Error, OSError, StudyError):
                store.release_all()
            raise


@engines.register("processes")
def processes(folder: Path, *, count: Annotated[int, Range(1, 256)] = 2) -> None:
    """Execute the runs in several processes on this machine; each opens the data for itself.

    Args:
        folder: The study's.
        count: Number of processes.
    """
    command = [sys.executable, "-m", "foveate.compare.worker", str(folder)]
    workers = [subprocess.Popen(command) for _ in range(count)]
    try:
        failed = [worker for worker in workers if _watched(worker, folder) != 0]
    except BaseException:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.wait()
        raise
    if failed and Store(folder).unfinished():
        raise StudyError(
            f"{folder}: {len(failed)} of {count} processes failed; their errors are above. What is finished "
            "is kept: run the same command again."
        )


def _watched(worker: subprocess.Popen[bytes], folder: Path) -> int:
    """Wait for a process, and print how many runs remain whenever that changes."""
    store, left = Store(folder), -1
    while worker.poll() is None:
        now = store.unfinished()
        if left not in (-1, now):
            print(f"{now} {'run' if now == 1 else 'runs'} left, counting the report", file=sys.stderr)
        left = now
        with contextlib.suppress(subprocess.TimeoutExpired):
            worker.wait(2 * WAIT)
    return worker.returncode


def _take_turns(store: Store) -> None:
    idle, said = 0, False
    while True:
        key = store.claim()
        if key is not None:
            idle = 0
            with store.held(key):
                store.finish(key, execute(store.folder, key))
        elif store.unfinished() == 0:
            return
        else:
            others = store.held_by_others()
            idle = 0 if others else idle + 1
            _expect_progress(store, idle)
            if others and not said:
                _log.warning(
                    "%s: waiting for %s, which is working on this study", store.folder, ", ".join(others)
                )
                said = True
            time.sleep(WAIT)


def _expect_progress(store: Store, idle: int) -> None:
    """Raise when several checks found no process at work, and yet no run could start.

    Raises:
        StudyError: The state is damaged.
    """
    if idle > IDLE:
        raise StudyError(
            f"{store.path}: no run can start and no process is at work, so the study's state is damaged. "
            "Run the same command again; if that does not help, move the file away: finished runs are "
            "kept."
        )
