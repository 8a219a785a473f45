"""Settings of every test process.

One thread to a worker: several test processes with a thread for each core take turns at every core. A busy
machine fails no test: hypothesis does not look at the clock. The shapes in the package's annotations are
checked as it runs, at 2 s a process and a few percent of the tests' time; FOVEATE_SHAPES=0 turns that off.
Python's collector of cycles does not look at what was imported and collected before the first test.
"""

from __future__ import annotations

import gc
import os

from hypothesis import HealthCheck, settings

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # PyTorch reads it when it is imported, which comes next

from tests import shape_checks

settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

if os.environ.get("FOVEATE_SHAPES") != "0":
    shape_checks.install("foveate")


def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()  # modules and tests, which live to the end: millions of objects
