"""Small models and data for the tests of training."""

import numpy as np
import torch
from torch import nn

from foveate.data.cached_split import CachedSplit
from foveate.data.image_feed import ImageFeed
from foveate.models.classification.resnet_small import SmallResNet


def split(items: int, *, seed: int, side: int = 12, classes: int = 3) -> CachedSplit:
    """Random pictures in which the class shows as brightness: learnable in a few steps."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, classes, items)
    noise = rng.integers(0, 60, (items, 3, side, side))
    images = (noise + targets[:, None, None, None] * 60).astype(np.uint8)
    return CachedSplit(images=images, targets=targets.astype(np.int64), names=tuple(map(str, range(items))))


def feed(items: int, *, seed: int) -> ImageFeed:
    return ImageFeed(split(items, seed=seed))


def feeds() -> dict[str, ImageFeed]:
    return {"train": feed(50, seed=0), "val": feed(20, seed=1)}


class Dropping(nn.Module):
    """A small network that draws random numbers in training."""

    def __init__(self, classes: int = 3, width: int = 4) -> None:
        super().__init__()
        self.body = SmallResNet(8, classes=classes, width=width)
        self.drop = nn.Dropout(0.2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(self.drop(x))


def small(seed: int = 0, **options: int) -> nn.Module:
    torch.manual_seed(seed)
    return Dropping(**options)


def same(first: nn.Module, second: nn.Module) -> bool:
    ours, theirs = first.state_dict(), second.state_dict()
    return list(ours) == list(theirs) and all(torch.equal(ours[name], theirs[name]) for name in ours)
