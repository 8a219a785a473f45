"""Which process holds a run, and whether it is still alive."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

from foveate.compare.planned import Key

BEAT = 2.0  # seconds between two heartbeats
DEAD = 3 * BEAT  # of a holder on this machine whose process has ended
STALE = 60.0  # of a holder on another machine


class Watch:
    """How long the holders of runs have been silent, by clocks that may be set meanwhile.

    The heartbeat is a time of day. Where it lies in the future, because a clock was set back or another
    machine's is ahead, what counts is how long this process has seen it unchanged.
    """

    def __init__(self) -> None:
        self._seen: dict[Key, tuple[object, float]] = {}

    def silent(self, key: Key, owner: str | None, beat: float) -> float:
        """Return the seconds since a holder's last sign of life, at least 0."""
        mark, now = (owner, beat), time.time()
        if self._seen.get(key, (None,))[0] != mark:
            self._seen[key] = (mark, time.monotonic())
        return now - beat if now >= beat else time.monotonic() - self._seen[key][1]


def whoami() -> str:
    """Return this process, so that another on this machine can check whether it still runs."""
    return f"{socket.gethostname()}/{os.getpid()}/{_started(os.getpid())}"


def abandoned(owner: str | None, silent: float) -> bool:
    """Return whether a claim is free again: its holder has been silent for long, or has ended.

    Args:
        owner: What ``whoami`` returned to the holder.
        silent: Seconds since its last heartbeat.
    """
    if owner is None or silent > STALE:
        return True
    host, pid, started = owner.rsplit("/", 2) if owner.count("/") > 1 else ("", "", "")
    gone = host == socket.gethostname() and pid.isdecimal() and _started(int(pid)) != started
    return gone and silent > DEAD


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
