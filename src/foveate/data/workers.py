"""Threads that share the work of a batch, each running PyTorch's kernels on one thread.

PyTorch spreads even a small operation over all processors and waits for the slowest part. With hundreds of
small operations per batch that costs more than it gains, on a busy machine twenty times more. Here every
thread works on its own images instead.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch


@contextmanager
def workers() -> Iterator[ThreadPoolExecutor]:
    """Yield a pool of one thread per processor; PyTorch's thread count elsewhere does not change."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    elsewhere = torch.get_num_threads()
    ready = threading.Barrier(count + 1)

    def settle() -> None:
        torch.set_num_threads(1)
        torch.get_num_threads()  # a thread takes the number set last at its first use: force that now
        ready.wait()

    with ThreadPoolExecutor(max_workers=count, thread_name_prefix="foveate-batches") as pool:
        for _ in range(count):
            pool.submit(settle)
        ready.wait()
        # The number belongs to each thread, but threads yet to start would inherit what was set last.
        torch.set_num_threads(elsewhere)
        yield pool
