"""Weights that a model forms itself, by a softmax over the last axis: what then multiplies the values.

That is not always the softmax: talking heads mix the heads after it, ConViT blends two of them, differential
attention subtracts one from another. So the result of a softmax is followed, through what keeps its shape, to
the matrix product that it enters in the same layer; the operand there is recorded.
"""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

_AS_IT_IS = {  # the values stay the same, or are dropped or cast
    F.dropout, torch.dropout, Tensor.contiguous, Tensor.to, Tensor.type_as, Tensor.type, Tensor.float,
    Tensor.half, Tensor.bfloat16, Tensor.double, Tensor.clone, torch.clone, Tensor.view, Tensor.reshape,
    torch.reshape, Tensor.permute, torch.permute, Tensor.transpose, torch.transpose, Tensor.flatten,
    torch.flatten, Tensor.unflatten, torch.unflatten, Tensor.squeeze, torch.squeeze, Tensor.unsqueeze,
    torch.unsqueeze, Tensor.expand, Tensor.movedim, torch.movedim, Tensor.nan_to_num, torch.nan_to_num,
    Tensor.repeat_interleave, Tensor.__getitem__,
    Tensor.swapaxes, torch.swapaxes, Tensor.chunk, torch.chunk, Tensor.split, torch.split, Tensor.unbind,
    torch.unbind, Tensor.masked_fill, torch.masked_fill, Tensor.masked_fill_, Tensor.detach,
    *(getattr(Tensor, name).__get__ for name in ("mT", "T", "mH")),
}  # fmt: skip
_CHANGES = {  # the result is something else, of the same shape
    Tensor.add, torch.add, Tensor.__add__, Tensor.__radd__, Tensor.__iadd__, Tensor.add_, Tensor.sub,
    torch.sub, Tensor.__sub__, Tensor.__rsub__, Tensor.__isub__, Tensor.sub_, Tensor.mul, torch.mul,
    Tensor.__mul__, Tensor.__rmul__, Tensor.__imul__, Tensor.mul_, Tensor.div, torch.div,
    Tensor.__truediv__, Tensor.__itruediv__, Tensor.div_, torch.where, Tensor.where, F.normalize,
    F.linear, F.conv2d, torch.conv2d,
}  # fmt: skip
_PRODUCTS = {torch.matmul, Tensor.matmul, Tensor.__matmul__, torch.bmm, Tensor.bmm}
SOFTMAXES = {F.softmax, torch.softmax, Tensor.softmax, torch.special.softmax}


@dataclass(frozen=True)
class Followed:
    """A tensor that came from a softmax.

    Args:
        path: The layer that the softmax ran in.
        mixed: Whether something was done to the softmax.
        whole: Whether it belongs to linear attention, so that the product with the values is followed on.
        weights: In that product, what multiplied the values.
    """

    path: str
    mixed: bool = False
    whole: bool = False
    weights: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Product:
    """What multiplied the values in a matrix product.

    Args:
        operand: (..., N, M).
        mixed: Whether it is more than a softmax.
    """

    operand: Tensor
    mixed: bool

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the weights, (..., N, M)."""
        return tuple(self.operand.shape)

    @property
    def precision(self) -> str:
        """How exact the weights are, in words."""
        return f"the model's own, {str(self.operand.dtype).removeprefix('torch.')}"

    def weights(self, heads: tuple[int, ...] | None = None, rows: tuple[int, ...] | None = None) -> Tensor:
        """Return a copy of the weights (..., N, M) of some heads (axis -3) and some queries, or of all."""
        return self._chosen(self.operand.detach(), heads, rows).clone()

    def on_gradient(
        self, keep: Callable[[Tensor], None], heads: tuple[int, ...] | None, rows: tuple[int, ...] | None
    ) -> Any:
        """Hand the gradient with respect to the weights to ``keep``; return the hook's handle, or None."""
        if not self.operand.requires_grad:
            return None
        return self.operand.register_hook(lambda g: keep(self._chosen(g.detach(), heads, rows).clone()))

    @staticmethod
    def _chosen(of: Tensor, heads: tuple[int, ...] | None, rows: tuple[int, ...] | None) -> Tensor:
        of = of if heads is None else of[..., list(heads), :, :]
        return of if rows is None else of[..., list(rows), :]


class Follower:
    """Follows the results of softmaxes until they multiply values. It holds no tensor alive.

    Attributes:
        found: What is followed at present, by the ``id`` of its tensor.
    """

    def __init__(self) -> None:
        self.found: dict[int, tuple[weakref.ref[Tensor], Followed]] = {}

    def start(self, result: Tensor, path: str, whole: bool = False) -> None:
        """Follow the result of a softmax in the layer at a path; see ``Followed``."""
        self._follow(result, Followed(path, whole=whole))

    def clear(self) -> None:
        """Forget everything."""
        self.found.clear()

    def step(
        self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any
    ) -> tuple[Product, str] | None:
        """See one call; return what multiplied values in it, if it was that, and the layer of its softmax."""
        operands = [(a, self._of(a)) for a in _tensors(args, kwargs)]
        known = [(tensor, followed) for tensor, followed in operands if followed is not None]
        if not known:
            return None
        if function in _PRODUCTS:
            return self._multiplied(args, *known[0], result)
        if function in (torch.einsum, torch.functional.einsum):
            return self._einsum(args, known[0])
        mixes = function in _CHANGES
        if mixes or function in _AS_IT_IS:
            for out in result if isinstance(result, tuple | list) else (result,):
                if isinstance(out, Tensor) and not (mixes and out.shape != known[0][0].shape):
                    mixed = mixes or any(followed.mixed for _, followed in known)
                    self._follow(out, dataclasses.replace(known[0][1], mixed=mixed))
        return None

    def _multiplied(
        self, args: tuple[Any, ...], tensor: Tensor, followed: Followed, result: Tensor
    ) -> tuple[Product, str] | None:
        weights = tensor if tensor is args[0] else tensor.mT
        if followed.weights is not None:  # Q (A V): the weights are Q A
            return Product(args[0] @ followed.weights, mixed=True), followed.path
        self.found.pop(id(tensor), None)  # once is enough: it may multiply several things
        if followed.whole:
            self._follow(result, Followed(followed.path, whole=True, weights=weights))
            return None
        return Product(weights, followed.mixed), followed.path

    def _einsum(self, args: tuple[Any, ...], known: tuple[Tensor, Followed]) -> tuple[Product, str] | None:
        tensor, followed = known
        if not isinstance(args[0], str) or "->" not in args[0] or "." in args[0]:
            return None
        operands = args[1] if isinstance(args[1], tuple | list) else args[1:]
        inputs, output = args[0].replace(" ", "").split("->")
        texts = inputs.split(",")
        at = next(i for i, operand in enumerate(operands) if operand is tensor)
        mine, others = texts[at], "".join(texts[:at] + texts[at + 1 :])
        keys = [letter for letter in mine if letter in others and letter not in output]
        queries = [letter for letter in mine if letter not in others and letter in output]
        if len(keys) != 1 or len(queries) > 1:
            return None
        self.found.pop(id(tensor), None)
        moved = tensor.movedim(mine.index(keys[0]), -1)
        if queries:
            rest = mine.replace(keys[0], "")
            moved = moved.movedim(rest.index(queries[0]), -2)
        else:
            moved = moved.unsqueeze(-2)
        return Product(moved, followed.mixed), followed.path

    def _follow(self, tensor: Tensor, followed: Followed) -> None:
        number = id(tensor)
        self.found[number] = weakref.ref(tensor, lambda _: self.found.pop(number, None)), followed

    def _of(self, tensor: Tensor) -> Followed | None:
        found = self.found.get(id(tensor))
        return found[1] if found is not None and found[0]() is tensor else None


def last_axis(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Return whether a softmax with these arguments runs over the last of three axes or more."""
    x = args[0] if args else kwargs.get("input")
    dim = args[1] if len(args) > 1 else kwargs.get("dim")
    return isinstance(x, Tensor) and x.ndim >= 3 and dim in (-1, x.ndim - 1)


def _tensors(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor]:
    flat = [b for a in (*args, *kwargs.values()) for b in (a if isinstance(a, tuple | list) else (a,))]
    return [a for a in flat if isinstance(a, Tensor)]
