"""The state of a decoder before the first word, from a summary of what it is going to read."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from foveate.errors import OptionError
from foveate.options import one_of

STARTS = ("bridge", "bridges", "linear", "linears", "copy", "zero")


class StartState(nn.Module):
    """Compute every tensor of the first state.

    Args:
        summary: Width of the summary: the mean of a picture, an encoder's last state.
        state: n of the state.
        tensors: How many there are: one for each layer, of an LSTM two.
        kind: "bridge" is tanh(W summary + b), the same for all tensors; "bridges" has a W for each of them;
            "linear" and "linears" are the same without tanh; "copy" is the summary, or the first n of 2n
            numbers, which are the forward direction's; "zero" is zero.

    Raises:
        OptionError: ``kind`` is unknown, or there is nothing of a fitting width to copy.
    """

    def __init__(self, summary: int, state: int, tensors: int, kind: str = "bridge") -> None:
        super().__init__()
        one_of("start", kind, STARTS)
        if kind == "copy" and summary not in (state, 2 * state):
            raise OptionError(
                f"start: got 'copy' with a summary of {summary} numbers, expected {state} or {2 * state}, "
                f"for a state of {state}. Write start=bridge, which takes any width."
            )
        self.kind, self.state, self.tensors = kind, state, tensors
        layers = {"bridge": 1, "linear": 1, "bridges": tensors, "linears": tensors}.get(kind, 0)
        self.layers = nn.ModuleList(nn.Linear(summary, state) for _ in range(layers))

    def forward(self, summary: Float[Tensor, "b f"]) -> list[Float[Tensor, "b n"]]:
        """Return the tensors."""
        if self.kind == "zero":
            return [summary.new_zeros(summary.shape[0], self.state)] * self.tensors
        if self.kind == "copy":
            return [summary[:, : self.state]] * self.tensors
        states = [layer(summary) for layer in self.layers]
        if self.kind.startswith("bridge"):
            states = [state.tanh() for state in states]
        return states if len(states) == self.tensors else states * self.tensors
