"""The parts in which published forms of Show, Attend and Tell differ, beside what they attend with.

Paper   Xu et al. ICML 2015. arXiv:1502.03044, sections 3.1.2 and 4; the authors' code.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from foveate.models.decoders.readouts import Readout
from foveate.options import whole


class DeepStart(nn.Module):
    """The first h and c from the mean of the places, through layers with relu, then tanh; the authors' code.

    Args:
        channels: D of the mean.
        state: Of h and c.
        layers: How many in all; the last one is there for each of the two.
        dropout: Behind each layer with relu.
    """

    def __init__(self, channels: int, state: int, layers: int, dropout: float) -> None:
        super().__init__()
        more = whole("start_layers", layers) - 1
        self.deeper = nn.ModuleList(nn.Linear(channels, channels) for _ in range(more))
        self.hidden = nn.Linear(channels, state)
        self.cell = nn.Linear(channels, state)
        self.drop = nn.Dropout(dropout)

    def forward(self, summary: Float[Tensor, "b d"]) -> list[Float[Tensor, "b n"]]:
        """Return both."""
        for layer in self.deeper:
            summary = self.drop(layer(summary).relu())
        return [self.hidden(summary).tanh(), self.cell(summary).tanh()]


class CaptionReadout(Readout):
    """L_h h + L_z z + E y, as printed; with tanh and dropout at two places, as in the authors' code.

    Args:
        state: Of h.
        word: m, of E y and of the features.
        context: Of z.
        tanh: Whether the sum passes through tanh.
        layers: How many layers follow in all, the one over the vocabulary included; those before it have a
            relu and dropout.
        dropout: On h, and behind every layer here.
    """

    def __init__(
        self, state: int, word: int, context: int, *, tanh: bool, layers: int, dropout: float
    ) -> None:
        super().__init__()
        self.width, self.tanh = word, tanh
        self.of_state = nn.Linear(state, word)
        self.of_context = nn.Linear(context, word)
        more = whole("output_layers", layers) - 1
        self.deeper = nn.ModuleList(nn.Linear(word, word) for _ in range(more))
        self.drop = nn.Dropout(dropout)

    def forward(
        self, state: Float[Tensor, "*b n"], word: Float[Tensor, "*b m"], context: Float[Tensor, "*b d"]
    ) -> Float[Tensor, "*b f"]:
        """Return the features."""
        features = self.of_state(self.drop(state)) + self.of_context(context) + word
        features = self.drop(features.tanh() if self.tanh else features)
        for layer in self.deeper:
            features = self.drop(layer(features).relu())
        return features
