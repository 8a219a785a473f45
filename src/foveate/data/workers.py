"""Threads that share a batch between them, each with PyTorch's kernels on that one thread.

PyTorch cuts even a small operation over all processors and waits for the slowest part. With hundreds of
small operations a batch that costs more than it gains, and on a busy machine twenty times more. Here every
thread works on images of its own instead.
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
    """Give a pool of one thread per processor; PyTorch's number of threads elsewhere stays what it is."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    elsewhere = torch.get_num_threads()
    ready = threading.Barrier(count + 1)

    def settle() -> None:
        torch.set_num_threads(1)
        torch.get_num_threads()  # a thread's first use takes the number set last: let that be now
        ready.wait()

    with ThreadPoolExecutor(max_workers=count, thread_name_prefix="foveate-batches") as pool:
        for _ in range(count):
            pool.submit(settle)
        ready.wait()
        # The number belongs to each thread, but threads yet to start would inherit what was set last.
        torch.set_num_threads(elsewhere)
        yield pool
