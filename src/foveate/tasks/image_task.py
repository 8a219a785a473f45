"""What all tasks on images share: how images are opened, checked, sized and fed, and which model takes them.

Inputs  ``classes``, ``size`` (height, width in pixels) and ``normalisation`` (mean and deviation that the
        model expects of images in [0, 1]); of a saved model ``levels`` too, and ``palette`` with masks; where
        images are read in parts, ``large``: height and width of the first one in full.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NotRequired, Protocol, Self, TypedDict, cast

import numpy as np
import torch
from torch import Tensor, nn

from foveate.data.augment.augmentations import augmentations
from foveate.data.base import ImageData, Truth
from foveate.data.batches import Batch
from foveate.data.cache import cache
from foveate.data.cached_split import CachedSplit
from foveate.data.canvas import Canvas
from foveate.data.checks.check import check, opening_warnings
from foveate.data.checks.check_unopened import check_unopened
from foveate.data.checks.contact_sheet import alike, contact_sheet
from foveate.data.checks.finding import Finding
from foveate.data.feed import Data, Feed
from foveate.data.folds import Folds
from foveate.data.image_feed import ImageFeed
from foveate.data.image_folds import fold_images
from foveate.data.image_size import LARGEST, natural_size, stated_size
from foveate.data.large.in_parts import can_be_read_in_parts, splits_in_parts, whole_size
from foveate.data.large.large_feed import LargeFeed
from foveate.data.large.small_squares import SmallSquares
from foveate.data.open import MEGAPIXEL, open_data, reopen
from foveate.data.picture_form import PictureForm
from foveate.errors import CheckpointError, DataError, FoveateError, ShapeError, in_one_line
from foveate.files import read_json
from foveate.large_pictures import LargePictures
from foveate.models.decoders.word_model import WordModel
from foveate.models.made_for import made_for, may_have_published_weights
from foveate.models.names import models, resolve
from foveate.models.normalisation import HALF, Triple, expect_normalisation, model_normalisation
from foveate.models.outputs import further_loss
from foveate.recipe import LONGEST_SIDE, TrainConfig
from foveate.running import device_of, eval_no_grad
from foveate.tasks.base import Inputs, Task
from foveate.tasks.chance import chance_score
from foveate.tasks.example_images import Normalisation, example_images
from foveate.tasks.judged import Judged
from foveate.tasks.large_inputs import large_example, large_files, middle_squares, takes_large
from foveate.tasks.losses.weights import class_weights
from foveate.tasks.part import Network
from foveate.tasks.picture_inputs import reading_of
from foveate.typed import Misfit, fitted

HAVE = {"mask": "masks", "label": "one label per image", "labels": "several labels per image"}


class SavedInputs(TypedDict):
    """What a saved model records about its images."""

    classes: tuple[str, ...]
    size: int | tuple[int, int]
    normalisation: Normalisation
    palette: NotRequired[tuple[tuple[int, int, int], ...] | None]
    levels: NotRequired[tuple[float, float] | None]
    large: NotRequired[tuple[int, int] | None]


class Labelled(Protocol):
    """A batch, as far as a task looks at it: images (B, 3, H, W) and what is true of them (B, ...)."""

    @property
    def images(self) -> Tensor:
        """Normalised images; where they are read in parts, large pictures stand in for the tensor."""
        ...

    @property
    def targets(self) -> Tensor:
        """What is true of them."""
        ...


class ImageTask(Task):
    """A task on images.

    Args:
        classes: Their names.
        class_weights: How much each class counts in the loss; alike if None.
    """

    items = "images"
    truths: ClassVar[tuple[Truth, ...]]
    """What may be true of an image; the first is what such data usually has."""
    usual: ClassVar[TrainConfig] = TrainConfig()

    def __init__(self, classes: Sequence[str] = (), *, class_weights: Sequence[float] | None = None) -> None:
        super().__init__({"classes": tuple(classes)})
        self.classes = tuple(classes)
        self.class_weights: Tensor | None = None if class_weights is None else torch.tensor(class_weights)

    @classmethod
    def of(cls, inputs: Inputs, *, recipe: TrainConfig = TrainConfig(), metric: str | None = None) -> Self:  # noqa: B008
        """Return the task for such inputs, with the loss that the recipe names."""
        build = cast(Any, cls)
        made: Self = build(tuple(inputs["classes"]), loss=recipe.loss, metric=metric)
        made.inputs, made.recipe = inputs, recipe
        return made

    @classmethod
    def open(cls, source: object, /, **options: object) -> ImageData:
        """Open images with their labels or masks; see ``open_data``."""
        return open_data(source, **options)  # type: ignore[arg-type]

    @classmethod
    def reopen(cls, origin: Mapping[str, Any]) -> ImageData:
        """Open images again from their ``origin``."""
        return reopen(origin)

    @classmethod
    def folds(cls, data: Data, count: int) -> Folds:
        """Return images in folds: stratified, groups kept together; see ``fold_images``."""
        return fold_images(_images(data), count)

    @classmethod
    def check(cls, data: Data) -> list[Finding]:
        """Look for broken files, duplicates, odd labels and masks that do not fit."""
        return check(_images(data))

    @classmethod
    def check_source(cls, source: object, /, **options: object) -> list[Finding]:
        """Look for faults in what cannot be opened, such as images without masks."""
        try:
            return cls.check(cls.open(source, **options))
        except FoveateError as error:
            return check_unopened(source, error, **options)

    @classmethod
    def warnings(cls, data: Data) -> list[Finding]:
        """Return what was left out when the data was opened, and why."""
        return opening_warnings(_images(data))

    @classmethod
    def draw_alike(cls, data: Data | None, findings: Sequence[Finding], path: Path) -> str:
        """Draw the images that look alike side by side."""
        groups = alike(list(findings))
        if data is None or not groups:
            return f"{path}: not written; no two images look alike"
        drawn = contact_sheet(_images(data), groups, path)
        return f"{path}: {drawn} of {len(groups)} groups of images that look alike"

    @classmethod
    def expect(cls, data: Data) -> None:
        """Raise unless this is what images of the task have."""
        truth = _images(data).truth
        if truth not in cls.truths:
            raise DataError(
                f"{data.name} has {HAVE[truth]}, but {cls.name} needs {HAVE[cls.truths[0]]}. Leave the task "
                f"out, or write {data.task}."
            )

    @classmethod
    def usual_recipe(cls, data: Data | None, *, tuned: bool = False) -> TrainConfig:
        """Return the usual recipe for these images."""
        if tuned:
            return cls.tuned(cls.usual)
        source = "scenes" if data is None else data.origin.get("source")
        if isinstance(data, ImageData) and data.large:  # which can be mirrored, but not cropped
            return TrainConfig(batch_size=16, augment="none" if source == MEGAPIXEL else "flip")
        if isinstance(source, str) and source.partition("(")[0].strip() == "scenes" and "label" in cls.truths:
            # A mirrored digit is a different sign; a small network learns scenes at this rate in minutes.
            return TrainConfig(lr=5e-3, batch_size=32, augment="crop")
        return cls.usual

    @classmethod
    def inputs_of(cls, data: Data) -> dict[str, Any]:
        """Return the names of the classes."""
        return {"classes": tuple(_images(data).classes)}

    @classmethod
    def read_inputs(cls, plain: Mapping[str, Any]) -> Inputs:
        """Return what a saved model records about its images, checked."""
        found: SavedInputs = fitted(plain, SavedInputs)
        size, classes, colours = found["size"], found["classes"], found.get("palette")
        sides = (size, size) if isinstance(size, int) else size
        if not classes or len({*classes}) < len(classes):
            raise Misfit("classes", f"{len(classes)} names", "at least one, all different")
        if not all(1 <= side <= LONGEST_SIDE for side in sides):
            raise Misfit("size", str(size), f"sides of 1 to {LONGEST_SIDE} pixels")
        if min(found["normalisation"]["std"]) <= 0:
            raise Misfit("normalisation.std", str(found["normalisation"]["std"]), "deviations above 0")
        if colours is not None and (
            len(colours) < len(classes) or not all(0 <= part < 256 for row in colours for part in row)
        ):
            raise Misfit("palette", f"{len(colours)} colours", "one of numbers from 0 to 255 for each class")
        if cls.truths[0] == "mask" and colours is None:
            raise Misfit("palette", "missing", "a colour for each class")
        return {**plain, **found, "size": sides}

    def expect_model(self, name: str) -> None:
        """Raise if one of foveate's own models answers in words."""
        source, bare = resolve(name)
        builder = models.get(bare) if source == "foveate" else None
        if isinstance(builder, type) and issubclass(builder, WordModel):
            raise ShapeError(f"{name}: answers in words, not with classes as {self.name} needs it.")

    def fitted(self, data: Data, network: Network) -> dict[str, Any]:
        """Return classes, size and normalisation, tried out on the model."""
        images = _images(data)
        found = {
            **self.inputs,
            "size": self._fitting_size(images, network),
            "normalisation": model_normalisation(network.model),
        }
        if images.large or _seen_in_parts(images, network.model):
            found["large"] = whole_size(images)
        return found

    def try_out(self, name: str, model: nn.Module) -> None:
        """Run a model on one image."""
        self._try(name, model, self.size, self.large)

    def feeds(self, data: Data) -> dict[str, Feed]:
        """Return the decoded splits; count the classes for their weights in the loss."""
        images = _images(data)
        _ = augmentations[self.recipe.augment]  # an unknown one raises now, not at the first step
        if self.large is not None and (images.large or can_be_read_in_parts(images)):
            return self._large_feeds(images)
        splits = cache(images, size=self.size if images.truth == "mask" else self.size[0])
        if self.recipe.class_weights is not None:
            counts = class_counts(splits["train"], len(self.classes))
            weights = class_weights(counts, method=self.recipe.class_weights)
            self.class_weights = torch.tensor(weights.tolist())
        mean, std = self.normalisation
        return {
            name: ImageFeed(split, self.recipe, mean, std, images.splits[name].look, images.colours)
            for name, split in splits.items()
        }

    def expect_judgeable(self, test: Feed) -> None:
        """Raise unless the metric says something about these images."""
        if isinstance(test, ImageFeed | LargeFeed):
            self.check_metric(test.split.truth)

    def saved(self, data: Data) -> dict[str, Any]:
        """Return the inputs, and how images of more than eight bits are read."""
        levels, (mean, std) = _images(data).levels, self.normalisation
        return {
            "classes": list(self.classes),
            "palette": None,
            "size": list(self.size),
            "example": [1, 3, *self.size],
            "normalisation": {"mean": list(mean), "std": list(std)},
            "levels": None if levels is None else list(levels),
            **({} if self.large is None else {"large": list(self.large)}),
        }

    @property
    def size(self) -> Canvas:
        """Height and width of the images in pixels."""
        size = self.inputs["size"]
        return (size, size) if isinstance(size, int) else (size[0], size[1])

    @property
    def large(self) -> Canvas | None:
        """Height and width of images that are read in parts, those of the first; None of others."""
        found = self.inputs.get("large")
        return None if found is None else (found[0], found[1])

    @property
    def normalisation(self) -> tuple[Triple, Triple]:
        """Mean and deviation that the model expects of images in [0, 1]."""
        stated = self.inputs.get("normalisation", (HALF, HALF))
        mean, std = (stated["mean"], stated["std"]) if isinstance(stated, dict) else stated
        return expect_normalisation(tuple(mean), tuple(std))

    def picture_form(self) -> PictureForm:
        """Return the size, the normalisation, and how files are read; pictures are cut as for training."""
        levels = reading_of(self.inputs).levels
        return PictureForm(self.size, *self.normalisation, cut=self.truths[0] != "mask", levels=levels)

    def in_parts(
        self, model: nn.Module, files: Sequence[object]
    ) -> tuple[LargePictures, list[np.ndarray]] | None:
        """Return files as large pictures, and a small square of each, for a model that takes such."""
        if self.large is None or not takes_large(model):
            return None
        pictures = large_files(files, reading_of(self.inputs), *self.normalisation)
        squares = SmallSquares(pictures.pictures.__getitem__, min(LARGEST, self.size[0]))
        return pictures, [squares[item].transpose(1, 2, 0) for item in range(len(pictures))]

    def facts(self) -> tuple[str, ...]:
        """Return how many classes there are, and the size of the images."""
        height, width = self.size
        side = f"{height} px" if height == width else f"{width}x{height} px"
        large = () if self.large is None else (f"read in parts of {self.large[1]}x{self.large[0]} px",)
        return f"{len(self.classes)} classes", side, *large

    def example(self, items: int = 2) -> Tensor:
        """Return images (B, 3, H, W)."""
        return example_images(self.size, items)

    def example_for(self, model: nn.Module, items: int = 2) -> Any:
        """Return images (B, 3, H, W), or large pictures for a model that takes those."""
        if self.large is not None and takes_large(model):
            return large_example(self.large, items, *self.normalisation)
        return self.example(items)

    def ready(self, model: nn.Module, feed: Feed) -> None:
        """Raise unless the model answers for every class that the targets name."""
        if isinstance(feed, ImageFeed | LargeFeed) and len(feed):
            stored: Any = next(iter(feed.test(1)))
            batch = stored.to(device_of(model))
            with eval_no_grad(model):
                self.check_outputs(self.forward(model, batch), feed.split.truth)

    def chance(self, feeds: Any) -> float:
        """Return the metric of a model that gives every item the shares of the training classes."""
        return chance_score(self, {name: feed.split for name, feed in feeds.items()}, len(self.classes))

    def loss(self, model: nn.Module, batch: Labelled, part: str = "") -> Tensor:
        """Return the mean loss of a batch, and what the model adds to it; see ``further_loss``."""
        outputs = self.forward(model, batch)
        loss = self.loss_of(outputs, batch, label_smoothing=self.recipe.label_smoothing)
        further = further_loss(outputs, batch.targets)
        return loss if further is None else loss + further

    def judge(self, model: nn.Module, batch: Labelled) -> Judged:
        """Return records, answers and the loss without smoothing."""
        outputs = self.forward(model, batch)
        return Judged(self.record(outputs, batch), self.answer(outputs), self.loss_of(outputs, batch))

    def forward(self, model: nn.Module, batch: Labelled) -> object:
        """Run the model on the images."""
        images: Any = batch.images
        if isinstance(images, LargePictures) and not takes_large(model):
            images = middle_squares(images, self.size[0])
        return model(images)

    def check_outputs(self, outputs: object, targets: np.ndarray) -> None:
        """Raise unless outputs of this shape can be trained on all of these targets."""
        raise NotImplementedError

    def check_metric(self, truths: np.ndarray) -> None:
        """Raise unless the metric says something about test items of which this is true (N, ...)."""
        raise NotImplementedError

    def loss_of(self, outputs: object, batch: Labelled, *, label_smoothing: float = 0.0) -> Tensor:
        """Return the mean loss of a batch, from what ``forward`` returned."""
        raise NotImplementedError

    def record(self, outputs: object, batch: Labelled) -> Tensor:
        """Return what is kept of each item (B, ...), from what ``forward`` returned."""
        raise NotImplementedError

    def answer(self, outputs: object) -> Tensor:
        """Return the part of the outputs that is kept for the report."""
        raise NotImplementedError

    def _targets(self) -> np.ndarray:
        """Return targets that name the first class and the last."""
        return np.array([0, max(len(self.classes) - 1, 0)])

    def _fitting_size(self, images: ImageData, network: Network) -> Canvas:
        """Return the size that was asked for, else one that suits images and model, tried out."""
        large = whole_size(images) if _seen_in_parts(images, network.model) else None
        if network.size or large:
            size = stated_size(images, network.size or min(LARGEST, *(large or ())))
            self._try(network.name, network.model, size, large)
            return size
        known = None if network.weights is None else _trained_at(Path(network.weights))
        published = network.weights is not None and may_have_published_weights(network.name)
        side = made_for(network.name, network.model)
        size = natural_size(images, known or side, keep=bool(known) or network.pretrained or published)
        if images.truth != "mask" and size != (side, side) and not _takes(network.model, size):
            size = (side, side)
        self._try(network.name, network.model, size)
        return size

    def _large_feeds(self, images: ImageData) -> dict[str, Feed]:
        """Return the splits as feeds of pictures that are read in parts."""
        parts = images.splits if images.large else splits_in_parts(images)
        if self.recipe.class_weights is not None:
            counts = target_counts(parts["train"].targets, len(self.classes))
            weights = class_weights(counts, method=self.recipe.class_weights)
            self.class_weights = torch.tensor(weights.tolist())
        side = min(LARGEST, self.size[0])
        return {
            name: LargeFeed(split, self.recipe, *self.normalisation, side) for name, split in parts.items()
        }

    def _try(self, name: str, model: nn.Module, size: Canvas, large: Canvas | None = None) -> None:
        """Run a model on one image of this size, or on a large one if it takes such.

        Raises:
            ShapeError: It does not accept such an image, or does not return what the task needs.
            DataError: There are more classes than it tells apart.
        """
        zero = torch.zeros(1, dtype=torch.int64)
        try:
            with eval_no_grad(model):
                image: Any = example_images(size, 1)
                if large is not None and takes_large(model):
                    image = large_example(large, 1, *model_normalisation(model))
                outputs = self.forward(model, Batch(image, zero, zero))
        except FoveateError:
            raise
        except Exception as error:  # whatever a foreign network raises about a size
            height, width = size
            raise ShapeError(
                f"{name} does not take images of {width} x {height} pixels ({in_one_line(error)}). "
                f"It was made for {made_for(name, model)}: choose that size."
            ) from error
        try:
            self.check_outputs(outputs, self._targets())
        except (ShapeError, DataError) as error:
            raise type(error)(f"{name}: {error}") from None


def class_counts(split: CachedSplit, classes: int) -> np.ndarray:
    """Return how many images, or pixels, each class holds for (K,)."""
    if split.masks is not None:
        return split.class_pixels[:classes]
    return target_counts(split.targets, classes)


def target_counts(targets: np.ndarray, classes: int) -> np.ndarray:
    """Return how many items have each class (K,), of targets (N,) or (N, K)."""
    return np.bincount(targets, minlength=classes) if targets.ndim == 1 else targets.sum(axis=0)


def _seen_in_parts(images: ImageData, model: nn.Module) -> bool:
    """Return whether a model takes large pictures, and these can be such."""
    return takes_large(model) and (images.large or can_be_read_in_parts(images))


def _images(data: Data) -> ImageData:
    if not isinstance(data, ImageData):
        raise DataError(f"{data.name}: got {type(data).__name__}, expected images. Write --task {data.task}.")
    return data


def _takes(model: nn.Module, size: Canvas) -> bool:
    try:
        with eval_no_grad(model):
            model(example_images(size, 1))
    except Exception:  # whatever a foreign network raises about a size
        return False
    return True


def _trained_at(weights: Path) -> int | None:
    """Return the side that a file of weights was trained at, from the ``config.json`` beside it."""
    try:
        size = read_json(weights.parent / "config.json", CheckpointError, "").get("size")
    except (CheckpointError, AttributeError, OSError):  # another program wrote it, or there is none
        return None
    sides = size if isinstance(size, list) else [size]
    return (
        sides[0] if all(isinstance(side, int) and side > 0 for side in sides) and len({*sides}) == 1 else None
    )
