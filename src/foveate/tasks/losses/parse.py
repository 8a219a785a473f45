"""Losses in one string, such as ``ce+0.5*dice(smooth=1)``: the reader and the weighted sum.

Grammar:

    loss = term ("+" term)*
    term = [number "*"] name ["(" option ("," option)* ")"]

Options are read as those of mechanisms (``foveate.calls``); nothing is ever evaluated.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from foveate.calls import printed, split
from foveate.errors import SpecError
from foveate.spelling import build, shortest
from foveate.tasks.losses.loss import Loss, losses

_TERM = re.compile(r"(?:(?P<weight>[^*(]*)\*)?(?P<call>.*)", re.DOTALL)


@dataclass(frozen=True)
class WeightedSum(Loss):
    """Several losses of the same logits, each multiplied by its weight.

    Args:
        terms: (weight, loss) pairs.
    """

    terms: tuple[tuple[float, Loss], ...]

    def __call__(
        self,
        logits: Float[Tensor, "b k *s"],
        targets: Int64[Tensor, " b *t"],
        class_weights: Float[Tensor, " q"] | None = None,
    ) -> Float[Tensor, ""]:
        """Return the weighted sum; see ``Loss``."""
        return torch.stack([w * loss(logits, targets, class_weights) for w, loss in self.terms]).sum()

    def __str__(self) -> str:
        """Return what ``parse_loss`` reads back."""
        return "+".join(f"{'' if w == 1 else _factor(w)}{loss}" for w, loss in self.terms)


def parse_loss(text: str | Loss) -> Loss:
    """Read a loss; ``parse_loss(str(loss)) == loss`` for every loss.

    Raises:
        SpecError: The text is not a loss; the message quotes the part that cannot be read.
        UnknownNameError: No loss has such a name.
        OptionError: A loss does not have such an option, or the option cannot have such a value.

    Example:
        >>> str(parse_loss("ce + 0.50 * dice( smooth=1e-5, over = image )"))
        'ce+0.5*dice(smooth=1e-05, over=image)'
    """
    if isinstance(text, Loss):
        return text
    if not isinstance(text, str) or not text.strip():
        raise SpecError(f"got {text!r} as a loss, expected names with weights, such as ce+0.5*dice(smooth=1)")
    terms = tuple(_term(part.strip(), text) for part in split(text, "+"))
    return terms[0][1] if len(terms) == 1 and terms[0][0] == 1 else WeightedSum(terms)


def _term(part: str, text: str) -> tuple[float, Loss]:
    match = _TERM.fullmatch(part)
    assert match is not None  # the pattern fits every text
    written = match["weight"]
    try:
        weight = 1.0 if written is None else float(written)
    except ValueError:
        weight = math.nan
    if not 0 < weight < math.inf:
        raise SpecError(
            f'cannot read "{part}" in "{text}": the weight is "{written}", expected a number above 0, as in '
            "0.5*dice"
        )
    return weight, build(losses, match["call"])


def _factor(weight: float) -> str:
    return printed(shortest(weight)).replace("e+", "e") + "*"  # a plus would end the term
