"""Detection: a box around every object, with its class.

Batch    images float32 (3, H, W) in [0, 1], each of its own size, with boxes (N, 4) in pixels and classes
         (N,).
Outputs  as torchvision's detectors: for each image boxes (N, 4), labels (N,) from 1, and scores (N,); with
         targets in training a mapping of losses.
Loss     the sum of the detector's own losses.
Record   what became of the 100 surest boxes of one image, and its true boxes by class and size; see
         ``metrics.boxes.match_records``. Rows of any images can be put together.

Inputs   ``classes``, ``categories`` (the number that the annotations give each), ``size`` (height and width
         of a usual image), ``min_size`` (the short side that the detector brings images to; its own if None);
         of a saved model ``levels`` too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from foveate.data.boxes.box_data import BoxData
from foveate.data.boxes.box_feed import BoxBatch, BoxFeed, BoxItem
from foveate.data.boxes.check_boxes import check_boxes, known_before
from foveate.data.boxes.open_boxes import has_boxes, open_boxes
from foveate.data.checks.finding import Finding
from foveate.data.feed import Data, Feed
from foveate.data.images.open_image import file_size
from foveate.data.palette import default_palette
from foveate.data.picture_form import PictureForm
from foveate.errors import DataError, OptionError
from foveate.models.detection.detector_names import expect_detector
from foveate.recipe import LONGEST_SIDE, TrainConfig
from foveate.tasks.base import Inputs, Task, tasks
from foveate.tasks.cards.box_pictures import box_pictures
from foveate.tasks.detected_pictures import found_boxes, found_in, tell_boxes
from foveate.tasks.judged import Judged, Told
from foveate.tasks.metrics.boxes import (
    BoxMetric,
    Matches,
    box_metrics,
    coco_figures,
    match_boxes,
    parse_box_metric,
    record_of,
)
from foveate.tasks.metrics.boxes.match_records import KEPT
from foveate.tasks.part import Network
from foveate.tasks.try_detector import try_detector
from foveate.typed import Misfit, fitted

_LOOKED_AT = 25  # training pictures that decide the usual size
_UNUSED = ("loss", "class_weights", "label_smoothing", "crop", "rare")  # of the recipe


@tasks.register("detection")
class Detection(Task):
    """A box around every object; see the module's docstring.

    Args:
        inputs: See the module's docstring.
        recipe: Of training.
        metric: ``map``, ``map50`` or ``map75``, such as ``map(area=small)``; ``map`` if None.

    Raises:
        OptionError: The recipe has an option that detection has no use for.
    """

    name = "detection"
    items = "images"
    metric: BoxMetric
    usual: ClassVar[TrainConfig] = TrainConfig(lr=3e-4, batch_size=4, augment="flip")

    def __init__(self, inputs: Inputs, *, recipe: TrainConfig = TrainConfig(), metric: str | None = None):  # noqa: B008  # frozen
        super().__init__(inputs, recipe=recipe)
        self.classes = tuple(inputs["classes"])
        self.metric = parse_box_metric(metric or "map")
        usual = TrainConfig()
        for name in _UNUSED:
            if getattr(recipe, name) != getattr(usual, name):
                raise OptionError(
                    f"{name}: got {getattr(recipe, name)!r}, but a detector brings its own loss, and sees "
                    "whole images. Leave it out."
                )

    # What the data is

    @classmethod
    def metric_names(cls) -> tuple[str, ...]:
        """Return the names of the metrics, the usual one first."""
        return tuple(dict.fromkeys(("map", *box_metrics)))

    @classmethod
    def opens(cls, source: object) -> bool:
        """Return whether a source has boxes and nothing else; see ``has_boxes``."""
        return has_boxes(source)

    @classmethod
    def open(cls, source: object, /, **options: object) -> BoxData:
        """Open pictures with boxes; see ``open_boxes``."""
        return open_boxes(source, **options)  # type: ignore[arg-type]

    @classmethod
    def reopen(cls, origin: Mapping[str, Any]) -> BoxData:
        """Open pictures again from their ``origin``."""
        if origin.get("source") is None:
            super().reopen(origin)
        source = None if origin["source"] == "scenes" else origin["source"]  # whatever lies here by now
        return open_boxes(source, seed=origin.get("seed", 0), **origin.get("options", {}))

    @classmethod
    def check(cls, data: Data) -> list[Finding]:
        """Look for broken and repeated pictures, impossible boxes and missing classes."""
        return check_boxes(_boxes(data))

    @classmethod
    def warnings(cls, data: Data) -> list[Finding]:
        """Return which boxes were left out or cut off when the data was opened."""
        return [found for found in known_before(_boxes(data)) if found.severity != "note"]

    @classmethod
    def expect(cls, data: Data) -> None:
        """Raise unless these are pictures with boxes."""
        _boxes(data)

    @classmethod
    def usual_recipe(cls, data: Data | None, *, tuned: bool = False) -> TrainConfig:
        """Return the usual recipe for these pictures."""
        if tuned:
            return cls.tuned(cls.usual)
        if data is None or data.origin.get("source") == "scenes":  # a mirrored digit is a different sign
            return replace(cls.usual, lr=3e-3, batch_size=8, augment="crop")
        return cls.usual

    @classmethod
    def inputs_of(cls, data: Data) -> dict[str, Any]:
        """Return the classes, the numbers that the annotations give them, and the usual size."""
        found = _boxes(data)
        return {
            "classes": list(found.classes),
            "categories": list(found.categories),
            "size": list(_usual_size(found)),
            "min_size": None,
        }

    @classmethod
    def read_inputs(cls, plain: Mapping[str, Any]) -> Inputs:
        """Return what a saved model carries, checked."""
        for name in ("classes", "categories", "size"):
            fitted(plain.get(name), {"classes": list[str]}.get(name, list[int]), name)
        classes, size = plain["classes"], plain["size"]
        if not classes or len({*classes}) < len(classes):
            raise Misfit("classes", f"{len(classes)} names", "at least one, all different")
        if len(plain["categories"]) != len(classes):
            raise Misfit("categories", f"{len(plain['categories'])} numbers", "one for each class")
        if len(size) != 2 or not all(1 <= side <= LONGEST_SIDE for side in size):
            raise Misfit("size", str(size), f"two sides of 1 to {LONGEST_SIDE} pixels")
        fitted(plain.get("min_size"), int | None, "min_size")
        return plain

    def fitted(self, data: Data, network: Network) -> dict[str, Any]:
        """Return the inputs with the short side that was asked for, tried out on the model."""
        self.try_out(network.name, network.model)
        return {**self.inputs, "min_size": self._min_size}

    def feeds(self, data: Data) -> dict[str, Feed]:
        """Return the splits; pictures are read as they are needed."""
        found = _boxes(data)
        return {
            name: BoxFeed(split, found.boxes[name], self.recipe)
            for name, split in found.images.splits.items()
        }

    def expect_judgeable(self, test: Feed) -> None:
        """Raise unless test pictures have boxes."""
        if isinstance(test, BoxFeed) and not any((~one.crowd).any() for one in test.boxes):
            raise DataError(
                f"{self.metric.name} says nothing about these test images: none has a box. Add some."
            )

    def facts(self) -> tuple[str, ...]:
        """Return how many classes there are, and how large images are."""
        height, width = self.inputs["size"]
        shown = () if self._min_size is None else (f"short side brought to {self._min_size} px",)
        return f"{len(self.classes)} classes", f"{width}x{height} px", *shown

    def saved(self, data: Data) -> dict[str, Any]:
        """Return the inputs, and how images of more than eight bits are read."""
        levels = _boxes(data).images.levels
        return {**self.inputs, "levels": None if levels is None else list(levels)}

    # What the model is

    def expect_model(self, name: str) -> None:
        """Raise if a model of this name does not detect, or does not take the size that was asked for."""
        expect_detector(name, self._min_size)

    def model_options(self) -> dict[str, object]:
        """Return the number of classes, with the background, and the short side that was asked for."""
        asked = {} if self._min_size is None else {"min_size": self._min_size}
        return {"classes": len(self.classes) + 1, **asked}

    def try_out(self, name: str, model: nn.Module) -> None:
        """Find boxes in an image, and take the losses of two, with boxes of the first and the last class."""
        try_detector(name, model, *self.training_example(model))

    def example(self, items: int = 2) -> list[Tensor]:
        """Return images (3, H, W) of the usual size."""
        height, width = self.inputs["size"]
        noise = torch.rand(items, 3, height, width, generator=torch.Generator().manual_seed(0))
        return list(noise)

    def training_example(
        self, model: nn.Module, items: int = 2
    ) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
        """Return images, and a target for each: a box of the first and of the last class in turn."""
        height, width = self.inputs["size"]
        box = torch.tensor([[0.25 * width, 0.25 * height, 0.75 * width, 0.75 * height]])
        labels = (1, len(self.classes))
        targets = [{"boxes": box, "labels": torch.tensor([labels[n % 2]])} for n in range(items)]
        return self.example(items), targets

    # Training and judging

    def loss(self, model: nn.Module, batch: BoxBatch, part: str = "") -> Float[Tensor, ""]:
        """Return the sum of the detector's losses."""
        targets = [{"boxes": item.boxes, "labels": item.labels + 1} for item in batch.items]
        losses = model(_images(batch.items), targets)
        return torch.stack([loss.float() for loss in losses.values()]).sum()

    def judge(self, model: nn.Module, batch: BoxBatch) -> Judged:
        """Return what became of the surest boxes, and the boxes themselves (N, 6), with score and class."""
        found = [one.best(KEPT) for one in found_in(model, _images(batch.items))]
        classes = len(self.classes)
        records = [record_of(match_boxes(d, t, classes)) for d, t in zip(found, batch.truths, strict=True)]
        answers = [np.column_stack([one.boxes, one.scores, one.labels]).astype(np.float32) for one in found]
        return Judged(torch.from_numpy(np.stack(records)), answers)

    def value(self, records: Float64[np.ndarray, "n r"]) -> float:
        """Return the metric over the images that left these records."""
        return self.metric.value(Matches.of_records(records))

    def value_without_each(self, records: Float64[np.ndarray, "n r"]) -> Float64[np.ndarray, " n"]:
        """Return the metric without each image in turn."""
        return self.metric.value_without_each(Matches.of_records(records))

    def by_class(self, records: Float64[np.ndarray, "n r"]) -> Float64[np.ndarray, " k"]:
        """Return the metric of each class; NaN of one without true boxes."""
        return self.metric.by_class(Matches.of_records(records))

    def by_class_without_each(self, records: Float64[np.ndarray, "n r"]) -> Float64[np.ndarray, "n k"]:
        """Return the same without each image in turn."""
        return self.metric.by_class_without_each(Matches.of_records(records))

    def figures(self, records: Float64[np.ndarray, "n r"]) -> dict[str, float]:
        """Return COCO's figures in points, without the metric and what is undefined here."""
        found = coco_figures(Matches.of_records(records))
        return {
            name: 100 * value
            for name, value in found.items()
            if name != self.metric.name and not np.isnan(value)
        }

    # What one sees

    def cards(
        self,
        models: Mapping[str, nn.Module],
        feed: Any,
        answers: Mapping[str, Any],
        scores: Mapping[str, np.ndarray],
    ) -> list[dict[str, Any]]:
        """Return the images in which the variants agree on the fewest boxes."""
        return box_pictures(
            models,
            feed.split,
            feed.boxes,
            classes=self.classes,
            palette=default_palette(len(self.classes)),
            answers=answers,
            scores=scores,
        )

    def picture_form(self) -> PictureForm:
        """Return the usual size; a detector normalises its images itself."""
        height, width = self.inputs["size"]
        levels = self.inputs.get("levels")
        return PictureForm(
            (height, width),
            (0.0, 0.0, 0.0),
            (1.0, 1.0, 1.0),
            cut=False,
            levels=None if levels is None else (levels[0], levels[1]),
        )

    # Using a trained model

    def predict(self, model: nn.Module, inputs: object, **options: Any) -> list[dict[str, Any]]:
        """Return the boxes in each picture: see ``detected_pictures.found_boxes``."""
        return found_boxes(model, inputs, self.inputs, **options)

    def tell(
        self, model: nn.Module, words: Sequence[str], *, out: Path | None = None, **options: Any
    ) -> Iterator[Told]:
        """Yield the boxes in every picture; write them drawn, and as a COCO file."""
        return tell_boxes(model, words, self.inputs, out=out, **options)

    @property
    def _min_size(self) -> int | None:
        asked = self.recipe.size or self.inputs.get("min_size")
        return None if asked is None else int(asked)


def _images(items: Sequence[BoxItem]) -> list[Tensor]:
    return [item.image for item in items]


def _boxes(data: Data) -> BoxData:
    if not isinstance(data, BoxData):
        raise DataError(
            f"{data.name}: got {type(data).__name__}, expected pictures with boxes. Write --task "
            f"{data.task}, or open it with --task detection."
        )
    return data


def _usual_size(data: BoxData) -> tuple[int, int]:
    """Return the median height and width of some training pictures."""
    split = data.images.splits["train"]
    chosen = np.linspace(0, len(split) - 1, min(_LOOKED_AT, len(split))).astype(int).tolist()
    if split.files is None:
        sizes = [split.load(item).shape[:2] for item in chosen[:1]]
    else:
        sizes = [file_size(split.files[item], split.how) for item in chosen]
    height, width = np.median(np.array(sizes), axis=0).astype(int).tolist()
    return height, width
