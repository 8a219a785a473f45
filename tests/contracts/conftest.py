"""One thread for tensors as small as these, and a switch for the checks of shapes."""

from __future__ import annotations

from collections.abc import Iterator

import jaxtyping
import pytest
import torch


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Tensors as small as these are slower on two threads, the more so on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Switch jaxtyping off, should the run have it on: it answers first, and does not compile."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
