import numpy as np
import pytest
import torch
from torch import nn

from foveate.data.cache import CachedSplit
from foveate.models.classification.resnet_small import SmallResNet


def split(items: int, *, seed: int, side: int = 12, classes: int = 3) -> CachedSplit:
    """Random pictures in which the class shows as brightness: learnable in a few steps."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, classes, items)
    noise = rng.integers(0, 60, (items, 3, side, side))
    images = (noise + targets[:, None, None, None] * 60).astype(np.uint8)
    return CachedSplit(images=images, targets=targets.astype(np.int64), names=tuple(map(str, range(items))))


@pytest.fixture
def splits() -> dict[str, CachedSplit]:
    return {"train": split(50, seed=0), "val": split(20, seed=1)}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def small(seed: int = 0, classes: int = 3) -> nn.Module:
    torch.manual_seed(seed)
    return SmallResNet(8, classes=classes, width=4)
