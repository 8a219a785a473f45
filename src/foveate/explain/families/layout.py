"""What a family of models declares: the layout of the weights, their kind, and where queries and keys lie."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

import torch
from torch import Tensor, nn

from foveate.explain.geometry.places import Geometry, Kind, Places


@dataclass(frozen=True, eq=False)
class Layout:
    """What the weights of one call mean.

    Args:
        pattern: The axes as the model lays them out, by einops' habit, such as ``"(b g) k n m"``; ``1`` for
            an axis of one. Every axis that is missing has size one.
        queries: Places of the queries; None if not known.
        keys: Places of the keys; None if not known.
        sizes: Sizes that the shape does not tell, such as ``{"g": 4}``.
        kind: The kind, where it is not what its source says.
        window: See ``Geometry``.
        shift: See ``Geometry``.
        note: What one has to know.
    """

    pattern: str = "b k n m"
    queries: Places | None = None
    keys: Places | None = None
    sizes: Mapping[str, int] = field(default_factory=dict)
    kind: Kind | None = None
    window: tuple[int, int] | None = None
    shift: tuple[int, int] = (0, 0)
    note: str = ""

    @property
    def geometry(self) -> Geometry | None:
        """Where queries and keys lie, if both are known."""
        if self.queries is None or self.keys is None:
            return None
        return Geometry(self.queries, self.keys, self.window, self.shift)


@dataclass(frozen=True, eq=False)
class Call:
    """One call of a layer, as a family sees it.

    Args:
        path: Path of the layer.
        module: The layer.
        around: The modules around it, the nearest first, the model last.
        shape: Shape of the weights as the model lays them out.
        inputs: The arguments that the watched modules were last called with, by module.
        results: What they last returned, by module. Tensors are there as their shapes.
    """

    path: str
    module: nn.Module
    around: tuple[nn.Module, ...]
    shape: tuple[int, ...]
    inputs: Mapping[nn.Module, tuple[tuple[object, ...], Mapping[str, object]]]
    results: Mapping[nn.Module, object]

    def parent(self, *names: str) -> Any:
        """Return the nearest module around the layer whose class has one of these names."""
        return next(m for m in self.around if type(m).__name__ in names)

    def given(self, module: nn.Module, position: int = 0, name: str = "") -> Any:
        """Return an argument of a watched module's call: a tensor's shape, or the value of anything else."""
        positional, named = self.inputs[module]
        return named[name] if name in named else positional[position]

    @property
    def picture(self) -> tuple[int, int] | None:
        """Height and width in pixels of what the model was called with, if that was a batch of pictures."""
        positional, named = self.inputs.get(self.around[-1] if self.around else self.module, ((), {}))
        shape = named.get("pixel_values", positional[0] if positional else None)
        return (shape[2], shape[3]) if isinstance(shape, tuple) and len(shape) == 4 else None

    def reach(self, stride: float | tuple[float, float], height: int, width: int) -> tuple[float, float]:
        """Return how many heights and widths of the picture a grid of cells with this stride spans."""
        down, right = stride if isinstance(stride, tuple) else (stride, stride)
        if self.picture is None:
            return 1.0, 1.0
        return height * down / self.picture[0], width * right / self.picture[1]

    def pyramid(self, height: int, width: int, base: int = 1) -> tuple[float, float]:
        """Return the reach of a grid whose stride is ``base`` times a power of two: stages halve the map."""
        if self.picture is None:
            return 1.0, 1.0
        strides = [
            base * 2 ** max(0, round(math.log2(pixels / cells / base)))
            for pixels, cells in zip(self.picture, (height, width), strict=True)
        ]
        return self.reach((strides[0], strides[1]), height, width)


Describe = Callable[[Call], Layout]
Source = Literal["operand", "softmax", "product"]


@dataclass(frozen=True)
class Family:
    """One declaration.

    Args:
        describe: Describes a call of these layers.
        watch: Full names of classes whose inputs and results it must see for that.
        source: Where a softmax that the layer forms is read: ``"operand"``, where it multiplies values;
            ``"softmax"``, at once, since it weighs by products of elements; ``"product"``, linear attention
            ``Q (softmax(K)^T V)``, whose weights are ``Q softmax(K)^T``.
    """

    describe: Describe
    watch: frozenset[str]
    source: Source = "operand"


_FAMILIES: dict[str, Family] = {}


def family(
    *layers: str, watch: Iterable[str] = (), source: Source = "operand"
) -> Callable[[Describe], Describe]:
    """Declare what the attention of some classes means.

    Args:
        layers: Full names of classes, such as ``"timm.layers.attention.Attention"``.
        watch: Full names of classes whose inputs and results are needed; the model is always seen.
        source: See ``Family``.
    """

    def declare(describe: Describe) -> Describe:
        for name in layers:
            _FAMILIES[name] = Family(describe, frozenset(watch), source)
        return describe

    return declare


def family_of(module: nn.Module) -> Family | None:
    """Return what is declared for a module's class or one that it inherits from."""
    return next((_FAMILIES[name] for name in class_names(module) if name in _FAMILIES), None)


def class_names(module: nn.Module) -> tuple[str, ...]:
    """Return the full names of a module's class and of those that it inherits from, the nearest first."""
    return _names(type(module))  # type: ignore[arg-type]  # mypy takes a class's hash for its objects'


@lru_cache(maxsize=512)  # the blocks of a model are of few classes
def _names(own: type) -> tuple[str, ...]:
    return tuple(f"{cls.__module__}.{cls.__qualname__}" for cls in own.__mro__)


def arranged(weights: Tensor, layout: Layout) -> tuple[Tensor, str]:
    """Return weights in the axes ``b k n m``, or ``b g k n m`` where there are groups, and these axes.

    Raises:
        ValueError: The weights do not have the layout.
    """
    names, shape = split_axes(tuple(weights.shape), layout)
    weights = weights.reshape(shape)
    order = [name for name in ("b", "g", "k", "n", "m") if name in names or name != "g"]
    weights = weights.permute([names.index(name) for name in order if name in names])
    for i, name in enumerate(order):
        if name not in names:
            weights = weights.unsqueeze(i)
    return weights, " ".join(order)


def split_axes(shape: tuple[int, ...], layout: Layout) -> tuple[list[str], list[int]]:
    """Return the names and sizes of all axes, with those that are folded together apart.

    Raises:
        ValueError: The weights do not have the layout.
    """
    groups = _axes(layout.pattern)
    if len(groups) != len(shape):
        raise ValueError(f'weights of shape {shape} do not have the axes "{layout.pattern}"')
    names: list[str] = []
    sizes: list[int] = []
    for group, size in zip(groups, shape, strict=True):
        known = [layout.sizes.get(name, -1) for name in group] if len(group) > 1 else [size]
        if known.count(-1) == 1:
            rest = size
            for n in known:
                rest //= n if n > 0 else 1
            known = [rest if n == -1 else n for n in known]
        if torch.Size(known).numel() != size:
            raise ValueError(
                f'weights of shape {shape} do not have the axes "{layout.pattern}" {layout.sizes}'
            )
        names += group
        sizes += known
    return names, sizes


@lru_cache
def _axes(pattern: str) -> tuple[tuple[str, ...], ...]:
    """Return the names of a pattern's axes, those that are folded together in one group."""
    groups: list[list[str]] = []
    inside = False
    for part in pattern.replace("(", " ( ").replace(")", " ) ").split():
        if part == "(":
            groups.append([])
            inside = True
        elif part == ")":
            inside = False
        elif inside:
            groups[-1].append(part)
        else:
            groups.append([part])
    return tuple(map(tuple, groups))


def fits(weights: tuple[int, ...], axes: str, layout: Layout) -> str:
    """Return how weights contradict the places that were declared for them; empty if they agree."""
    sizes = dict(zip(axes.split(), weights, strict=True))
    for name, places in (("n", layout.queries), ("m", layout.keys)):
        if places is None:
            continue
        if sizes[name] != places.entries:
            return f"{sizes[name]} along {name}, {places.entries} declared"
        if places.groups not in (1, sizes.get("g", 1)):
            return f"{sizes.get('g', 1)} groups, {places.groups} declared"
    return ""
