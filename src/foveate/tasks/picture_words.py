"""What tasks share whose models see a picture and deal in words: captions, and questions about pictures.

Inputs   ``size``, ``normalisation``, ``levels`` of the pictures; ``encoder``, the frozen one whose features
         are kept on disk, or None.
Encoder  runs once over all pictures if it is frozen and its weights are known; see ``features`` of the tasks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypedDict

import numpy as np
from jaxtyping import Float
from torch import Tensor, nn

from foveate.calls import parse_call
from foveate.data.feed import Feed
from foveate.errors import DataError, OptionError
from foveate.models.encoders.last_map import LastMap
from foveate.models.made_for import USUAL
from foveate.models.names import resolve
from foveate.models.normalisation import HALF, Triple, expect_normalisation, model_normalisation
from foveate.running import device_of
from foveate.tasks.base import Task
from foveate.tasks.example_images import Normalisation, example_images
from foveate.tasks.judged import Told
from foveate.tasks.part import Network
from foveate.tasks.picture_inputs import Pixels, batches, normalised, opened, reading_of
from foveate.typed import Misfit, fitted


class _Saved(TypedDict):
    """What a saved model records about its pictures."""

    size: int
    normalisation: Normalisation


class PictureWords(Task):
    """A task of pictures and words; see the module's docstring."""

    @property
    def normalisation(self) -> tuple[Triple, Triple]:
        """Return what is subtracted from each channel of pictures in [0, 1], and what they are divided by."""
        stated = self.inputs.get("normalisation", {"mean": HALF, "std": HALF})
        return expect_normalisation(tuple(stated["mean"]), tuple(stated["std"]))

    def saved(self, data: Any) -> dict[str, Any]:
        """Return the inputs, and how pictures of more than eight bits are read."""
        self.expect(data)
        levels = data.pictures.levels
        return {**self.inputs, "levels": None if levels is None else list(levels)}

    def ready(self, model: nn.Module, feed: Feed) -> None:
        """Raise unless features are those of the model's own encoder.

        Raises:
            OptionError: They are of another, or attention was inserted into it.
        """
        encoder, of_features = last_map(model), getattr(getattr(feed, "features", None), "encoder", None)
        if of_features is None or encoder is None:
            return
        own, kept = encoder.state_dict(), of_features.network.state_dict()
        if own.keys() != kept.keys() or not all(own[name].cpu().equal(kept[name].cpu()) for name in kept):
            raise OptionError(
                f"features: those on disk are of {of_features.name} as it is, but this model's encoder "
                f'has other weights or other layers. Write --task "{self.name}(features=false)", which runs '
                "the encoder in every step."
            )

    def fitted_pictures(self, network: Network, encoder: LastMap | None, size: int) -> dict[str, Any]:
        """Return size, normalisation and frozen encoder as the inputs have them."""
        mean, std = model_normalisation(network.model if encoder is None else encoder)
        frozen = encoder is not None and not any(p.requires_grad for p in encoder.parameters())
        name = encoder_name(network.name)
        known = name is not None and (network.pretrained or resolve(name)[0] == "import")
        return {
            "size": size,
            "normalisation": {"mean": list(mean), "std": list(std)},
            "encoder": name if self.inputs["features"] and frozen and known else None,
        }

    def picture_facts(self) -> tuple[str, ...]:
        """Return the size of the pictures, and whether features are kept."""
        size, encoder = self.inputs.get("size"), self.inputs.get("encoder")
        kept = (f"features of {encoder}, computed once",) if encoder else ()
        return (f"{size} px", *kept) if size else kept

    def example_pictures(self, items: int) -> Float[Tensor, "b 3 h w"]:
        """Return pictures of the size that the model takes."""
        size = self.inputs.get("size") or USUAL
        return example_images((size, size), items)

    def as_taken(self, model: nn.Module, pixels: Sequence[np.ndarray]) -> Float[Tensor, "b 3 h w"]:
        """Return pictures uint8 (H, W, 3) as a model takes them."""
        images = np.stack(pixels).transpose(0, 3, 1, 2)
        return normalised(images, *self.normalisation, device_of(model))

    def opened_batches(
        self, pictures: Sequence[object], max_pixels: int, count: int
    ) -> Iterator[tuple[Sequence[Pixels | DataError], list[int]]]:
        """Yield groups of pictures, or what is wrong with a file, and the places of those that are right."""
        how = reading_of(self.inputs, max_pixels)
        for some in batches(opened(pictures, self.inputs["size"], how), count):
            yield some, [n for n, found in enumerate(some) if not isinstance(found, DataError)]


def expect_pictures(plain: Mapping[str, Any]) -> None:
    """Raise a Misfit unless a saved model says how it takes pictures."""
    found: _Saved = fitted({name: plain[name] for name in _Saved.__annotations__ if name in plain}, _Saved)
    if not 1 <= found["size"] <= 2**14:
        raise Misfit("size", repr(found["size"]), "the side of the pictures, 1 to 16384 pixels")
    if min(found["normalisation"]["std"]) <= 0:
        raise Misfit("normalisation.std", str(found["normalisation"]["std"]), "deviations above 0")


def unreadable(name: str, error: DataError) -> Told:
    """Return what a command prints about a picture that cannot be read."""
    return Told(name, (str(error),), {"image": name, "error": str(error)}, failed=True)


def last_map(model: nn.Module) -> LastMap | None:
    """Return the encoder of pictures, also of a wrapped model, if there is one that is known."""
    inner = getattr(model, "module", None)
    places = getattr(inner if isinstance(inner, nn.Module) else model, "encoder", None)
    found = getattr(places, "last_map", None)
    return found if isinstance(found, LastMap) else None


def encoder_name(name: str) -> str | None:
    """Return the encoder that a model's name states, also inside of a blind model's."""
    options = parse_call(name)[1]
    if isinstance(options.get("of"), str):
        return encoder_name(str(options["of"]))
    found = options.get("encoder")
    return found if isinstance(found, str) else None
