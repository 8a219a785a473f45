"""The seven interfaces: which shapes go in and come out, and so where a mechanism can sit."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from foveate.errors import ShapeError
from foveate.mechanisms.base import Mechanism
from foveate.mechanisms.ranks import taken
from foveate.typed import quoted


class Refine(Mechanism):
    """Map to map of the same shape."""

    interface = "refine"

    @abstractmethod
    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Weigh parts of ``x``."""


class Pool(Mechanism):
    """Map to one vector."""

    interface = "pool"

    @abstractmethod
    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c"]:
        """Reduce ``x`` to one vector an image."""


class Gate(Mechanism):
    """A map, weighed by what a coarser map asks for; takes ``channels``, and ``gating``, the coarser map's.

    Attributes:
        out_channels: Channels of the result: ``channels``, unless the paper has another number.
    """

    interface = "gate"
    gating: int
    out_channels: int

    @abstractmethod
    def forward(
        self, x: Float[Tensor, "b c *space"], gating: Float[Tensor, "b g *coarse"]
    ) -> Float[Tensor, "b o *space"]:
        """Weigh parts of ``x`` by the coarser map ``gating``."""

    def _check_gating(self, x: Tensor, gating: Tensor) -> None:
        """Raise a ShapeError unless ``gating`` has the axes of ``x`` and the channels this was built for."""
        self._check_tensor(gating, f"a gating map (B, {self.gating}, h, w)")
        if gating.ndim != x.ndim or gating.shape[1] != self.gating or not gating.is_floating_point():
            expected = taken((x.ndim - 2,), self.gating)
            raise ShapeError(
                f"{type(self).__name__}: got a gating map of shape {tuple(gating.shape)} and {gating.dtype}, "
                f"expected floating point, {expected}. Build it with gating= its channels."
            )


class Fuse(Mechanism):
    """Several maps to one; takes ``channels``, one number or one for each map, and the number of ``maps``.

    The result has the height and width of the first map; the others are resized to it (bilinear, half-pixel
    centres), so maps from different stages can be given as they are, the finest first.

    Attributes:
        out_channels: Channels of the result.
        pooled: True where the result is 1 x 1, whatever the sizes.
    """

    interface = "fuse"
    pooled: ClassVar[bool] = False
    widths: tuple[int, ...]
    out_channels: int

    @abstractmethod
    def forward(self, maps: list[Float[Tensor, "b _ _ _"]]) -> Float[Tensor, "b o h w"]:
        """Weigh ``maps`` against each other and sum them."""

    def _check_maps(self, maps: Sequence[Tensor]) -> None:
        """Raise a ShapeError unless ``maps`` are as many, and as wide, as this was built for."""
        name = type(self).__name__
        if not isinstance(maps, (list, tuple)) or len(maps) != len(self.widths):
            came = f"{len(maps)} maps" if isinstance(maps, (list, tuple)) else f"a {type(maps).__name__}"
            raise ShapeError(f"{name}: got {came}, expected a list of {len(self.widths)} maps (B, C, H, W).")
        for position, (x, width) in enumerate(zip(maps, self.widths, strict=True)):
            self._check_tensor(x, f"map {position} (B, {width}, H, W)")
            if x.ndim != 4 or x.shape[1] != width or not x.is_floating_point():
                raise ShapeError(
                    f"{name}: got {tuple(x.shape)} of {x.dtype} as map {position}, expected floating point "
                    f"(B, {width}, H, W). Build it with the channels that the maps have."
                )


class Read(Mechanism):
    """A query reads a memory; takes ``channels`` of the memory, and ``query``, the query's if they differ."""

    interface = "read"
    dims = ()
    query_channels: int

    @abstractmethod
    def forward(
        self,
        query: Float[Tensor, "b t q"],
        memory: Float[Tensor, "b n d"],
        mask: Bool[Tensor, "b n"] | None = None,
    ) -> tuple[Float[Tensor, "b t d"], Float[Tensor, "b t n"]]:
        """Return the context and the weights; ``mask`` is True where the memory may be read.

        Masked entries get a weight of exactly 0; a query that may read nothing gets a context of zeros.
        """

    def _check_reading(self, query: Tensor, memory: Tensor, mask: Tensor | None) -> None:
        """Raise a ShapeError unless the three fit this and each other."""
        name = type(self).__name__
        for what, x, width, axis in (
            ("query", query, self.query_channels, "T"),
            ("memory", memory, self.channels, "N"),
        ):
            self._check_tensor(x, f"a {what} (B, {axis}, {width})", open_axes=2)
            if x.ndim != 3 or x.shape[2] != width or not x.is_floating_point():
                raise ShapeError(
                    f"{name}: got a {what} of shape {tuple(x.shape)} and {x.dtype}, expected floating point "
                    f"(B, {axis}, {width}). A map is laid out as a memory with x.flatten(2).transpose(1, 2)."
                )
        if mask is not None and not isinstance(mask, Tensor):
            raise ShapeError(f"{name}: got {quoted(mask)} as mask, expected booleans (B, N) or None.")
        if mask is not None and (mask.shape != memory.shape[:2] or mask.dtype != torch.bool):
            raise ShapeError(
                f"{name}: got a mask of shape {tuple(mask.shape)} and {mask.dtype}, expected booleans of "
                f"shape {tuple(memory.shape[:2])}, True where the memory may be read."
            )


class Select(Mechanism):
    """An image to K patches of it."""

    interface = "select"

    @abstractmethod
    def forward(self, image: Float[Tensor, "b c h w"]) -> tuple[Tensor, Tensor, Tensor]:
        """Return patches (B, K, C, h, w), their places (B, K, 2) and log-probabilities (B, K)."""


class Label(Mechanism):
    """A map to one score per class; takes ``channels`` and ``classes``."""

    interface = "label"

    @abstractmethod
    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b q"]:
        """Return logits."""
