"""Where a model of text looks: which pieces of words each piece attends to, in every layer and head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from foveate.errors import OptionError, ShapeError
from foveate.explain.record import record
from foveate.explain.recording.attention_map import AttentionMap
from foveate.infer.look_figures import Look
from foveate.running import device_of, eval_no_grad
from foveate.tasks.judged import WordReading
from foveate.typed import quoted

_TEXTS = "a text, or a list of texts"


def look_at_text(
    network: nn.Module, texts: object, tokenizer: Any, *, layer: str | None = None, head: int | None = None
) -> Look:
    """Return what each piece of a text attends to: the last layer as a matrix, every layer and head small.

    Args:
        network: Takes what the tokenizer returns, as the models of transformers do.
        texts: One text or several.
        tokenizer: As those of transformers: called with a text and ``return_tensors="pt"``, it returns a
            mapping with ``input_ids`` (1, N); ``convert_ids_to_tokens`` names them.
        layer: A pattern for the layers; the last of them is drawn large.
        head: One head for the large matrix; None for the mean of all.

    Raises:
        ShapeError: Something else than texts came.
        OptionError: The model has no self-attention over the text, or no such head; or the tokenizer is none.
    """
    given = [texts] if isinstance(texts, str) else list(texts) if isinstance(texts, list | tuple) else []
    if not given or not all(isinstance(text, str) and text.strip() for text in given):
        raise ShapeError(f"look: got {quoted(texts)} with a tokenizer, expected {_TEXTS}")
    if not callable(tokenizer) or not hasattr(tokenizer, "convert_ids_to_tokens"):
        raise OptionError(
            f"tokenizer: got a {type(tokenizer).__name__}, expected one as of transformers: callable, with "
            "convert_ids_to_tokens"
        )
    if getattr(getattr(network, "config", None), "is_encoder_decoder", False):
        raise OptionError(
            f"look: {type(network).__name__} reads one text and writes another. Look at its encoder, "
            "model.get_encoder(), or read maps.calls of fv.record."
        )
    readings, layers = [], []
    for text in given:
        encoded = {name: x.to(device_of(network)) for name, x in dict(_encoded(tokenizer, text)).items()}
        pieces = [str(piece) for piece in tokenizer.convert_ids_to_tokens(encoded["input_ids"][0].tolist())]
        calls = _self_attention(network, encoded, len(pieces), layer)
        last = calls[-1].weights[0].float()  # k n m
        if head is not None and not 0 <= head < len(last):
            raise OptionError(f"head: got {head}, {calls[-1].path} has {len(last)}, from 0")
        shown = last.mean(dim=0) if head is None else last[head]
        readings.append(WordReading(f"{calls[-1].path}: {text}", pieces, shown.double().numpy(), read=pieces))
        layers.append({call.path: call.weights[0].float().numpy() for call in calls})
    return Look(type(network).__name__, readings=readings, layers=layers)


def _encoded(tokenizer: Any, text: str) -> Mapping[str, Tensor]:
    found = tokenizer(text, return_tensors="pt")
    ids = found["input_ids"] if "input_ids" in found else None
    if not isinstance(ids, Tensor) or ids.ndim != 2 or len(ids) != 1:
        raise OptionError('tokenizer: returned no tensor "input_ids" (1, N) for one text')
    return {name: value for name, value in found.items() if isinstance(value, Tensor)}


def _self_attention(
    network: nn.Module, encoded: Mapping[str, Tensor], pieces: int, layer: str | None
) -> Sequence[AttentionMap]:
    """Return the maps from every piece to every piece, the layer nearest to the input first."""
    options: dict[str, Any] = {} if layer is None else {"layers": layer}
    with eval_no_grad(network), torch.no_grad(), record(network, device="cpu", **options) as maps:
        network(**encoded)
    found = [
        call
        for call in maps.in_order
        if call.pairwise
        and call.axes == "b k n m"
        and call.geometry is not None
        and call.geometry.queries.space == "sequence"
        and call.weights.shape[2:] == (pieces, pieces)
    ]
    if not found:
        raise OptionError(
            f"look: {type(network).__name__} has no attention among the {pieces} pieces of the text that "
            f"foveate knows. {maps.note}".rstrip()
        )
    return found
