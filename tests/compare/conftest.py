from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from foveate.compare.report import write
from tests.compare.study_samples import brief_studies


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for the studies of one file, with a cache of its own; they run on one thread."""
    folder = tmp_path_factory.mktemp("home")
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOVEATE_CACHE", str(folder / "cache"))
        torch.set_num_threads(1)
        yield folder
        torch.set_num_threads(threads)


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the figure out of a report: drawing it takes most of the time."""
    monkeypatch.setattr(write, "draw", lambda _: {"png": b"-", "svg": b"-"})


@pytest.fixture
def brief() -> Iterator[None]:
    """Leave out what takes most of the time of a small study."""
    with brief_studies():
        yield
