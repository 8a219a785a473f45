"""Which words may come next, and how likely each is."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from foveate.decoding.search_options import SearchOptions
from foveate.errors import FoveateError, OptionError, first_few
from foveate.models.decoders.word_model import NO_WORD, WordModel

NEVER = float("-inf")


def beginning(model: WordModel, rows: int, device: torch.device) -> Int64[Tensor, " r"]:
    """Return what the first step is fed."""
    word = NO_WORD if model.start_word is None else model.start_word
    return torch.full((rows,), word, dtype=torch.int64, device=device)


def most_words(options: SearchOptions, limits: Sequence[int] | None, inputs: int) -> list[int]:
    """Return how many words each of the inputs may get: at least ``options.min_length``.

    Raises:
        OptionError: There is not one limit for each.
    """
    if limits is None:
        return [options.max_length] * inputs
    if len(limits) != inputs:
        raise OptionError(f"limits: got {len(limits)}, expected one for each of {inputs} inputs")
    return [max(min(limit, options.max_length), options.min_length) for limit in limits]


def log_probabilities(
    logits: Float[Tensor, "r v"],
    model: WordModel,
    options: SearchOptions,
    length: int,
    most: Int64[Tensor, " r"],
) -> Float[Tensor, "r v"]:
    """Return log p of each word as the ``length``-th (from 1), minus infinity for those that may not come.

    Args:
        logits: Of the model; they are changed.
        model: What they are from.
        options: Of the search.
        length: The number of words with this one.
        most: How many words each row may have; one that has as many must end.

    Raises:
        FoveateError: The logits are not numbers.
    """
    wide, total = _allowed(logits, model, options, length, most)
    return wide - total


def likeliest(
    logits: Float[Tensor, "r v"],
    model: WordModel,
    options: SearchOptions,
    length: int,
    most: Int64[Tensor, " r"],
    count: int,
) -> tuple[Float[Tensor, "r k"], Int64[Tensor, "r k"]]:
    """Return log p and number of the likeliest words of each row, the lower number first among equals.

    Args:
        logits: See ``log_probabilities``, likewise the following.
        model: What they are from.
        options: Of the search.
        length: The number of words with this one.
        most: How many words each row may have.
        count: How many are returned.
    """
    wide, total = _allowed(logits, model, options, length, most)
    values, words = best(wide, count)
    return values.double() - total.double(), words


def best(candidates: Float[Tensor, "b n"], count: int) -> tuple[Float[Tensor, "b k"], Int64[Tensor, "b k"]]:
    """Return the greatest values of each row and their places, the lower place first among equals."""
    values, places = candidates.topk(min(count + 1, candidates.shape[1]), dim=1)
    if values.shape[1] > count:  # which of equal values topk takes is open
        last = values[:, count - 1]
        crowded = (last == values[:, count]) & (last > NEVER)
        values, places = values[:, :count], places[:, :count]
        if crowded.any():
            order = candidates[crowded].argsort(dim=1, descending=True, stable=True)[:, :count]
            places[crowded], values[crowded] = order, candidates[crowded].gather(1, order)
    places, order = places.sort(dim=1)
    values, order = values.gather(1, order).sort(dim=1, descending=True, stable=True)
    return values, places.gather(1, order)


def _allowed(
    logits: Tensor, model: WordModel, options: SearchOptions, length: int, most: Tensor
) -> tuple[Float[Tensor, "r v"], Float[Tensor, "r 1"]]:
    """Return the logits, minus infinity for words that may not come, and what turns them into log p."""
    if length == 1:
        _expect_usable(options.forbidden, model, logits.shape[1])
    wide = logits if logits.dtype == torch.float64 else logits.float()
    total = wide.logsumexp(dim=1, keepdim=True)
    if not total.isfinite().all():
        raise FoveateError(
            f"word {length}: the model's logits are not numbers. It diverged in training, or its weights are "
            "damaged."
        )
    banned = {word for word in (model.pad, model.start_word) if word is not None and word != model.end}
    for word in banned.union(options.forbidden, {model.end} if length <= options.min_length else ()):
        wide[:, word] = NEVER
    full = length > most
    if full.any():
        ending = wide[:, model.end].clone()
        wide[full] = NEVER
        wide[:, model.end] = ending
    return wide, total


def _expect_usable(forbidden: Sequence[int], model: WordModel, words: int) -> None:
    """Raise an OptionError unless these are ordinary words, and not all of them."""
    usable = set(range(words)) - {model.pad, model.start_word, model.end}
    if not usable - {*forbidden} or not {*forbidden} <= usable:
        raise OptionError(
            f"forbidden: got {first_few(forbidden)}, expected numbers of words, 0 to {words - 1} without "
            "the special ones, that leave some to choose from"
        )
