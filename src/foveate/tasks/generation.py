"""Generation: pictures drawn from noise for a goal, a class and a pose, by a generator and its discriminator.

Batch    images (B, 3, S, S) in [-1, 1], conditions (B, K + P).
Parts    the discriminator first, with four times the learning rate (two time scales), then the generator.
Loss     hinge; see ``adversarial_loss``.
Record   what a net trained on the real pictures sees in each test picture and in the one drawn for its
         condition: see ``metrics.pictures.picture_metric``. KID is the usual metric.

Inputs   ``classes``, ``columns`` (of the pose), ``size`` in pixels, ``features`` that distances are over;
         ``rate`` and ``steps`` of the discriminator, ``mismatched`` in its loss.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

import numpy as np
import torch
from jaxtyping import Float, Float64
from PIL import Image
from torch import Tensor, nn

from foveate.calls import parse_call
from foveate.data.base import ImageData
from foveate.data.cache import cache
from foveate.data.checks.finding import Finding
from foveate.data.feed import Data, Feed
from foveate.data.image_feed import ImageFeed
from foveate.data.open import call_opener
from foveate.data.posed.check_posed import check_posed, opening_notes
from foveate.data.posed.open_posed import means_digits, open_posed
from foveate.data.posed.posed_data import PoseColumn, PosedImages
from foveate.data.posed.posed_feed import PosedBatch, PosedFeed, conditions_of
from foveate.errors import DataError, FoveateError, OptionError, ShapeError, in_one_line
from foveate.models.names import models, resolve
from foveate.options import between, checked, positive, whole
from foveate.recipe import TrainConfig
from foveate.running import eval_no_grad
from foveate.sampling.goals import read_goals
from foveate.sampling.noise import draw_noise
from foveate.sampling.picture_sheet import as_pictures, sheet
from foveate.tasks.adversarial_loss import discriminator_loss, generator_loss
from foveate.tasks.base import Inputs, Task, tasks
from foveate.tasks.cards.overlay import data_uri
from foveate.tasks.drawn_pictures import COLUMNS, condition_or_none, draw_for, overview
from foveate.tasks.goal_scores import GoalScores, width_of
from foveate.tasks.inception_net import INCEPTION
from foveate.tasks.judged import Judged, Told
from foveate.tasks.metrics.pictures import PictureMetric, parse_picture_metric, picture_metrics
from foveate.tasks.metrics.pictures.goal_accuracy import ClassAccuracy, PoseAccuracy
from foveate.tasks.metrics.pictures.picture_metric import named_after
from foveate.tasks.part import Network, Part
from foveate.tasks.picture_net import OWN, judge_for
from foveate.tasks.watched_feed import WatchedBatch, WatchedFeed
from foveate.typed import Misfit, fitted

BETAS = (0.0, 0.9)
LARGEST = 64  # pixels of a side where nobody asks for more
NOISE = 128  # numbers of noise that a model is tried on if it does not say how many it takes
SHEETS = 20  # about how many a training leaves
_NEEDED = ("generator", "discriminator", "judge", "judge_both", "noise")


@tasks.register("generation")
class Generation(Task):
    """Pictures drawn for a class and a pose; see the module's docstring."""

    name = "generation"
    items = "images"
    takes_inputs = False
    usual: ClassVar[TrainConfig] = TrainConfig(
        lr=1e-4, batch_size=64, epochs=100, weight_decay=0.0, warmup=0.0, clip=None, ema=0.999, augment="none"
    )

    def __init__(self, inputs: Inputs, *, recipe: TrainConfig = TrainConfig(), metric: str | None = None):  # noqa: B008  # frozen
        super().__init__(inputs, recipe=recipe)
        self.classes = tuple(inputs["classes"])
        self.columns = tuple(PoseColumn(**column) for column in inputs["columns"])
        self.size = int(recipe.size or inputs["size"])
        self.scores = GoalScores(len(self.classes), self.columns)
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
        return check_posed(_posed(data))

    @classmethod
    def warnings(cls, data: Data) -> list[Finding]:
        """Return what was left out when the data was opened, and why."""
        return opening_notes(_posed(data))

    @classmethod
    def expect(cls, data: Data) -> None:
        """Raise unless these are pictures that can be learnt from."""
        _posed(data)

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
    ) -> dict[str, Any]:
        """Return classes, pose and size.

        Args:
            data: The pictures.
            features: Of KID, FID, precision and recall: of a net trained on the data, or of torchvision's
                Inception v3, if its weights are at hand.
            rate: The discriminator's learning rate as a multiple of the generator's.
            steps: Of the discriminator for each one of the generator.
            mismatched: What part real pictures with the goals of others have, beside drawn pictures, in what
                the discriminator learns to reject, in [0, 1). 0 as published, 0.5 in Reed et al. 2016: class
                and pose are learnt much sooner.
        """
        posed = _posed(data)
        if mismatched and not posed.classes and not posed.columns:
            raise OptionError(
                f"mismatched: got {mismatched}, but these pictures have no goals. Leave it out."
            )
        return {
            "classes": list(posed.classes),
            "columns": [asdict(column) for column in posed.columns],
            "size": _side(posed.images),
            "features": features,
            "rate": positive("rate", float(rate)),
            "steps": whole("steps", steps),
            "mismatched": between("mismatched", float(mismatched), 0.0, 0.999),
        }

    @classmethod
    def read_inputs(cls, plain: Mapping[str, Any]) -> Inputs:
        """Return what a saved model carries, checked."""
        kinds: dict[str, Any] = {"classes": list[str], "size": int, "rate": float, "steps": int, "mismatched": float}
        kinds["features"] = Literal["own", "inception"]
        for name, kind in kinds.items():
            fitted(plain.get(name), kind, name)
        columns = plain.get("columns")
        if not isinstance(columns, list):
            raise Misfit("columns", repr(columns), "the columns of the pose")
        for number, column in enumerate(columns):
            fitted(column, PoseColumn, f"columns[{number}]")
        return plain

    def fitted(self, data: Data, network: Network) -> dict[str, Any]:
        """Return the inputs with the size that is drawn, tried out on the model."""
        self.try_out(network.name, network.model)
        return {**self.inputs, "size": self.size}

    def feeds(self, data: Data) -> dict[str, Feed]:
        """Return the decoded splits; train the net that judges, if it was not before."""
        posed = _posed(data)
        if self.columns and self.recipe.augment != "none":
            raise OptionError(
                f"augment: got {self.recipe.augment}, but these pictures have a pose, which flips and crops "
                "change. Write none."
            )
        splits = cache(posed.images, size=self.size)
        train = self._feed(posed, "train", splits["train"], TrainConfig(augment="none"))
        judge = judge_for(
            train,
            len(self.classes),
            width_of(self.columns),
            posed.fingerprint,
            inception=self.inputs["features"] == "inception",
        )
        recipe = TrainConfig(augment=self.recipe.augment, colour=self.recipe.colour)
        feeds = {name: self._feed(posed, name, split, recipe) for name, split in splits.items()}
        return {name: WatchedFeed(feed, judge) for name, feed in feeds.items()}

    def _feed(self, posed: PosedImages, name: str, split: Any, recipe: TrainConfig) -> PosedFeed:
        poses = posed.poses[name]
        conditions = conditions_of(split.targets, poses, len(self.classes), self.columns)
        return PosedFeed(ImageFeed(split, recipe), conditions, split.targets)

    def facts(self) -> tuple[str, ...]:
        """Return classes, pose, size and what judges."""
        classes = f"{len(self.classes)} classes" if self.classes else "no classes"
        pose = (f"pose {', '.join(column.name for column in self.columns)}",) if self.columns else ()
        return (classes, *pose, f"{self.size} px", f"judged by {self.seer}")

    def saved(self, data: Data) -> dict[str, Any]:
        """Return the inputs as a saved model carries them."""
        return {**self.inputs, "size": self.size}

    # What the model is

    def expect_model(self, name: str) -> None:
        """Raise if a model by name does not draw, or if its options contradict the data."""
        source, bare = resolve(name)
        draws = bare in models and hasattr(models[bare], "judge_both") if source == "foveate" else False
        if source not in ("import", "python") and not draws:
            raise ShapeError(f"{name}: draws no pictures, as {self.name} needs it. Choose attention_gan.")
        options = parse_call(name)[1]
        for option, value in self.model_options().items():
            if options.get(option, value) != value:
                how = "Write --size." if option == "size" else "It follows from the data: leave it out."
                raise OptionError(f"{name}: {option}={options[option]}, but the data has {value}. {how}")

    def model_options(self) -> dict[str, object]:
        """Return how many classes and numbers of a pose there are, and the size."""
        return {"classes": len(self.classes), "pose": width_of(self.columns), "size": self.size}

    def try_out(self, name: str, model: nn.Module) -> None:
        """Draw two pictures and judge them."""
        needed = (*_NEEDED, *["judge_mismatched"] * bool(self.inputs["mismatched"]))
        missing = [part for part in needed if not hasattr(model, part)]
        if missing:
            raise ShapeError(
                f"{name}: {type(model).__name__} has no {', '.join(missing)}, as {self.name} needs it. "
                "Choose attention_gan, or give yours what AttentionGAN has."
            )
        gan, expected = cast(Any, model), (2, 3, self.size, self.size)
        given = self._example(2, gan.noise)
        try:
            with eval_no_grad(model):
                drawn = gan(*given)
                scores = gan.judge(drawn, *given[1:])
        except FoveateError:
            raise
        except Exception as error:  # whatever a foreign network raises
            raise ShapeError(f"{name} does not draw for such goals: {in_one_line(error)}") from error
        if tuple(drawn.shape) != expected or tuple(scores.shape) != (2, 1):
            raise ShapeError(
                f"{name}: drew {tuple(drawn.shape)} and scored {tuple(scores.shape)}, expected pictures "
                f"{expected} and scores (2, 1)."
            )
        self._noise = int(gan.noise)

    def example(self, items: int = 2) -> Any:
        """Return noise (B, Z) and conditions (B, K + P); noise alone where nothing can be asked for."""
        return self._example(items, self.__dict__.get("_noise", NOISE))

    def _example(self, items: int, noise: int) -> tuple[Tensor, ...]:
        drawn = draw_noise(items, noise, seed=0)
        if not self.classes and not self.columns:
            return (drawn,)
        return drawn, torch.from_numpy(read_goals(self.classes, self.columns, items).conditions)

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
        return cast(WatchedFeed, feed).feed.targets if self.classes else None

    # What one sees

    def sketch(self, model: nn.Module, folder: Path, epoch: int) -> None:
        """Draw a sheet into ``samples/``, always of the same noise and goals, some twenty in a training."""
        total = self.recipe.epochs
        if epoch and epoch + 1 != total and (epoch + 1) % max(1, total // SHEETS):
            return
        path = folder / "samples" / f"epoch_{epoch + 1:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        overview(model, self.classes, self.columns).save(path)

    def cards(
        self,
        models: Mapping[str, nn.Module],
        feed: Feed,
        answers: Mapping[str, Any],
        scores: Mapping[str, np.ndarray],
    ) -> list[dict[str, Any]]:
        """Return a sheet of what each model draws for the same noise and goals."""
        sheets = {
            name: data_uri(overview(model, self.classes, self.columns)) for name, model in models.items()
        }
        what = "a row for each class" if self.classes else "drawn pictures"
        variants = [{"name": name, "images": [uri]} for name, uri in sheets.items()]
        return [{"kind": "image", "item": what, "target": None, "variants": variants}]

    # Using a trained model

    def predict(self, model: nn.Module, inputs: object = None, **options: Any) -> np.ndarray:
        """Return drawn pictures, uint8 (N, S, S, 3).

        Args:
            model: Trained.
            inputs: None: pictures are drawn from noise.
            options: ``label``, the class, by name or number ("3:5" goes from one to another; all in turn if
                None); ``pose``, such as 30, or a sequence if it has several numbers ("-45:45" goes from one
                to another; drawn if None); ``number`` (16); ``seed`` (0), which decides noise and poses;
                ``truncation``: noise beyond this many deviations is drawn again; ``interpolate``: from one
                noise to another in equal steps.

        Raises:
            OptionError: There is no such class, pose or option, or an input came.
        """
        return self._asked(model, inputs, options)[0]

    def tell(
        self, model: nn.Module, words: Sequence[str], *, out: Path | None = None, **options: Any
    ) -> Iterator[Told]:
        """Yield each picture that was drawn, written as a PNG, and at last the sheet of all of them."""
        pictures, names = self._asked(model, tuple(words) or None, options)
        folder = Path("drawn") if out is None else out
        folder.mkdir(parents=True, exist_ok=True)
        for place, (picture, name) in enumerate(zip(pictures, names, strict=True)):
            path = folder / f"{place:04d}.png"
            Image.fromarray(picture).save(path)
            yield Told(str(path), (f"  {name}",) if name else (), {"file": str(path), "goal": name})
        path = folder / "sheet.png"
        sheet(pictures, min(len(pictures), COLUMNS)).save(path)
        yield Told(str(path), (), {"file": str(path), "goal": "all of them"})

    def _asked(
        self, model: nn.Module, inputs: object, options: Mapping[str, Any]
    ) -> tuple[np.ndarray, tuple[str, ...]]:
        if inputs is not None:
            raise OptionError(
                f"predict: got the input {inputs!r}, but this model draws from noise. Say what by --class, "
                "--pose and --number (in Python label=, pose=, number=)."
            )
        own = checked("predict", draw_for, dict(options))
        return draw_for(model, self.classes, self.columns, **own)


def _side(images: ImageData) -> int:
    """Return the largest power of two that pictures are not enlarged for, from 8 to 64 pixels."""
    try:
        side = min(images.splits["train"].load(0).shape[:2])
    except DataError:  # the check of the data comes next, and names this file with all others
        side = LARGEST
    return max(8, min(LARGEST, 1 << (int(side).bit_length() - 1)))


def _posed(data: Data) -> PosedImages:
    if not isinstance(data, PosedImages):
        raise DataError(
            f"{data.name}: got {type(data).__name__}, expected pictures opened for generation. In Python "
            "pass the path and task='generation'."
        )
    return data
