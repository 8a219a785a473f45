"""Layers whose weight is divided by its largest singular value, by the four rules that are in use.

Formula W / sigma with v = normed(W^T u), u' = normed(W v), sigma = u'^T W v; gradients flow through W alone.
Paper   Miyato, Kataoka, Koyama, Yoshida. Spectral Normalization for Generative Adversarial Networks. ICLR
        2018. arXiv:1802.05957, algorithm 1.
Rules   "released" (BigGAN-PyTorch): a step of the power iteration in every forward pass, kept in training;
        in evaluation it is taken from the stored u and forgotten. "authors" (SAGAN's TensorFlow code): the
        same, but what runs inside ``still`` keeps nothing: there u of the discriminator follows the real
        batch alone. "toy" (heykeetae): a step in every forward pass, kept in evaluation too. "torch"
        (torch.nn.utils.parametrizations): u first, then v; in evaluation no step, but the stored u and v.
Shapes  a weight is a matrix (out, rest), that of a transposed convolution (in, rest); u (out,), v (rest,).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.mechanisms.precision import full_precision, widen
from foveate.options import one_of

RULES = ("released", "authors", "toy", "torch")
_EPS = 1e-12
_STORES_V = ("toy", "torch")

if TYPE_CHECKING:
    _Base = nn.Module
else:
    _Base = object


class SpectrallyNormalised(_Base):
    """What the layers of this file share: ``weight``, ``u`` and the rule; mixed into a layer of torch."""

    weight: Tensor
    u: Tensor
    v: Tensor
    rule: str
    still: bool

    def begin(self, rule: str) -> None:
        """Draw u, and v where the rule stores it, of length 1."""
        self.rule, self.still = one_of_rules(rule), False
        rows, columns = self.weight.shape[0], self.weight[0].numel()
        self.register_buffer("u", _normed(torch.randn(rows)))
        if rule in _STORES_V:
            self.register_buffer("v", _normed(torch.randn(columns)))

    def normal_weight(self) -> Tensor:
        """Return the weight over its largest singular value, as far as the power iteration knows it."""
        with full_precision(self.weight):
            weight = widen(self.weight)
            return (weight / self._sigma(weight)).to(self.weight.dtype)

    def _sigma(self, weight: Tensor) -> Float[Tensor, ""]:
        matrix = _matrix(weight, as_it_lies=self.rule not in _STORES_V)
        fixed, u = matrix.detach(), self.u.to(matrix.dtype)
        if self.rule == "torch":
            v = self.v.to(matrix.dtype)
            if self.training:
                u = _normed(torch.mv(fixed, v))
                v = _normed(torch.mv(fixed.t(), u))
                self._keep(u, v)
            return torch.dot(u, torch.mv(matrix, v))
        v = _normed(torch.mv(fixed.t(), u))
        product = torch.mv(matrix, v)
        u = _normed(product.detach())
        if self.rule == "toy" or (self.training and not self.still):
            self._keep(u, v if self.rule == "toy" else None)
        return torch.dot(u, product)

    @torch.no_grad()
    def _keep(self, u: Tensor, v: Tensor | None) -> None:
        if torch.compiler.is_exporting():
            return  # an exported network computes; it does not learn
        self.u.copy_(u)
        if v is not None:
            self.v.copy_(v)


class SpectralLinear(SpectrallyNormalised, nn.Linear):
    """A linear layer; see the module's docstring."""

    def __init__(self, inputs: int, outputs: int, *, rule: str, bias: bool = True) -> None:
        super().__init__(inputs, outputs, bias=bias)
        self.begin(rule)

    def forward(self, input: Tensor) -> Tensor:
        """Return what ``nn.Linear`` returns with the normal weight."""
        return F.linear(input, self.normal_weight(), self.bias)


class SpectralConv2d(SpectrallyNormalised, nn.Conv2d):
    """A convolution; see the module's docstring."""

    def __init__(self, channels: int, out: int, kernel: int, *, rule: str, **options: Any) -> None:
        super().__init__(channels, out, kernel, **options)
        self.begin(rule)

    def forward(self, input: Tensor) -> Tensor:
        """Return what ``nn.Conv2d`` returns with the normal weight."""
        return self._conv_forward(input, self.normal_weight(), self.bias)


class SpectralConvTranspose2d(SpectrallyNormalised, nn.ConvTranspose2d):
    """A transposed convolution; see the module's docstring."""

    def __init__(self, channels: int, out: int, kernel: int, *, rule: str, **options: Any) -> None:
        super().__init__(channels, out, kernel, **options)
        self.begin(rule)

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Return what ``nn.ConvTranspose2d`` returns with the normal weight."""
        stride, padding = (tuple(map(int, pair)) for pair in (self.stride, self.padding))
        return F.conv_transpose2d(input, self.normal_weight(), self.bias, stride, padding)


class SpectralTable(SpectrallyNormalised, nn.Module):
    """A row of numbers for every class, mixed by how much of each class a condition holds.

    For a condition that is 1 at one class and 0 elsewhere it is that class's row, as ``nn.Embedding`` has it.

    Args:
        rows: Number of classes.
        width: Length of a row.
        rule: One of ``RULES``.
    """

    def __init__(self, rows: int, width: int, *, rule: str) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(rows, width))
        nn.init.normal_(self.weight)
        self.begin(rule)

    def forward(self, condition: Float[Tensor, "b k"]) -> Float[Tensor, "b w"]:
        """Return the mixed row (B, width)."""
        return condition @ self.normal_weight()


@contextmanager
def still(model: nn.Module) -> Iterator[None]:
    """Let no layer of a model keep its step of the power iteration inside the block; not those of "toy"."""
    layers = [layer for layer in model.modules() if isinstance(layer, SpectrallyNormalised)]
    before = [layer.still for layer in layers]
    for layer in layers:
        layer.still = True
    try:
        yield
    finally:
        for layer, was in zip(layers, before, strict=True):
            layer.still = was


def one_of_rules(rule: str) -> str:
    """Return a rule that is known.

    Raises:
        OptionError: It is not one of ``RULES``.
    """
    one_of("spectral", rule, RULES)
    return rule


def _matrix(weight: Tensor, *, as_it_lies: bool) -> Float[Tensor, "o r"]:
    """Return a weight as a matrix.

    The order of its columns changes neither sigma nor u: where v is not stored, a kernel whose channels lie
    last in memory is taken in that order, which copies nothing.
    """
    if as_it_lies and weight.ndim == 4 and not weight.is_contiguous():
        weight = weight.permute(0, 2, 3, 1)
    return weight.flatten(1)


def _normed(x: Tensor) -> Tensor:
    return x / x.norm().clamp_min(_EPS)
