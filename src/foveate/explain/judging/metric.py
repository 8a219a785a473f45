"""What every way of judging maps is: a number for each picture, or the reason why there is none.

A metric is a frozen dataclass whose fields are its options. It gets the maps of one method for all pictures,
and the ``Subject``: the model, the pictures, what is explained, and the true masks if they are known.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from jaxtyping import Bool, Float, Float64
from torch import Tensor, nn

from foveate.calls import parse_call
from foveate.options import checked
from foveate.registry import Registry

if TYPE_CHECKING:
    from foveate.explain.judging.subject import Subject

Explainer = Callable[[nn.Module, Tensor, Any], Tensor]
"""(model, images (B, C, H, W), target) -> maps (B, H, W)."""
Better = Literal["higher", "lower", "neither"]
Need = Literal["masks", "method", "others"]


@dataclass(frozen=True)
class Maps:
    """The maps of one method.

    Args:
        name: Of the method.
        values: (B, H, W), signed, on the grid of the pictures.
        explain: Makes such maps for other pictures or another model; None if only the maps are known.
        by_channel: The same for each channel (B, C, H, W), if the method tells channels apart.
        others: The maps (B, H, W) of the other methods that are judged.
    """

    name: str
    values: Float[Tensor, "b h w"]
    explain: Explainer | None = None
    by_channel: Float[Tensor, "b c h w"] | None = None
    others: Mapping[str, Float[Tensor, "b h w"]] = field(default_factory=dict)


@dataclass(frozen=True)
class Values:
    """What a metric says.

    Args:
        each: One number a picture (B,), NaN where there is none.
        undefined: Why there is none: reason -> for which pictures (B,).
        extra: Further numbers by name, one per picture (B,).
        curves: Scores on the way (B, P), by name, for metrics that have such.
    """

    each: Float64[np.ndarray, " b"]
    undefined: Mapping[str, Bool[np.ndarray, " b"]] = field(default_factory=dict)
    extra: Mapping[str, Float64[np.ndarray, " b"]] = field(default_factory=dict)
    curves: Mapping[str, Float64[np.ndarray, "b p"]] = field(default_factory=dict)


class Metric(ABC):
    """A way to judge maps.

    Attributes:
        name: In the registry.
        asks: What a good value means, in a few words.
        better: Which values are better; "neither" where a value only describes a map.
        about: Whether it is about the model (faithfulness), the object (localisation), or the map's reaction
            to changes (robustness), or describes the map (form). Never make one score of several.
        needs: What it needs besides model and maps: true masks, a method that can be run again, other maps.
        ranks: Whether it sees only the order of a map's values, so that a constant map has no value.
        hits: Whether a picture is a hit (1) or a miss (0), for which there are exact intervals.
    """

    name: ClassVar[str]
    asks: ClassVar[str]
    better: ClassVar[Better]
    about: ClassVar[Literal["faithfulness", "localisation", "robustness", "form"]]
    needs: ClassVar[frozenset[Need]] = frozenset()
    ranks: ClassVar[bool] = False
    hits: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, maps: Maps, subject: Subject) -> Values:
        """Return what the metric says about maps that are finite."""


metrics: Registry[type[Metric]] = Registry("metric of maps", see="foveate judge --help")


def metric_named(text: str) -> Metric:
    """Return a metric by its name, options allowed: ``deletion(fill=blur, steps=20)``.

    Raises:
        UnknownNameError: There is no such metric.
        OptionError: It does not have such an option.
        SpecError: The text cannot be read.
    """
    name, options = parse_call(text)
    kind = metrics[name]
    return kind(**checked(name, kind, options))
