"""Pictures of several sizes in one batch: the interface that selections ask, in its plainest form."""

import torch
from torch.nn import functional as F

from foveate.large_pictures import LargePictures, PicturesInMemory, overview_size


class Mixed(LargePictures):
    """Pictures (C, H, W), one tensor each."""

    def __init__(self, pictures):
        self.pictures = list(pictures)

    channels = property(lambda self: self.pictures[0].shape[0])
    sizes = property(lambda self: [tuple(picture.shape[1:]) for picture in self.pictures])
    device = property(lambda self: self.pictures[0].device)

    def __getitem__(self, rows):
        return Mixed(self.pictures[rows])

    def to(self, device, non_blocking=False):
        return Mixed([picture.to(device) for picture in self.pictures])

    def overview(self, scale):
        height, width = overview_size(self.canvas, scale)
        small = [PicturesInMemory(picture[None]).overview(scale)[0] for picture in self.pictures]
        return torch.stack([F.pad(x, (0, width - x.shape[2], 0, height - x.shape[1])) for x in small])

    def windows(self, corners, size, scale=1.0):
        alone = [
            PicturesInMemory(picture[None]).windows(corners[i : i + 1], size, scale)
            for i, picture in enumerate(self.pictures)
        ]
        return torch.cat(alone)
