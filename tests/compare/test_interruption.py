"""Studies that are killed, shared or run out of disk come to the same end as undisturbed ones."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.compare.study_samples import done, small_cache

pytestmark = pytest.mark.slow

_SCRIPT = """
import signal, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
sys.path.insert(0, {tests!r})
from tests.compare.study_samples import words
from foveate.compare.study import compare
from foveate.errors import FoveateError
from foveate.train.progress import Lines
if {limit}:
    import resource
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
try:
    compare(**words(out={out!r}, progress=Lines(sys.stdout)))
except FoveateError as error:
    print("TOLD", error)
    sys.exit(3)
"""


def start(out: Path, home: Path, limit: int = 0) -> subprocess.Popen[str]:
    script = _SCRIPT.format(tests=str(Path(__file__).parents[2]), out=str(out), limit=limit)
    return subprocess.Popen(
        [sys.executable, "-c", script],
        env=small_cache(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(child: subprocess.Popen[str]) -> str:
    out, err = child.communicate(timeout=400)
    assert child.returncode == 0, err
    return out


def table(out: Path) -> list[tuple]:
    """Return all that does not depend on the clock."""
    result = json.loads((out / "study.json").read_text())
    return [(v["name"], v["score"], v["difference"], v["verdict"], v["gates"]) for v in result["variants"]]


@pytest.fixture(scope="module")
def undisturbed(home: Path) -> list[tuple]:
    finish(start(home / "undisturbed", home))
    return table(home / "undisturbed")


@pytest.mark.parametrize("after", [0, 4])
def test_a_study_killed_and_continued_gives_the_same_table(after: int, home: Path, undisturbed: list[tuple]):
    out = home / f"killed{after}"
    child = start(out, home)
    until = time.monotonic() + 300
    while done(out) < after or not out.exists():
        assert child.poll() is None and time.monotonic() < until
        time.sleep(0.01)
    time.sleep(0.05 * after)
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    kept = done(out)
    assert kept < 10
    said = finish(start(out, home))
    assert table(out) == undisturbed
    assert said.count("steps") <= 9 - kept  # finished runs are not made again


def test_two_processes_share_one_study_and_repeat_no_run(home: Path, undisturbed: list[tuple]):
    out = home / "shared"
    said = [finish(child) for child in [start(out, home), start(out, home)]]
    runs = [line for text in said for line in text.splitlines() if line.endswith("steps")]
    assert len(runs) == 9 and len(set(runs)) == 9
    assert table(out) == undisturbed


def test_a_full_disk_loses_no_finished_run(home: Path, undisturbed: list[tuple]):
    """No file may grow beyond 60 kB, which the state of a study fits in and the weights of a model do not."""
    out = home / "full"
    child = start(out, home, limit=60_000)
    said, err = child.communicate(timeout=300)
    assert child.returncode == 3, err
    assert "Make room" in said or "make room" in said
    assert "same command again" in said
    finish(start(out, home))
    assert table(out) == undisturbed


def test_control_c_gives_the_run_back(home: Path, undisturbed: list[tuple]):
    out = home / "interrupted"
    child = start(out, home)
    until = time.monotonic() + 300
    while done(out) < 1:
        assert child.poll() is None and time.monotonic() < until
        time.sleep(0.01)
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=100)
    with sqlite3.connect(out / "study.sqlite") as db:
        assert db.execute("SELECT COUNT(*) FROM runs WHERE state = 'claimed'").fetchone()[0] == 0
    finish(start(out, home))
    assert table(out) == undisturbed
