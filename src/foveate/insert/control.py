"""A block of equal cost without attention, so that "more parameters" is not mistaken for "attention".

Formula y = x + up(f(... f(pool(x)))), f(z) = W2 relu(W1 z + b1) + b2, pool to a fixed grid, up to the map's
        size. A signal is laid out as one row, the slices of a volume one under the other.
Cost    the parameters and MACs of the mechanism that it stands in for, to within one hidden unit and one
        grid row.

It computes with the same number of parameters as the mechanism, and weighs nothing: no gate, no softmax, no
product of two tensors that both depend on the input.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.errors import OptionError
from foveate.insert.spec import Spec, Term
from foveate.mechanisms.base import Mechanism
from foveate.mechanisms.facets import Cost
from foveate.mechanisms.ranks import flat, flat_size, places, unflat


class Control(nn.Module):
    """Stand in for a mechanism: the same number of parameters and MACs, no attention.

    Args:
        like: The mechanism. It may lie on the meta device: only its cost and its interface count.
        name: How a spec names it.
        channels: C of the map that this block will receive.
        size: The positions along each axis of the map for which the MACs are to be equal: (H, W), (L,) of a
            signal, (D, H, W) of a volume.

    Raises:
        OptionError: No spec can insert such a mechanism.

    Attributes:
        interface: That of the mechanism; ``"refine"`` for a gate.
        gate: ``"gamma"`` if the mechanism starts as the identity by a gate of its own, else None.
        does_nothing: Whether it returns its input, because the mechanism has too few parameters for
            one hidden unit.
        target: What the mechanism costs on that map.
        gap: ``target`` minus the cost of this block.

    Example:
        >>> from foveate.mechanisms import mechanisms
        >>> Control(mechanisms["se"](64), name="se", channels=64, size=(7, 7)).gap.parameters
        0
        >>> Control(mechanisms["gsop"](64, width=8), name="gsop", channels=64, size=(7, 7)).gap.parameters
        8
    """

    def __init__(self, like: Mechanism, *, name: str, channels: int, size: tuple[int, ...]) -> None:
        super().__init__()
        self.channels, self.like = channels, name
        height, width = flat_size(size)
        # A block without a gating map stands in for a gate too.
        self.interface = "refine" if like.interface == "gate" else like.interface
        if self.interface not in ("refine", "pool", "label"):
            raise OptionError(
                f"control: {name} is a {self.interface}, expected a mechanism that can be inserted"
            )
        self.target = like.cost(*size)
        self.gate = "gamma" if like.gate is not None and self.interface == "refine" else None
        self.gamma: nn.Parameter | None = nn.Parameter(torch.zeros(1)) if self.gate else None
        self.classes = int(getattr(like, "classes", 0))
        self.inert: nn.Module = self._block(channels, height, width)
        self.does_nothing = self.interface == "refine" and not list(self.inert.parameters())
        if self.does_nothing:  # a gate that opens nothing would never get a gradient
            self.gate = self.gamma = None
        self.gap = self.target - self.cost(*size)

    def _block(self, channels: int, height: int, width: int) -> nn.Module:
        parameters = self.target.parameters - (1 if self.gate else 0)
        if self.interface == "label":
            linear = channels * self.classes  # of one head, at every position
            if self.target.macs == parameters * height * width:
                return InertHeads(channels, self.classes, heads=max(1, round(parameters / linear)))
            macs = self.target.macs - linear * height * width
            return InertClassifier(
                channels, self.classes, fitted(channels, parameters - linear, macs, height, width)
            )
        return InertBlock(channels, fitted(channels, parameters, self.target.macs, height, width))

    def forward(self, x: Float[Tensor, "b c *space"]) -> Tensor:
        """Return a map, a vector (B, C) or logits (B, classes), as the mechanism would."""
        if self.interface == "label":
            return self.inert(flat(x))
        if self.does_nothing:
            return x
        added = unflat(self.inert(flat(x)), like=x)
        y = x + (added if self.gamma is None else added * self.gamma.to(x.dtype))
        return y.mean(dim=places(x)) if self.interface == "pool" else y

    def cost(self, *size: int) -> Cost:
        """Return what this block costs on a map of that size."""
        parameters = sum(p.numel() for p in self.parameters())
        macs = self.inert.macs(*flat_size(size))  # type: ignore[operator]
        return Cost(parameters=parameters, macs=macs, bytes=4 * parameters)

    def extra_repr(self) -> str:
        """Return what it stands in for and how close its cost is, for ``print(model)``."""
        return f"like {self.like}; {self.gap.parameters} parameters and {self.gap.macs} MACs short of it"


@dataclass(frozen=True)
class Shape:
    """The shape of an inert block.

    Args:
        hidden: Width of the hidden layer; 0 for a block that does nothing.
        bias_in: Whether the first layer has biases.
        bias_out: Whether the second layer has biases.
        rows: Rows of the grid that the map is pooled to.
        columns: Columns of that grid.
        repeats: How many times the two layers are applied.
    """

    hidden: int
    bias_in: bool = False
    bias_out: bool = False
    rows: int = 1
    columns: int = 1
    repeats: int = 1


def fitted(channels: int, parameters: int, macs: int, height: int, width: int) -> Shape:
    """Return the shape whose cost on a (channels, height, width) map comes nearest to the one given."""
    shapes = [
        Shape(hidden, bias_in, bias_out)
        for base in (parameters // (2 * channels + 1), parameters // (2 * channels))
        for hidden in (base - 1, base, base + 1)
        for bias_in in (True, False)
        for bias_out in (True, False)
        if hidden > 0
    ]
    shape = min([*shapes, Shape(0)], key=lambda s: abs(parameters - _parameters(s, channels)))
    if shape.hidden == 0:
        return shape
    rows, columns, repeats = _grid(max(1, macs / (2 * channels * shape.hidden)), height, width)
    return Shape(shape.hidden, shape.bias_in, shape.bias_out, rows, columns, repeats)


def _parameters(shape: Shape, channels: int) -> int:
    if shape.hidden == 0:
        return 0
    return 2 * channels * shape.hidden + shape.hidden * shape.bias_in + channels * shape.bias_out


def _grid(positions: float, height: int, width: int) -> tuple[int, int, int]:
    """Return rows, columns and repeats whose product comes nearest to ``positions``; few repeats first."""
    least = max(1, -int(-positions // (height * width)))
    choices = [
        (rows, columns, repeats)
        for repeats in range(least, least + 4)
        for rows in range(1, height + 1)
        for columns in {min(width, max(1, round(positions / repeats / rows)))}
    ]
    return min(
        choices, key=lambda c: (round(abs(c[0] * c[1] * c[2] - positions) / positions, 2), c[2], -min(c[:2]))
    )


class InertBlock(nn.Module):
    """Two pointwise layers on a pooled grid: the same numbers for every position of a cell, weighing nothing.

    Args:
        channels: C.
        shape: Its widths and its grid.
    """

    def __init__(self, channels: int, shape: Shape) -> None:
        super().__init__()
        self.channels, self.shape = channels, shape
        if shape.hidden:
            self.narrow = nn.Conv2d(channels, shape.hidden, kernel_size=1, bias=shape.bias_in)
            self.widen = nn.Conv2d(shape.hidden, channels, kernel_size=1, bias=shape.bias_out)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return what is added to ``x``."""
        if not self.shape.hidden:
            return torch.zeros_like(x)
        single = self.shape.rows == self.shape.columns == 1  # as fast as the gate that it stands in for
        grid = (self.shape.rows, self.shape.columns)
        z = x.mean(dim=(2, 3), keepdim=True) if single else F.adaptive_avg_pool2d(x, grid)
        for _ in range(self.shape.repeats):
            z = self.widen(self.narrow(z).relu())
        if single or z.shape[2:] == x.shape[2:]:
            return z.expand_as(x)
        return F.interpolate(z, size=x.shape[2:], mode="nearest")

    def macs(self, height: int, width: int) -> int:
        """Return the MACs, which do not depend on the size of the map."""
        positions = self.shape.rows * self.shape.columns * self.shape.repeats
        return 2 * self.channels * self.shape.hidden * positions

    def extra_repr(self) -> str:
        """Return the grid for ``print(model)``."""
        if not self.shape.hidden:
            return "does nothing: too few parameters for one hidden unit"
        return f"grid {self.shape.rows}x{self.shape.columns}, {self.shape.repeats} times"


class InertHeads(nn.Module):
    """Plain linear heads at every position, averaged over positions and heads.

    Args:
        channels: C.
        classes: Number of classes.
        heads: Number of heads.
    """

    def __init__(self, channels: int, classes: int, heads: int) -> None:
        super().__init__()
        self.channels, self.classes, self.heads = channels, classes, heads
        self.score = nn.Conv2d(channels, heads * classes, kernel_size=1, bias=False)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b q"]:
        """Return logits."""
        return self.score(x).mean(dim=(2, 3)).unflatten(1, (self.heads, self.classes)).mean(dim=1)

    def macs(self, height: int, width: int) -> int:
        """Return the MACs on a map of that size."""
        return self.heads * self.classes * self.channels * height * width


class InertClassifier(nn.Module):
    """An inert block, then one linear head: for mechanisms that do more than score every position.

    Args:
        channels: C.
        classes: Number of classes.
        shape: Widths and grid of the block.
    """

    def __init__(self, channels: int, classes: int, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.block, self.heads = InertBlock(channels, shape), InertHeads(channels, classes, heads=1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b q"]:
        """Return logits."""
        return self.heads(x + self.block(x))

    def macs(self, height: int, width: int) -> int:
        """Return the MACs on a map of that size."""
        return self.block.macs(height, width) + self.heads.macs(height, width)


def control_spec(spec: Spec) -> Spec:
    """Return the spec with a control in place of every mechanism, at the same sites.

    Example:
        >>> from foveate.insert.spec import parse
        >>> str(control_spec(parse("se(reduction=8)@blocks")))
        'control(like=se, reduction=8)@blocks'
    """
    return Spec(tuple(_control_term(term) for term in spec.terms))


def _control_term(term: Term) -> Term:
    if term.mechanism == "control":
        return term
    return Term("control", (("like", term.mechanism), *term.options), term.where, term.site)
