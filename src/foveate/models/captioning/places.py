"""How captioners come by the places of a picture: features that were computed before, or an encoder."""

from __future__ import annotations

import math

from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.errors import OptionError, ShapeError
from foveate.models.encoders.last_map import NOTHING, LastMap, as_memory, build_last_map
from foveate.models.normalisation import keep_normalisation, model_normalisation
from foveate.options import whole


class Places(nn.Module):
    """Turn what comes in into places.

    Args:
        channels: D of features; with an encoder, its own.
        encoder: None if features (B, N, D) come in. Or the name of a classifier, see ``build_last_map``:
            then pictures (B, 3, H, W) come in, normalised as ``model_normalisation`` says, or the features
            that it gives of square ones.
        pretrained: Fetch the encoder's published weights.
        trainable: What of the encoder learns: "none", "all", or a pattern of paths of modules, such as
            ``layer[234]``. What does not learn does not change in training at all.
        places: Rows and columns to which the encoder's map is brought by adaptive average pooling; None
            leaves it as it is.

    Attributes:
        channels: D of what comes out.

    Raises:
        UnknownNameError: There is no such encoder.
        OptionError: The encoder has no last map, or an option is out of range.
    """

    def __init__(
        self, channels: int, *, encoder: str | None, pretrained: bool, trainable: str, places: int | None
    ) -> None:
        super().__init__()
        self.places = None if places is None else whole("places", places)
        self.last_map: LastMap | None = None
        if encoder is None:
            if trainable != NOTHING or pretrained or places is not None:
                raise OptionError(
                    "trainable, pretrained_encoder, places: options of an encoder. Name one with encoder="
                )
            self.channels = whole("channels", channels)
            return
        self.last_map = build_last_map(encoder, pretrained=pretrained, trainable=trainable)
        self.channels = self.last_map.channels
        keep_normalisation(self, *model_normalisation(self.last_map))

    def forward(self, given: Tensor) -> Float[Tensor, "b n d"]:
        """Return the places of pictures, or of features that were given.

        Raises:
            ShapeError: They are neither.
        """
        if given.ndim == 4 and self.last_map is not None:
            if given.shape[1] != 3 or not given.is_floating_point():
                raise ShapeError(
                    f"captioner: got {tuple(given.shape)} of {given.dtype}, expected normalised pictures "
                    "(B, 3, H, W), or features of its encoder (B, N, D)."
                )
            return self._pooled(self.last_map(given))
        if given.ndim != 3 or given.shape[2] != self.channels or not given.is_floating_point():
            pictures = ", or pictures (B, 3, H, W)" if self.last_map is not None else ""
            raise ShapeError(
                f"captioner: got {tuple(given.shape)} of {given.dtype}, expected features (B, N, "
                f"{self.channels}){pictures}. Build it with channels= theirs, or with encoder= for pictures."
            )
        if self.places is None:
            return given
        rows = math.isqrt(given.shape[1])
        if rows**2 != given.shape[1]:
            raise ShapeError(
                f"captioner: got features of {given.shape[1]} places, expected those of a square map, which "
                f"is then pooled to {self.places} x {self.places}."
            )
        return self._pooled(given.transpose(1, 2).unflatten(2, (rows, rows)))

    def _pooled(self, maps: Float[Tensor, "b d h w"]) -> Float[Tensor, "b n d"]:
        return as_memory(maps if self.places is None else F.adaptive_avg_pool2d(maps, self.places))


def expect_numbers(classes: int, pad: int, start: int | None, end: int) -> None:
    """Check that the numbers of special words are those of words.

    Raises:
        OptionError: One is not.
    """
    whole("classes", classes)
    for name, number in {"pad": pad, "start": start, "end": end}.items():
        if number is not None:
            whole(name, number, 0, classes - 1)


def embedded(words: Int64[Tensor, "*b"], embedding: nn.Embedding) -> Float[Tensor, "*b d"]:
    """Return the embeddings of words, and zeros for ``NO_WORD``."""
    vectors: Tensor = embedding(words.clamp_min(0))
    return vectors.masked_fill((words < 0).unsqueeze(-1), 0.0)
