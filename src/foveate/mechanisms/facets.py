"""What a mechanism is and costs, as data: the four questions that each one answers, and its cost."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal, get_args

Over = Literal[
    "channels", "positions", "heads", "scales", "branches", "layers", "steps", "classes", "patches"
]
DrivenBy = Literal["input", "query"]
Weighting = Literal["soft", "hard"]
Place = Literal["input", "features", "pool", "skip", "bottleneck", "output"]


@dataclass(frozen=True)
class Facets:
    """The four questions that every mechanism answers.

    Args:
        over: What it weighs; several for a mechanism that weighs several.
        driven_by: Who asks: the input itself (bottom-up) or a query (top-down).
        weighting: How it weighs: soft (sigmoid gate, softmax) or hard (argmax, sampled, top-k).
        sites: Where it can sit.
    """

    over: tuple[Over, ...]
    driven_by: DrivenBy
    weighting: Weighting
    sites: tuple[Place, ...]

    def __post_init__(self) -> None:
        for name, allowed in (
            ("over", Over),
            ("driven_by", DrivenBy),
            ("weighting", Weighting),
            ("sites", Place),
        ):
            values = getattr(self, name)
            for value in (values,) if isinstance(values, str) else values:
                if value not in get_args(allowed):
                    known = ", ".join(get_args(allowed))
                    raise ValueError(f'facet {name}: got "{value}", expected one of {known}')


@dataclass(frozen=True)
class Cost:
    """What a mechanism or a model costs for one image.

    Args:
        parameters: Learnable numbers.
        macs: Multiply-adds of matrix products and convolutions, each counted once, fused attention included.
            Pooling, normalisation, activations and elementwise products are not counted, as the field does.
        bytes: Size of the parameters and buffers, in bytes.
    """

    parameters: int
    macs: int
    bytes: int

    def __add__(self, other: Cost) -> Cost:
        return Cost(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def __sub__(self, other: Cost) -> Cost:
        return Cost(*(getattr(self, f.name) - getattr(other, f.name) for f in fields(self)))
