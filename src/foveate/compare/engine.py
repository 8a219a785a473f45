"""Where runs are made: the door for other engines, such as a cluster. An engine is one file.

All state is in the store, so an engine is any way of calling ``work`` for claimed runs, in one place or in
many, until none is left: each worker opens the store itself and claims for itself.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from foveate.compare.plan import Key
from foveate.compare.store import Store, told
from foveate.errors import StudyError
from foveate.registry import Registry

Work = Callable[[Key], Mapping[str, Any]]
_log = logging.getLogger("foveate")
WAIT = 0.5  # seconds between two looks at what other processes are at
IDLE = 5  # looks at nobody doing anything, after which nobody will


class Engine(Protocol):
    """Something that makes the runs of a study."""

    def __call__(self, store: Store, work: Work) -> None:
        """Return when every run of the store is done, whoever did it.

        Args:
            store: The runs; ``claim``, ``held`` and ``finish`` are its whole interface.
            work: Makes one run and returns its record, which is plain data.
        """
        ...


engines: Registry[Engine] = Registry("engine")


@engines.register("local")
def local(store: Store, work: Work) -> None:
    """Make the runs in this process, one after the other; others may do the same on the same folder."""
    with told(store.folder):
        try:
            _take_turns(store, work)
        except BaseException:  # also between a claim and its work, where nobody holds the run yet
            with contextlib.suppress(sqlite3.Error, OSError, StudyError):
                store.release_all()
            raise


def _take_turns(store: Store, work: Work) -> None:
    idle, said = 0, False
    while True:
        key = store.claim()
        if key is not None:
            idle = 0
            with store.held(key):
                store.finish(key, work(key))
        elif store.unfinished() == 0:
            return
        else:
            others = store.held_by_others()
            idle = 0 if others else idle + 1
            _expect_progress(store, idle)
            if others and not said:
                _log.warning("%s: waiting for %s, at a run of this study", store.folder, ", ".join(others))
                said = True
            time.sleep(WAIT)


def _expect_progress(store: Store, idle: int) -> None:
    """Raise when nobody was at a run for several looks, and yet none could be begun.

    Raises:
        StudyError: The state is damaged.
    """
    if idle > IDLE:
        raise StudyError(
            f"{store.path}: no run can be begun and nobody is at one, so the study's state is damaged. Run "
            "the same command again; if that does not help, move the file away: what is trained stays "
            "trained."
        )
