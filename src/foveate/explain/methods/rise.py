"""RISE: the mean of random masks, each weighted by the probability of the image seen through it.

    map = sum_n p(x M_n) M_n / (N p1)

Masks are grids of s x s cells that are 1 with probability p1, enlarged bilinearly by one cell more than the
image needs, and cropped at random.

Paper   Petsiuk, Das, Saenko. RISE: Randomized Input Sampling for Explanation of Black-box Models. BMVC 2018.
        arXiv:1806.07421, eq. 6.
Cost    ``masks`` runs an image. Memory: one batch of masks.
Differs from the paper: fewer masks by default (paper: 4000 for VGG16, 8000 for ResNet-50). The same masks are
        used for every image, so that an image's map does not depend on the others of its batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from foveate.errors import OptionError
from foveate.explain.methods.explanation import Explanation, Reads, explanations
from foveate.explain.question import BATCH, Question
from foveate.options import whole


@explanations.register("rise")
@dataclass(frozen=True)
class RISE(Explanation):
    """Random masks, weighted by the probability of what each leaves visible; no gradients.

    Args:
        masks: N.
        cells: s, cells along each side.
        visible: p1, the probability that a cell is visible, in (0, 1). Paper: 0.5.
        seed: Of the masks.
    """

    paper: ClassVar[str] = "Petsiuk et al. 2018"
    reads: ClassVar[Reads] = "changed images"
    signed: ClassVar[bool] = False
    masks: int = 2000
    cells: int = 7
    visible: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        whole("masks", self.masks)
        whole("cells", self.cells)
        if not 0 < self.visible < 1:
            raise OptionError(f"visible: got {self.visible}, expected a probability between 0 and 1")

    def __call__(self, question: Question) -> Tensor:
        """Return the maps (B, H, W)."""
        x = question.images
        total: Tensor | None = None
        for part in self.draw(*question.size):
            masks = part.to(x)
            for row in range(len(x)):
                seen = x[row] * masks[:, None]
                found = question.probabilities(seen, torch.full((len(masks),), row, device=x.device))
                if total is None:
                    total = torch.zeros(len(x), *question.size, device=x.device, dtype=found.dtype)
                total[row] += torch.einsum("n,nhw->hw", found, masks.to(found.dtype))
        assert total is not None
        return total / (self.masks * self.visible)

    def draw(self, height: int, width: int) -> Iterator[Float[Tensor, "n H W"]]:
        """Yield the masks in batches, float32 in [0, 1]."""
        generator = torch.Generator().manual_seed(self.seed)
        cell = [-(-side // self.cells) for side in (height, width)]
        for start in range(0, self.masks, BATCH):
            count = min(BATCH, self.masks - start)
            grid = torch.rand(count, 1, self.cells, self.cells, generator=generator) < self.visible
            sizes = [(self.cells + 1) * side for side in cell]
            large = F.interpolate(grid.float(), sizes, mode="bilinear", align_corners=False)[:, 0]
            tops, lefts = (torch.randint(side, (count,), generator=generator).tolist() for side in cell)
            yield torch.stack(
                [m[y : y + height, x : x + width] for m, y, x in zip(large, tops, lefts, strict=True)]
            )
