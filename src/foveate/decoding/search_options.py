"""How sentences are searched: beam, lengths, penalties, forbidden words, sampling."""

from __future__ import annotations

from dataclasses import dataclass

from foveate.errors import OptionError
from foveate.options import between, check_fields, whole

WIDEST = 1000  # hypotheses
_MOST = 100.0  # of a penalty


@dataclass(frozen=True)
class SearchOptions:
    """How sentences are searched in a model that predicts them word by word.

    Args:
        beam: How many hypotheses are kept; 1 takes the likeliest word each time (greedy search).
        nbest: How many hypotheses are returned for each input, best first; at most ``beam`` unless drawn.
        length_penalty: a >= 0; hypotheses of n words, the ending counted, are ranked by log p over
            ((5 + n)/6)^a. 0 prefers short sentences. Wu et al., arXiv:1609.08144, equation 14.
        coverage_penalty: c >= 0; adds c * sum_i log(min(sum_t a_ti, 1)), a_ti being what word t read of entry
            i, to finished hypotheses: it asks for everything to be read. The same, without length.
        min_length: Least number of words, the ending not counted; at least 1, so nothing is empty.
        max_length: Greatest number of words; a sentence that has not ended by then is cut there.
        forbidden: Numbers of words that may not be chosen.
        sample: Whether words are drawn instead of searched; each of the ``nbest`` is drawn by itself.
        temperature: What the logits are divided by before drawing; above 0.
        top_k: Draw among this many of the likeliest words; 0 for all.

    Raises:
        OptionError: A number is outside its range.
    """

    beam: int = 5
    nbest: int = 1
    length_penalty: float = 1.0
    coverage_penalty: float = 0.0
    min_length: int = 1
    max_length: int = 100
    forbidden: tuple[int, ...] = ()
    sample: bool = False
    temperature: float = 1.0
    top_k: int = 0

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("beam", "nbest", "min_length", "max_length"):
            whole(name, getattr(self, name))
        whole("top_k", self.top_k, 0)
        if self.beam > WIDEST:
            raise OptionError(f"beam: got {self.beam}, expected at most {WIDEST}")
        between("length_penalty", self.length_penalty, 0, _MOST)
        between("coverage_penalty", self.coverage_penalty, 0, _MOST)
        if not 0 < self.temperature < float("inf"):
            raise OptionError(f"temperature: got {self.temperature!r}, expected a number above 0")
        if self.min_length > self.max_length:
            raise OptionError(
                f"min_length: got {self.min_length}, which is more than max_length={self.max_length}"
            )
        if not self.sample and (self.temperature != 1 or self.top_k):
            raise OptionError(
                "temperature, top_k: they say how words are drawn. Write sample=True with them, or leave "
                "them out."
            )
        if not self.sample and self.nbest > self.beam:
            raise OptionError(
                f"nbest: got {self.nbest}, but a beam of {self.beam} finds {self.beam} hypotheses at most. "
                "Choose a wider beam, or sample."
            )

    def penalty(self, length: int) -> float:
        """Return what log p is divided by for this many words, the ending counted."""
        return float(((5 + length) / 6) ** self.length_penalty)
