"""Which words may come next, and how likely each is."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from foveate.decoding.search_options import SearchOptions
from foveate.errors import FoveateError, OptionError
from foveate.models.decoders.word_model import NO_WORD, WordModel

NEVER = float("-inf")


def beginning(model: WordModel, rows: int, device: torch.device) -> Int64[Tensor, " r"]:
    """Return what the first step is fed."""
    word = NO_WORD if model.start_word is None else model.start_word
    return torch.full((rows,), word, dtype=torch.int64, device=device)


def most_words(options: SearchOptions, limits: Sequence[int] | None, inputs: int) -> list[int]:
    """Return how many words each of the inputs may get.

    Raises:
        OptionError: There is not one limit for each, or one is below ``options.min_length``.
    """
    if limits is None:
        return [options.max_length] * inputs
    if len(limits) != inputs or min(limits, default=options.min_length) < options.min_length:
        raise OptionError(
            f"limits: got {list(limits)}, expected {inputs} numbers of at least "
            f"min_length={options.min_length}"
        )
    return [min(limit, options.max_length) for limit in limits]


def log_probabilities(
    logits: Float[Tensor, "r v"],
    model: WordModel,
    options: SearchOptions,
    length: int,
    most: Int64[Tensor, " r"],
) -> Float[Tensor, "r v"]:
    """Return log p of each word as the ``length``-th (from 1), minus infinity for those that may not come.

    Args:
        logits: Of the model.
        model: What they are from.
        options: Of the search.
        length: The number of words with this one.
        most: How many words each row may have; one that has as many must end.

    Raises:
        FoveateError: The logits are not numbers.
    """
    found = (logits if logits.dtype == torch.float64 else logits.float()).log_softmax(dim=1)
    if found.isnan().any():
        raise FoveateError(
            f"word {length}: the model's logits are not numbers. It diverged in training, or its weights are "
            "damaged."
        )
    banned = [word for word in (model.pad, model.start_word) if word is not None and word != model.end]
    found[:, [*banned, *options.forbidden]] = NEVER
    if length <= options.min_length:
        found[:, model.end] = NEVER
    full = length > most
    if full.any():
        ending = found[:, model.end].clone()
        found[full] = NEVER
        found[:, model.end] = ending
    return found


def best(candidates: Float[Tensor, "b n"], count: int) -> tuple[Float[Tensor, "b k"], Int64[Tensor, "b k"]]:
    """Return the greatest values of each row and their places, the lower place first among equals."""
    values, places = candidates.topk(count, dim=1)
    crowded = (candidates >= values[:, -1:]).sum(dim=1) > count  # which of the equal ones topk took is open
    if crowded.any():
        order = candidates[crowded].argsort(dim=1, descending=True, stable=True)[:, :count]
        places[crowded], values[crowded] = order, candidates[crowded].gather(1, order)
    places, order = places.sort(dim=1)
    values, order = values.gather(1, order).sort(dim=1, descending=True, stable=True)
    return values, places.gather(1, order)
