"""The model behind a page: what can be asked of it, and its answers, one at a time.

Nothing here knows how a page is made.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from threading import Lock

import numpy as np
import torch

from foveate.data.judged_pictures import JudgedPictures, judged_pictures
from foveate.data.picture_form import PictureForm
from foveate.data.prepare_pictures import Pixels, batch_of, pixels_of
from foveate.errors import DataError, FoveateError, OptionError, SiteError
from foveate.explain.judging.baselines import baselines
from foveate.explain.judging.judgement import Judgement
from foveate.explain.layers import layers_of
from foveate.explain.methods.explanation import explanations
from foveate.explain.record import record
from foveate.infer.find_model import FoundModel
from foveate.infer.look import ATTENTION, judge_look, look
from foveate.infer.look_figures import Look
from foveate.infer.seen import Seen
from foveate.running import device_of, eval_no_grad
from foveate.serve.asked import AUTOMATIC
from foveate.serve.limits import Limits

USUAL_METHOD = "grad_cam"
BESIDE = ("smooth_random", "centre", "edges")
_CHANGED = {"rise": "rise(masks=500)"}  # so that an answer takes seconds and not minutes
_CURVES = 2 * 19 * (1 + sum(baselines[name].draws for name in BESIDE))  # passes to judge a picture
_PATIENCE = 30.0  # seconds that judging should take unless the user asks for more
_LEAST = 4  # pictures


class ServedModel:
    """A model that answers one question at a time.

    Args:
        found: The model.
        given: Pictures to show and to judge on, if the user named any.
        limits: What a question may ask for.
    """

    def __init__(
        self, found: FoundModel, given: JudgedPictures | None = None, limits: Limits | None = None
    ) -> None:
        self.found, self.given, self.limits = found, given, limits or Limits()
        self._one_at_a_time = Lock()

    @property
    def title(self) -> str:
        """The model's name for people: of a folder the last part, in one line."""
        name = self.found.name
        last = Path(name).resolve().name if Path(name).exists() else name
        return " ".join(last.split()) or name

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of its classes; empty if nobody knows them."""
        return self.found.classes

    @property
    def form(self) -> PictureForm:
        """What the model expects of pictures."""
        return self.found.form

    @cached_property
    def attention(self) -> tuple[str, ...]:
        """Paths of the layers that attend to places of the picture."""
        height, width = self.form.size
        blank = torch.zeros(1, 3, height, width, device=device_of(self.found.model))
        with eval_no_grad(self.found.model), record(self.found.model, device="cpu") as maps:
            self.found.model(blank)
        seen = Seen("", np.zeros((height, width, 3), np.uint8), list(maps.in_order))
        return tuple(dict.fromkeys(call.path for call in seen.attending()))

    @cached_property
    def methods(self) -> tuple[str, ...]:
        """The names of the methods that go with the model, the usual one first."""
        names = [name for name, kind in explanations.items() if self.attention or kind.reads != "attention"]
        others = [_CHANGED.get(name, name) for name in names if name != USUAL_METHOD]
        return (USUAL_METHOD, *((ATTENTION,) if self.attention else ()), *others)

    def layers(self, method: str) -> tuple[str, ...]:
        """Return the layers that a method can look at; none where it looks at no layer."""
        kind = explanations.get(method.partition("(")[0])
        if method == ATTENTION or (kind is not None and kind.reads == "attention"):
            return self.attention
        return self._maps if kind is not None and kind.reads == "layer" else ()

    @cached_property
    def _maps(self) -> tuple[str, ...]:
        height, width = self.form.size
        blank = torch.zeros(1, 3, height, width, device=device_of(self.found.model))
        try:
            return tuple(layer.path for layer in layers_of(self.found.model, blank).candidates)
        except SiteError:
            return ()

    @cached_property
    def usual_pictures(self) -> int:
        """How many pictures are judged in about half a minute, as far as the limits allow."""
        height, width = self.form.size
        blank = torch.zeros(8, 3, height, width, device=device_of(self.found.model))
        with eval_no_grad(self.found.model):
            self.found.model(blank)
            start = time.perf_counter()
            self.found.model(blank)
            each = (time.perf_counter() - start) / len(blank)
        return int(min(self.limits.pictures, max(_LEAST, _PATIENCE / (_CURVES * max(each, 1e-9)))))

    def look(self, picture: Path, method: str, layer: str = AUTOMATIC, target: int | None = None) -> Look:
        """Return where the model looks in a picture.

        Raises:
            DataError: The file cannot be read as a picture, or is too large.
            FoveateError: The method does not go with the model, the layer or the target.
        """
        self._expect(method, layer, target)
        with self._one_at_a_time:
            pixels = self._read(picture)
            found = look(self.found, [pixels], method=method, layer=_layer(layer), target=target)
            found.pictures[0].name = picture.name
        return found

    def judge(
        self,
        pictures: Sequence[Path],
        count: int,
        method: str,
        layer: str = AUTOMATIC,
        target: int | None = None,
    ) -> Judgement:
        """Return whether the maps of a method tell the truth.

        Args:
            pictures: Files; if there are none, the pictures that were given when the page was started.
            count: The most pictures that are judged.
            method: How the maps are made.
            layer: Where the method looks.
            target: The class that is explained; the predicted one of each picture if None.

        Raises:
            DataError: There are too few pictures, or one cannot be read.
            FoveateError: The method does not go with the model, the layer or the target.
        """
        self._expect(method, layer, target)
        most = max(1, min(int(count), self.limits.pictures))
        if not pictures and self.given is None:
            raise DataError(
                "There is nothing to judge on. Add at least two pictures; intervals are over pictures."
            )
        with self._one_at_a_time:
            masks = labels = None
            if pictures:
                pixels = [self._read(path) for path in pictures[:most]]
            else:
                assert self.given is not None
                rows = np.unique(np.linspace(0, len(self.given.pixels) - 1, most).round().astype(int))
                pixels = [self.given.pixels[row] for row in rows]
                masks = None if self.given.where is None else self.given.where[rows]
                labels = None if self.given.labels is None else self.given.labels[rows]
            if len(pixels) < 2:
                raise DataError("Got one picture. Add at least one more; intervals are over pictures.")
            batch = batch_of(pixels, self.form, device_of(self.found.model))
            seen = look(self.found, batch, method=method, layer=_layer(layer), target=target).pictures
            known = None if labels is None or target is not None else labels.tolist()
            return judge_look(
                self.found, batch, seen, target, masks=masks, labels=known, baselines=(*BESIDE, "mask")
            )

    def _read(self, path: Path) -> Pixels:
        try:
            return pixels_of(path, self.form, self.limits.pixels)
        except FoveateError as error:  # where the server keeps the file is not the visitor's business
            raise DataError(str(error).replace(str(path), path.name)) from None

    def _expect(self, method: str, layer: str, target: int | None) -> None:
        """Raise unless these are choices of the page: what comes over the network is not trusted."""
        if method not in self.methods:
            raise OptionError(f"method: got {method!r}, expected one of {', '.join(self.methods)}")
        if layer != AUTOMATIC and layer not in self.layers(method):
            raise OptionError(f"layer: {method} cannot look at {layer!r}. Choose one of the list.")
        if target is not None and self.found.classes and not 0 <= target < len(self.found.classes):
            raise OptionError(
                f"target: got {target}, expected a class from 0 to {len(self.found.classes) - 1}"
            )


def served_model(
    found: FoundModel, pictures: Sequence[str] = (), limits: Limits | None = None, *, split: str = "test"
) -> ServedModel:
    """Return a model with the pictures that are shown beside it, and on which it is judged.

    Args:
        found: The model.
        pictures: Data, or files and folders of pictures, as ``foveate judge`` takes them.
        limits: What the page allows.
        split: The part of the data.

    Raises:
        DataError: No picture is there, or none can be read.
    """
    limits = limits or Limits()
    if not pictures:
        return ServedModel(found, None, limits)
    options = {"split": split, "most": limits.pictures, "max_pixels": limits.pixels}
    given = judged_pictures(pictures, found.form, classes=found.classes, **options)  # type: ignore[arg-type]
    return ServedModel(found, given, limits)


def _layer(layer: str) -> str | None:
    return None if layer == AUTOMATIC else layer
