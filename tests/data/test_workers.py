import threading

import torch

from foveate.data.workers import workers


def test_each_worker_has_one_torch_thread_and_everybody_else_keeps_theirs():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        with workers() as pool:
            inside = set(pool.map(lambda _: torch.get_num_threads(), range(50)))
            assert torch.get_num_threads() == 3
        later = []
        thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        assert inside == {1} and later == [3] and torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_no_thread_remains():
    with workers() as pool:
        pool.submit(lambda: None)
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("foveate-batches")]
