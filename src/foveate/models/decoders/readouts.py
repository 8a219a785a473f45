"""Readouts: a decoder's state, the last word and what was read, before the layer over the vocabulary.

All of them take tensors whose axes but the last broadcast, so that all steps, or all that a step could have
read, are one call.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.errors import OptionError
from foveate.models.decoders.repeated_linear import repeated
from foveate.options import whole


class Readout(nn.Module):
    """Turn state, word and context into features.

    Class attributes:
        reads: Whether the context counts.

    Attributes:
        width: Of the features.
    """

    reads: ClassVar[bool] = True
    width: int

    @abstractmethod
    def forward(
        self, state: Float[Tensor, "... n"], word: Float[Tensor, "... m"], context: Float[Tensor, "... d"]
    ) -> Float[Tensor, "... f"]:
        """Return the features."""


class StateReadout(Readout):
    """The state alone, which has read already.

    Args:
        state: n of the state.
        dropout: Share of the features that training drops.
    """

    reads = False

    def __init__(self, state: int, *, dropout: float) -> None:
        super().__init__()
        self.width, self.drop = state, nn.Dropout(dropout)

    def forward(
        self, state: Float[Tensor, "... n"], word: Float[Tensor, "... m"], context: Float[Tensor, "... d"]
    ) -> Float[Tensor, "... n"]:
        """Return the state."""
        return self.drop(state)


class DeepReadout(Readout):
    """tanh(W_s s + W_y y + W_c c). Pascanu et al. ICLR 2014; Show, Attend and Tell; dl4mt.

    Args:
        state: n of the state.
        word: m of the words.
        context: D of what is read.
        width: Of the features; None for m.
        add_word: Whether the word is added as it is, without W_y.
        dropout: Share of the features that training drops.

    Raises:
        OptionError: The word is to be added, and ``width`` is not m.
    """

    def __init__(
        self,
        state: int,
        word: int,
        context: int,
        *,
        width: int | None = None,
        add_word: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.width = word if width is None else whole("readout_width", width)
        if add_word and self.width != word:
            raise OptionError(f"readout_width: got {width}, expected {word}, as the word is added to it")
        self.of_state = nn.Linear(state, self.width)
        self.of_word = nn.Identity() if add_word else nn.Linear(word, self.width)
        self.of_context = nn.Linear(context, self.width)
        self.drop = nn.Dropout(dropout)

    def forward(
        self, state: Float[Tensor, "... n"], word: Float[Tensor, "... m"], context: Float[Tensor, "... d"]
    ) -> Float[Tensor, "... f"]:
        """Return the features."""
        return self.drop((self.of_state(state) + self.of_word(word) + self.of_context(context)).tanh())


class MaxoutReadout(Readout):
    """The greater of each two of U s + V y + C c + b. Bahdanau, Cho, Bengio. ICLR 2015, appendix A.2.2.

    Args:
        state: n of the state.
        word: m of the words.
        context: D of what is read.
        width: l of the features; None for m.
        dropout: Share of the features that training drops.
    """

    def __init__(
        self, state: int, word: int, context: int, *, width: int | None = None, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.width = word if width is None else whole("readout_width", width)
        self.of_state = nn.Linear(state, 2 * self.width)
        self.of_word = nn.Linear(word, 2 * self.width, bias=False)
        self.of_context = nn.Linear(context, 2 * self.width, bias=False)
        self.drop = nn.Dropout(dropout)

    def forward(
        self, state: Float[Tensor, "... n"], word: Float[Tensor, "... m"], context: Float[Tensor, "... d"]
    ) -> Float[Tensor, "... f"]:
        """Return the features."""
        pairs = self.of_state(state) + self.of_word(word) + self.of_context(context)
        return self.drop(pairs.unflatten(-1, (self.width, 2)).amax(dim=-1))


class VectorReadout(Readout):
    """The attention vector tanh(W [s; c] + b). Luong, Pham, Manning. EMNLP 2015, equation 5.

    Args:
        state: n of the state.
        context: D of what is read.
        width: Of the features; None for n.
        dropout: Share of state and context that training drops.
    """

    def __init__(self, state: int, context: int, *, width: int | None = None, dropout: float = 0.0) -> None:
        super().__init__()
        self.width, self.state = state if width is None else whole("readout_width", width), state
        self.pair = nn.Linear(state + context, self.width)
        self.drop = nn.Dropout(dropout)

    def forward(
        self, state: Float[Tensor, "... n"], word: Float[Tensor, "... m"], context: Float[Tensor, "... d"]
    ) -> Float[Tensor, "... f"]:
        """Return the features."""
        of_state, of_context = self.pair.weight.split([self.state, context.shape[-1]], dim=1)
        stated = F.linear(self.drop(state), of_state, self.pair.bias)
        return (stated + F.linear(self.drop(context), of_context)).tanh()

    def unrolled(self) -> Callable[[Tensor, Tensor], Tensor]:
        """Return the function that is called with the state (B, n) and the context (B, D) of each step."""
        weight = self.pair.weight
        of_state = repeated(weight[:, : self.state], self.pair.bias)
        of_context = repeated(weight[:, self.state :])
        drop = self.drop
        return lambda state, context: (of_state(drop(state)) + of_context(drop(context))).tanh()
