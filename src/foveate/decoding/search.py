"""Search as options say: in a beam, greedily, or by drawing."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from foveate.decoding.beam_search import beam_search
from foveate.decoding.hypothesis import Hypothesis
from foveate.decoding.sample import sample
from foveate.decoding.search_options import SearchOptions
from foveate.models.decoders.word_model import Memory, WordModel


def search(
    model: WordModel,
    memory: Memory,
    options: SearchOptions,
    *,
    limits: Sequence[int] | None = None,
    keep_weights: bool = False,
    generator: torch.Generator | None = None,
) -> list[list[Hypothesis]]:
    """Return ``options.nbest`` sentences for each input of the memory, best first; none is empty.

    See ``beam_search`` and ``sample``.

    Raises:
        OptionError: ``options.forbidden`` names a special word or none, or leaves no word.
    """
    if options.sample:
        return sample(model, memory, options, limits=limits, generator=generator)
    return beam_search(model, memory, options, limits=limits, keep_weights=keep_weights)
