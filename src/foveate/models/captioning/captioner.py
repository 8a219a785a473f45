"""What all captioners share: how they come by the places of a picture, and by the embeddings of words."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.errors import OptionError, ShapeError
from foveate.models.decoders.word_model import WordModel
from foveate.models.encoders.last_map import NOTHING, LastMap, as_memory, build_last_map, expect_images
from foveate.options import whole


class Captioner(WordModel):
    """A model of words that reads the places of a picture.

    Args:
        classes: V, how many words the vocabulary has.
        channels: D of features; with an encoder, its own.
        encoder: None if features (B, N, D) come in. Or the name of a classifier, see ``build_last_map``:
            then pictures (B, 3, H, W) come in, normalised as ``model_normalisation`` says.
        pretrained_encoder: Fetch the encoder's published weights.
        trainable: What of the encoder learns: "none", "all", or a pattern of paths of modules, such as
            ``layer[234]``. What does not learn does not change in training at all.
        places: Rows and columns to which the encoder's map is brought by adaptive average pooling; None
            leaves it as it is.
        pad: Number of the word that fills a batch up.
        start: Number of the word that begins a sentence; None if a zero vector is fed first.
        end: Number of the word that ends one.

    Raises:
        UnknownNameError: There is no such encoder.
        OptionError: The encoder has no last map, or an option is out of range.
    """

    def __init__(
        self,
        classes: int,
        channels: int,
        *,
        encoder: str | None,
        pretrained_encoder: bool,
        trainable: str,
        places: int | None,
        pad: int,
        start: int | None,
        end: int,
    ) -> None:
        numbers = {"pad": pad, "end": end, **({} if start is None else {"start": start})}
        super().__init__(whole("classes", classes), pad=pad, start=start, end=end)
        for name, number in numbers.items():
            whole(name, number, 0, classes - 1)
        self.encoder: LastMap | None = None
        self.places = None if places is None else whole("places", places)
        if encoder is not None:
            self.encoder = build_last_map(encoder, pretrained=pretrained_encoder, trainable=trainable)
        elif trainable != NOTHING or pretrained_encoder or places is not None:
            raise OptionError(
                "trainable, pretrained_encoder and places are options of an encoder: name one with encoder=."
            )
        self.channels = whole("channels", channels) if self.encoder is None else self.encoder.channels

    def entries(self, given: Tensor) -> Float[Tensor, "b n d"]:
        """Return the features of pictures, or check features that were given.

        Raises:
            ShapeError: They are neither.
        """
        name = type(self).__name__
        if self.encoder is not None:
            expect_images(name, given)
            maps = self.encoder(given)
            return as_memory(maps if self.places is None else F.adaptive_avg_pool2d(maps, self.places))
        if given.ndim != 3 or given.shape[2] != self.channels or not given.is_floating_point():
            raise ShapeError(
                f"{name}: got {tuple(given.shape)} of {given.dtype}, expected features "
                f"(B, N, {self.channels}) in floating point. Build it with channels= theirs, or with encoder= for pictures."
            )
        return given


def embedded(words: Int64[Tensor, "*b"], embedding: nn.Embedding) -> Float[Tensor, "*b d"]:
    """Return the embeddings of words, and zeros for ``NO_WORD``."""
    vectors: Tensor = embedding(words.clamp_min(0))
    return vectors.masked_fill((words < 0).unsqueeze(-1), 0.0)


def prefixed(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return weights with a prefix before their names."""
    return {f"{prefix}{name}": value for name, value in state.items()}


def expect_words(name: str, words: Tensor, axes: int) -> None:
    """Raise a ShapeError unless these are numbers of words with so many axes."""
    if words.ndim != axes or words.dtype != torch.int64:
        expected = "(B,)" if axes == 1 else "(B, T)"
        raise ShapeError(
            f"{name}: got {tuple(words.shape)} of {words.dtype}, expected words {expected}, int64."
        )
