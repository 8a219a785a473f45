"""Search as options say: in a beam, greedily, or by drawing."""

from __future__ import annotations

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
    keep_weights: bool = False,
    generator: torch.Generator | None = None,
) -> list[list[Hypothesis]]:
    """Return ``options.nbest`` sentences for each input of the memory, best first; none is empty."""
    if options.sample:
        return sample(model, memory, options, generator=generator)
    return beam_search(model, memory, options, keep_weights=keep_weights)
