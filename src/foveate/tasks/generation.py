"""Generation: pictures drawn from noise for a goal (class, pose, sentence) by an adversarial network.

Batch    images (B, 3, S, S) in [-1, 1], conditions (B, K + P + T).
Parts    the discriminator first, with four times the learning rate (two time scales), then the generator.
Loss     hinge; see ``adversarial_loss``.
Record   what a net trained on the real pictures sees in each test picture and in the one drawn for its
         condition: see ``metrics.pictures.picture_metric``. KID is the usual metric.

Inputs   ``classes``, ``columns`` (of the pose), ``sentences``, ``goal`` (all of these, or words), ``size`` in
         pixels, ``features`` that distances are over; ``rate`` and ``steps`` of the discriminator,
         ``mismatched`` in its loss. See ``goal_inputs``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from foveate.data.cache import cache
from foveate.data.checks.finding import Finding
from foveate.data.feed import Data, Feed
from foveate.data.image_feed import ImageFeed
from foveate.data.open import call_opener
from foveate.data.posed.check_posed import check_posed, opening_notes
from foveate.data.posed.open_posed import means_digits, open_posed
from foveate.data.posed.posed_data import PosedImages
from foveate.data.posed.posed_feed import PosedBatch, PosedFeed
from foveate.errors import OptionError
from foveate.options import checked
from foveate.recipe import TrainConfig
from foveate.sampling.noise import draw_noise
from foveate.sampling.picture_sheet import as_pictures
from foveate.tasks.adversarial_loss import discriminator_loss, generator_loss
from foveate.tasks.base import Inputs, Task, tasks
from foveate.tasks.cards.overlay import data_uri
from foveate.tasks.drawing_model import draw_and_judge, expect_methods, expect_to_draw
from foveate.tasks.drawn_pictures import attended, condition_or_none, draw_for, goals_for, overview, written
from foveate.tasks.goal_inputs import (
    askable,
    goal_inputs,
    posed_images,
    read_goal_inputs,
    truths_of,
    width_of,
)
from foveate.tasks.goal_scores import GoalScores
from foveate.tasks.inception_net import INCEPTION
from foveate.tasks.judged import Judged, Told
from foveate.tasks.metrics.pictures import PictureMetric, parse_picture_metric, picture_metrics
from foveate.tasks.metrics.pictures.goal_accuracy import ClassAccuracy, PoseAccuracy
from foveate.tasks.metrics.pictures.picture_metric import named_after
from foveate.tasks.part import Network, Part
from foveate.tasks.picture_net import OWN, judge_for
from foveate.tasks.watched_feed import WatchedBatch, WatchedFeed

BETAS = (0.0, 0.9)
NOISE = 128  # numbers of noise that a model is tried on if it does not say how many it takes
SHEETS = 20  # about how many a training leaves


@tasks.register("generation")
class Generation(Task):
    """Pictures drawn for a goal; see the module's docstring."""

    name = "generation"
    items = "images"
    takes_inputs = False
    usual: ClassVar[TrainConfig] = TrainConfig(
        lr=1e-4, batch_size=64, epochs=100, weight_decay=0.0, warmup=0.0, clip=None, ema=0.999, augment="none"
    )

    def __init__(self, inputs: Inputs, *, recipe: TrainConfig = TrainConfig(), metric: str | None = None):  # noqa: B008  # frozen
        super().__init__(inputs, recipe=recipe)
        self.asked, self.known = askable(inputs)
        self.classes = self.known.classes
        self.size = int(recipe.size or inputs["size"])
        self.scores = GoalScores(len(self.known.classes), self.known.columns)
        self.bare_metric = parse_picture_metric(metric or "kid")
        self.scores.expect(self.bare_metric)
        self.seer = INCEPTION if inputs["features"] == "inception" else OWN
        by_features = not isinstance(self.bare_metric, ClassAccuracy | PoseAccuracy)
        self.metric: PictureMetric = named_after(self.bare_metric, self.seer if by_features else OWN)

    # What the data is

    @classmethod
    def metric_names(cls) -> tuple[str, ...]:
        """Return the names of the metrics, the usual one first."""
        judging = (name for name, metric in picture_metrics.items() if metric.judges)
        return tuple(dict.fromkeys(("kid", *judging)))

    @classmethod
    def loss_names(cls) -> tuple[str, ...]:
        """Return the names of the losses."""
        return ("hinge",)

    @classmethod
    def opens(cls, source: object) -> bool:
        """Return whether these are the built-in turned digits; other pictures are usually for other tasks."""
        return means_digits(source)

    @classmethod
    def open(cls, source: object, /, **options: object) -> PosedImages:
        """Open pictures with their classes and poses; see ``open_posed``."""
        return call_opener("pictures", open_posed, options, source)

    @classmethod
    def reopen(cls, origin: Mapping[str, Any]) -> PosedImages:
        """Open pictures again from their ``origin``."""
        if origin.get("source") is None:
            super().reopen(origin)
        return open_posed(origin["source"], seed=origin.get("seed", 0), **origin.get("options", {}))

    @classmethod
    def check(cls, data: Data) -> list[Finding]:
        """Look for broken and repeated pictures, classes with few, and poses with gaps."""
        return check_posed(posed_images(data))

    @classmethod
    def warnings(cls, data: Data) -> list[Finding]:
        """Return what was left out when the data was opened, and why."""
        return opening_notes(posed_images(data))

    @classmethod
    def expect(cls, data: Data) -> None:
        """Raise unless these are pictures that can be learnt from."""
        posed_images(data)

    @classmethod
    def usual_recipe(cls, data: Data | None, *, tuned: bool = False) -> TrainConfig:
        """Return the usual recipe."""
        return cls.usual

    @classmethod
    def inputs_of(
        cls,
        data: Data,
        *,
        features: Literal["own", "inception"] = "own",
        rate: float = 4.0,
        steps: int = 1,
        mismatched: float = 0.0,
        goal: Literal["all", "words"] = "all",
    ) -> dict[str, Any]:
        """Return classes, pose, sentences and size.

        Args:
            data: The pictures.
            features: Of KID, FID, precision and recall: of a net trained on the data, or of torchvision's
                Inception v3, if its weights are at hand.
            rate: The discriminator's learning rate as a multiple of the generator's.
            steps: Of the discriminator for each one of the generator.
            mismatched: What part real pictures with the goals of others have, beside drawn pictures, in what
                the discriminator learns to reject, in [0, 1). SAGAN: 0; Reed et al. 2016: 0.5.
            goal: What a model is asked by: all that the data has, or its captions alone; then class and pose,
                if there are any, are known only to the net that judges.
        """
        return goal_inputs(data, features=features, rate=rate, steps=steps, mismatched=mismatched, goal=goal)

    @classmethod
    def read_inputs(cls, plain: Mapping[str, Any]) -> Inputs:
        """Return what a saved model carries, checked."""
        return read_goal_inputs(plain)

    def fitted(self, data: Data, network: Network) -> dict[str, Any]:
        """Return the inputs with the size that is drawn, tried out on the model."""
        self.try_out(network.name, network.model)
        return {**self.inputs, "size": self.size}

    def feeds(self, data: Data) -> dict[str, Feed]:
        """Return the decoded splits; train the net that judges, if it was not before."""
        posed = posed_images(data)
        if posed.columns and self.recipe.augment != "none":
            raise OptionError(
                f"augment: got {self.recipe.augment}, but these pictures have a pose, which flips and crops "
                "change. Write none."
            )
        splits = cache(posed.images, size=self.size)
        train = self._feed(posed, "train", splits["train"], TrainConfig(augment="none"))
        judge = judge_for(
            train,
            len(self.known.classes),
            width_of(self.known.columns),
            posed.fingerprint,
            inception=self.inputs["features"] == "inception",
        )
        recipe = TrainConfig(augment=self.recipe.augment, colour=self.recipe.colour)
        feeds = {name: self._feed(posed, name, split, recipe) for name, split in splits.items()}
        return {name: WatchedFeed(feed, judge) for name, feed in feeds.items()}

    def _feed(self, posed: PosedImages, name: str, split: Any, recipe: TrainConfig) -> PosedFeed:
        conditions, truths = self.asked.conditions(posed, name), truths_of(posed, name)
        return PosedFeed(ImageFeed(split, recipe), conditions, split.targets, truths)

    def facts(self) -> tuple[str, ...]:
        """Return classes, pose, sentences, size and what judges."""
        known, sentences = self.known, self.asked.sentences
        classes = f"{len(known.classes)} classes" if known.classes else "no classes"
        pose = (f"pose {', '.join(column.name for column in known.columns)}",) if known.columns else ()
        alone = " alone" if self.inputs["goal"] == "words" else ""
        spoken = () if sentences is None else (f"asked by captions{alone}: {sentences.vocabulary.facts()}",)
        return (classes, *pose, *spoken, f"{self.size} px", f"judged by {self.seer}")

    def saved(self, data: Data) -> dict[str, Any]:
        """Return the inputs as a saved model carries them."""
        return {**self.inputs, "size": self.size}

    # What the model is

    def expect_model(self, name: str) -> None:
        """Raise if a model by name does not draw, or if its options contradict the data."""
        expect_to_draw(name, self.model_options())

    def model_options(self) -> dict[str, object]:
        """Return what can be asked for, and the size."""
        return {**self.asked.model_options, "size": self.size}

    def try_out(self, name: str, model: nn.Module) -> None:
        """Draw two pictures and judge them."""
        expect_methods(name, model, mismatched=bool(self.inputs["mismatched"]))
        self._noise = int(cast(Any, model).noise)
        draw_and_judge(name, model, self._example(2, self._noise), self.size)

    def example(self, items: int = 2) -> Any:
        """Return noise (B, Z) and conditions (B, K + P + T); noise alone where nothing can be asked for."""
        return self._example(items, self.__dict__.get("_noise", NOISE))

    def _example(self, items: int, noise: int) -> tuple[Tensor, ...]:
        drawn = draw_noise(items, noise, seed=0)
        conditions = torch.from_numpy(goals_for(self.asked, items).conditions)
        return (drawn, conditions) if conditions.shape[1] else (drawn,)

    def parts(self, model: nn.Module) -> Mapping[str, Part]:
        """Return discriminator and generator, each with its optimizer."""
        gan = cast(Any, model)
        return {
            "discriminator": Part(gan.discriminator, lr=float(self.inputs["rate"]), betas=BETAS),
            "generator": Part(gan.generator, every=int(self.inputs["steps"]), betas=BETAS),
        }

    # Training and judging

    def loss(self, model: nn.Module, batch: PosedBatch, part: str = "") -> Float[Tensor, ""]:
        """Return the hinge loss of one of the two."""
        if part == "generator":
            return generator_loss(model, batch)
        return discriminator_loss(model, batch, float(self.inputs["mismatched"]))

    def judge(self, model: nn.Module, batch: WatchedBatch) -> Judged:
        """Return what the net sees in the real pictures and in those drawn for their conditions."""
        gan, items = cast(Any, model), batch.items
        noise = torch.randn(len(batch), gan.noise).to(items.images.device)
        drawn = gan(noise, condition_or_none(items.conditions))
        records = self.scores.seen(batch.judge, items, drawn).packed()
        return Judged(torch.from_numpy(records), torch.from_numpy(as_pictures(drawn)))

    def value(self, records: np.ndarray) -> float:
        """Return the metric over the items that left these records."""
        return self.bare_metric.value(self.scores.kept(records))

    def value_without_each(self, records: np.ndarray) -> Float64[np.ndarray, " n"]:
        """Return the metric without each item in turn; of a mean by the mean."""
        every = np.arange(len(records))
        if self.bare_metric.averages:
            single = np.array([self.value(records[n : n + 1]) for n in every])
            return (single.sum() - single) / (len(single) - 1)
        return np.array([self.value(records[every != n]) for n in every])

    def figures(self, records: np.ndarray) -> dict[str, float]:
        """Return the other metrics, and what real pictures reach."""
        return self.scores.figures(self.scores.kept(records), self.bare_metric)

    def class_of_items(self, feed: Feed) -> np.ndarray | None:
        """Return the class of each test picture; None without classes."""
        return cast(WatchedFeed, feed).feed.targets if self.known.classes else None

    # What one sees

    def sketch(self, model: nn.Module, folder: Path, epoch: int) -> None:
        """Draw a sheet into ``samples/``, always of the same noise and goals, some twenty in a training."""
        total = self.recipe.epochs
        if epoch and epoch + 1 != total and (epoch + 1) % max(1, total // SHEETS):
            return
        path = folder / "samples" / f"epoch_{epoch + 1:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        overview(model, self.asked).save(path)

    def cards(
        self,
        models: Mapping[str, nn.Module],
        feed: Feed,
        answers: Mapping[str, Any],
        scores: Mapping[str, np.ndarray],
    ) -> list[dict[str, Any]]:
        """Return a sheet of what each model draws for the same noise and goals, and where pixels looked."""
        what = "a row for each class" if self.asked.classes else "drawn pictures"
        variants = []
        for name, model in models.items():
            sheets = [overview(model, self.asked), attended(model, self.asked)]
            variants.append({"name": name, "images": [data_uri(found) for found in sheets if found]})
        if any(len(variant["images"]) > 1 for variant in variants):
            what += "; with attention, where five marked pixels of some of them looked"
        return [{"kind": "image", "item": what, "target": None, "variants": variants}]

    # Using a trained model

    def predict(self, model: nn.Module, inputs: object = None, **options: Any) -> np.ndarray:
        """Return drawn pictures, uint8 (N, S, S, 3).

        Args:
            model: Trained.
            inputs: None: pictures are drawn from noise.
            options: ``label``, the class, by name or number ("3:5" goes from one to another; all in turn if
                None); ``pose``, such as 30, or a sequence if it has several numbers ("-45:45" goes from one
                to another; drawn if None); ``words``, a sentence, where training had captions; ``number``
                (16); ``seed`` (0), which decides noise and poses; ``truncation``: noise beyond this many
                deviations is drawn again; ``interpolate``: from one noise to another in equal steps.

        Raises:
            OptionError: There is no such class, pose or option, or an input came.
        """
        return self._asked(model, inputs, options)[0]

    def tell(
        self, model: nn.Module, words: Sequence[str], *, out: Path | None = None, **options: Any
    ) -> Iterator[Told]:
        """Yield each picture that was drawn, written as a PNG, and at last the sheet of all of them."""
        pictures, names = self._asked(model, tuple(words) or None, options)
        yield from written(pictures, names, Path("drawn") if out is None else out)

    def _asked(
        self, model: nn.Module, inputs: object, options: Mapping[str, Any]
    ) -> tuple[np.ndarray, tuple[str, ...]]:
        if inputs is not None:
            raise OptionError(
                f"predict: got the input {inputs!r}, but this model draws from noise. Say what by --class, "
                "--pose and --number (in Python label=, pose=, number=)."
            )
        own = checked("predict", draw_for, dict(options))
        return draw_for(model, self.asked, **own)
