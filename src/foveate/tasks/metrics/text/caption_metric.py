"""What the metrics of captions share: how a text is split into words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from foveate.tasks.metrics.text.ptb_tokens import ptb_text
from foveate.tasks.metrics.text.text_metric import TextMetric


@dataclass(frozen=True)
class CaptionMetric(TextMetric):
    """A metric of words.

    Args:
        tokens: ``ptb``: Penn Treebank words in lower case, without punctuation, as coco-caption has them.
            ``whitespace``: the text as it is, split at spaces.
    """

    tokens: Literal["ptb", "whitespace"] = field(default="ptb", kw_only=True)

    def words(self, text: str) -> str:
        """Return the words of a text with spaces between them."""
        return ptb_text(text) if self.tokens == "ptb" else text

    def split(self, text: str) -> list[str]:
        """Return the words of a text."""
        return self.words(text).split()

    @property
    def settings(self) -> str:
        """Return how texts are split into words: ``tok:ptb``."""
        return f"tok:{self.tokens}"


def ngrams(words: Sequence[str], order: int) -> list[tuple[str, ...]]:
    """Return the runs of ``order`` words, in order.

    Example:
        >>> ngrams(["a", "red", "ball"], 2)
        [('a', 'red'), ('red', 'ball')]
    """
    return list(zip(*(words[start:] for start in range(order)), strict=False))
