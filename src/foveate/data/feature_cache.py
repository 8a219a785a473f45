"""Features of pictures by a frozen encoder, computed once and kept on disk.

The files are named by a hash of what they hold: the encoder with its weights, the size, the normalisation
and the bytes of each picture. They hold 64 pictures each and appear whole. So a killed run loses one at most,
pictures that are added at the end cost only themselves, and processes that start at once share the work. A
damaged file is made again. Nothing is deleted: to save room, remove the folder.

Shapes  ``Features[indices]`` float32 (B, N, D), N places of D channels; see ``picture_encoder``.
Cost    bytes on disk a picture: 2*N*D as float16, 4*N*D as float32; EfficientNet-Lite0 at 224 pixels 125,440.
"""

from __future__ import annotations

import hashlib
import logging
import random
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from foveate.data.base import ImageData, Split
from foveate.data.cache import cache
from foveate.data.cache_folder import cache_folder
from foveate.data.picture_encoder import Picture, PictureEncoder
from foveate.data.sealed_array import not_read_back, open_sealed, write_sealed
from foveate.errors import DataError, OptionError
from foveate.models.encoders.last_map import LastMap
from foveate.options import checked, one_of

VERSION = 1  # raise it whenever a feature could change
PRECISIONS = ("float16", "float32")
_SHARD = 64  # pictures a file
_log = logging.getLogger("foveate")


class Features:
    """The features of a list of pictures, in its order.

    Args:
        encoder: What made them.
        files: Of 64 pictures each.
        count: How many pictures there are.
        precision: Of the files.
    """

    def __init__(
        self, encoder: PictureEncoder, files: Sequence[Path], count: int, precision: str = "float16"
    ) -> None:
        self.encoder, self.files, self.count, self.precision = encoder, tuple(files), count, precision

    def __len__(self) -> int:
        return self.count

    @property
    def places(self) -> tuple[int, int]:
        """Rows and columns of places: entry n lies in row n // columns, column n % columns."""
        return self.encoder.places

    @property
    def channels(self) -> int:
        """D, of each place."""
        return self.encoder.channels

    def __getitem__(self, indices: Sequence[int] | Tensor | slice | np.ndarray) -> Float[Tensor, "b n d"]:
        """Return the features of some pictures, in float32.

        Raises:
            IndexError: There is no such picture.
        """
        wanted = np.atleast_1d(np.arange(self.count)[_plain(indices)])
        rows = np.empty((len(wanted), *self.encoder.shape), dtype=self.precision)
        for row, item in enumerate(wanted.tolist()):
            rows[row] = self._maps[item // _SHARD][item % _SHARD]
        return torch.from_numpy(rows).float()

    def encode_pictures(self, images: Sequence[Picture]) -> Float[Tensor, "b n d"]:
        """Return the features of new pictures, prepared like those of the list and not kept.

        Raises:
            DataError: One cannot be read.
        """
        return self.encoder.encode(images)

    @cached_property
    def _maps(self) -> list[np.memmap]:
        return [np.lib.format.open_memmap(path, mode="r") for path in self.files]

    def __getstate__(self) -> dict[str, Any]:
        """Leave the open files to the process that opened them."""
        return {name: value for name, value in vars(self).items() if name != "_maps"}


def open_features(
    pictures: Sequence[Picture],
    *,
    encoder: str | LastMap | PictureEncoder,
    size: int | None = None,
    folder: Path | str | None = None,
    precision: str = "float16",
    **options: Any,
) -> Features:
    """Return the features of pictures, computed now if they were not before.

    Args:
        pictures: Files, PIL pictures or arrays (H, W, 3) uint8.
        encoder: A classifier by name: ``timm/NAME`` or one of torchvision, with its published weights, or
            ``package.module:function``. One that was built already can be shared between lists.
        size: Height and width in pixels to which pictures are brought; None takes 224.
        folder: Where the files are; the folder ``features`` in $FOVEATE_CACHE or ~/.cache/foveate if None.
        precision: Of the files: "float16" rounds each number by at most 2**-11 (0.05 %) of it, or 3e-8 near
            zero; "float32" keeps it.
        options: Of ``PictureEncoder``: ``fit``, ``flip``, ``pretrained``, ``batch``, ``device``, ``how``.

    Raises:
        UnknownNameError: There is no such classifier.
        OptionError: It has no last map, or an option is out of range.
        DataError: A picture cannot be read, a feature is beyond what float16 holds, or there is no room.
    """
    one_of("precision", precision, PRECISIONS)
    if isinstance(encoder, PictureEncoder):
        given = [*options, *(["size"] if size not in (None, encoder.size) else [])]
        if given:
            raise OptionError(f"{given[0]}: the encoder that was given has its own. Leave it out.")
    else:
        options = checked("open_features", PictureEncoder, options)
        encoder = PictureEncoder(encoder, size=224 if size is None else size, **options)
    place = cache_folder() / "features" if folder is None else Path(folder)
    contents = encoder.contents(pictures)
    shards = [range(first, min(first + _SHARD, len(pictures))) for first in range(0, len(pictures), _SHARD)]
    key = f"{VERSION} {encoder.identity} {precision}"
    files = [place / _name(key, [contents[item] for item in shard]) for shard in shards]
    order = list(range(len(shards)))
    random.SystemRandom().shuffle(order)  # processes that start at once do different ones
    for number in order:
        shape = (len(shards[number]), *encoder.shape)
        if open_sealed(files[number], shape, precision) is None:
            _log.info("%s: encoding %d pictures of %d", encoder.name, len(shards[number]), len(pictures))
            found = [pictures[item] for item in shards[number]]
            write_sealed(files[number], [_rounded(encoder, found, precision)], shape, precision)
            if open_sealed(files[number], shape, precision) is None:
                raise not_read_back(files[number])
    return Features(encoder, files, len(pictures), precision)


def split_features(
    data: ImageData, *, encoder: str | LastMap | PictureEncoder, **options: Any
) -> dict[str, Features]:
    """Return the features of every split's pictures, by one encoder.

    Args:
        data: Pictures; those of captions are ``CaptionData.pictures``.
        encoder: As of ``open_features``.
        options: As of ``open_features``; files are read as the data says.

    Raises:
        FoveateError: As ``open_features``.
    """
    own = {name: options.pop(name) for name in ("folder", "precision") if name in options}
    if not isinstance(encoder, PictureEncoder):
        options = checked("split_features", PictureEncoder, {"how": data.splits["train"].how, **options})
        encoder, options = PictureEncoder(encoder, **options), {}
    return {
        name: open_features(split.files or _Items(split), encoder=encoder, **own, **options)
        for name, split in data.splits.items()
    }


class _Items(Sequence[Picture]):
    """The pictures of a split that has no files, loaded when they are asked for."""

    def __init__(self, split: Split) -> None:
        self.split = split

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, item: Any) -> Any:
        if isinstance(item, slice):
            return [self.split.load(n) for n in range(len(self))[item]]
        return self.split.load(range(len(self))[item])


def stored_pictures(pictures: ImageData, *, encoder: str | None, size: int) -> dict[str, dict[str, Any]]:
    """Return what training reads of pictures, by split: ``features`` of a frozen encoder, or ``images``.

    Args:
        pictures: Of the data.
        encoder: Its name; None if pictures themselves are read.
        size: Side of the pictures.
    """
    if encoder is not None:
        return {"features": {**split_features(pictures, encoder=encoder, size=size)}}
    return {"images": {split: found.images for split, found in cache(pictures, size=size).items()}}


def _name(key: str, contents: Sequence[str]) -> str:
    return hashlib.sha256("\n".join([key, *contents]).encode()).hexdigest()[:32] + ".npy"


def _rounded(encoder: PictureEncoder, pictures: Sequence[Picture], precision: str) -> np.ndarray:
    """Return features as they are kept."""
    features = encoder.encode(pictures).numpy()
    with np.errstate(over="ignore"):
        kept = features.astype(precision)
    if not np.isfinite(kept).all():
        first = int(np.argwhere(~np.isfinite(kept))[0][0])
        name = pictures[first] if isinstance(pictures[first], str | Path) else f"picture {first}"
        raise DataError(
            f"{name}: {encoder.name} gives a feature of {np.abs(features[first]).max():g}, which {precision} "
            'cannot hold. Choose precision="float32", or another encoder.'
        )
    return kept


def _plain(indices: Any) -> Any:
    return indices.cpu().numpy() if isinstance(indices, Tensor) else indices
