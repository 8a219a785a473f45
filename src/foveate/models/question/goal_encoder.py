"""How a goal becomes a vector: a recurrent network over its words, the embedding of a class, or a layer.

Shapes  words int64 (B, T) filled up with 0; classes int64 (B,); vectors float (B, G) -> (B, Q)
"""

from __future__ import annotations

from jaxtyping import Float, Int64
from torch import Tensor, nn

from foveate.errors import OptionError, ShapeError
from foveate.models.question.last_state import last_state
from foveate.models.question.question_model import PAD, word_lengths
from foveate.options import between, one_of, whole

GOALS = ("gru", "lstm", "class", "vector")


class GoalEncoder(nn.Module):
    """Encode goals.

    Args:
        kind: "gru" or "lstm" reads words, a question or a sentence, and takes its last state; "class" embeds
            the number of a class; "vector" brings a vector to ``state`` by a linear layer.
        words: How many words, or classes, there are; of "vector" G, its width.
        embedding: m of the words.
        state: Q of what comes out.
        dropout: Share of the words' embedding that training drops, in [0, 1).

    Raises:
        OptionError: ``kind`` is unknown, or a number is out of range.

    Example:
        >>> import torch
        >>> GoalEncoder("gru", 50, embedding=8, state=6)(torch.tensor([[5, 9, 7], [8, 0, 0]])).shape
        torch.Size([2, 6])
    """

    def __init__(
        self, kind: str, words: int, *, embedding: int = 300, state: int = 512, dropout: float = 0.0
    ) -> None:
        super().__init__()
        one_of("goal", kind, GOALS)
        self.kind, self.words, self.channels = kind, whole("words", words), whole("state", state)
        self.drop = nn.Dropout(between("dropout", dropout, 0, 0.999))
        if kind == "vector":
            self.project = nn.Linear(words, state)
        elif kind == "class":
            self.embedding = nn.Embedding(words, state)
        else:
            layer = nn.GRU if kind == "gru" else nn.LSTM
            self.embedding = nn.Embedding(words, whole("embedding", embedding), padding_idx=PAD)
            self.recurrent = layer(embedding, state, batch_first=True)

    @property
    def reads_words(self) -> bool:
        """Whether goals are sentences."""
        return self.kind in ("gru", "lstm")

    def forward(self, goal: Tensor, lengths: Int64[Tensor, " b"] | None = None) -> Float[Tensor, "b q"]:
        """Return the vector of each goal.

        Args:
            goal: See the header.
            lengths: Words of each sentence, where they do not follow from the 0s behind it.

        Raises:
            ShapeError: It is not of the kind.
        """
        self._expect(goal)
        if self.kind == "vector":
            return self.project(goal)
        if self.kind == "class":
            return self.embedding(goal)
        lengths = word_lengths(goal) if lengths is None else lengths
        return last_state(self.recurrent, self.drop(self.embedding(goal)), lengths)[0]

    def example(self, items: int) -> Tensor:
        """Return goals on which a model can be tried; always the same."""
        import torch

        if self.kind == "vector":
            return torch.linspace(-1, 1, items * self.words).view(items, self.words)
        some = torch.arange(items) % max(self.words - 1, 1)
        return some if self.kind == "class" else (some + min(1, self.words - 1)).view(-1, 1).repeat(1, 4)

    def _expect(self, goal: Tensor) -> None:
        wants = {"vector": (2, f"vectors (B, {self.words})"), "class": (1, "numbers of classes (B,), int64")}
        ndim, what = wants.get(self.kind, (2, "numbers of words (B, T), int64, filled up with 0"))
        width = self.kind != "vector" or goal.shape[-1] == self.words
        if goal.ndim != ndim or goal.is_floating_point() != (self.kind == "vector") or not width:
            raise ShapeError(f"goal={self.kind}: got {tuple(goal.shape)} of {goal.dtype}, expected {what}.")


def expect_no_recurrence(kind: str, embedding: int | None) -> None:
    """Raise where the width of words is given though goals are not words.

    Raises:
        OptionError: It is.
    """
    if embedding is not None and kind not in ("gru", "lstm"):
        raise OptionError(f"embedding: got {embedding} with goal={kind}, which has no words. Leave it out.")
