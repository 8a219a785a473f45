"""The interface that a task implements; training, studies, prediction and commands use nothing else.

A task defines what a model learns from a batch (``loss``), how the model's answers are judged (``judge``, and
the scores that follow from its records), and how answers are shown. It is made for the *inputs* of its
models: plain data such as classes, image size or vocabulary, which plans and saved models carry.

To write one, derive from ``Task`` and register the class: ``@tasks.register("translation")``. What has a
default here may be left out.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from jaxtyping import Float, Float64
from torch import Tensor, nn

from foveate.calls import parse_call
from foveate.data.checks.finding import Finding
from foveate.data.feed import Data, Feed
from foveate.data.folds import Foldable, Folds, fold_sequences
from foveate.data.picture_form import PictureForm
from foveate.errors import DataError, OptionError
from foveate.large_pictures import LargePictures
from foveate.options import checked
from foveate.recipe import TrainConfig
from foveate.registry import Registry
from foveate.tasks.judged import Answers, Judged, Told, WordReading
from foveate.tasks.metric import Metric
from foveate.tasks.part import Network, Part

Inputs = Mapping[str, Any]
"""What a task's models are made for, as plain data that survives JSON unchanged."""


class Task(ABC):
    """What a model learns, how it is judged, and how its answers look.

    Args:
        inputs: What its models are made for.
        recipe: Of training; a task reads from it what concerns its loss.
        metric: What models are judged by; the task's usual metric if None.

    Raises:
        OptionError, UnknownNameError: There is no such loss or metric, or it does not go with the inputs.

    Attributes:
        name: The name in the registry.
        items: What its items are called, in the plural: "images", "sentences".
        takes_inputs: Whether its models answer to inputs; if not, they draw, as options of the command say.
        classes: Names of the classes, if there are any.
        metric: What ``value`` measures.
    """

    name: ClassVar[str]
    items: ClassVar[str] = "items"
    takes_inputs: ClassVar[bool] = True
    classes: tuple[str, ...] = ()
    metric: Metric

    def __init__(self, inputs: Inputs, *, recipe: TrainConfig = TrainConfig(), metric: str | None = None):  # noqa: B008  # frozen
        if metric is not None:
            raise OptionError(
                f"{self.name}: got metric={metric!r}, but this task has one metric. Leave it out."
            )
        self.inputs, self.recipe = inputs, recipe

    @classmethod
    def of(cls, inputs: Inputs, *, recipe: TrainConfig = TrainConfig(), metric: str | None = None) -> Self:  # noqa: B008
        """Return the task for these inputs; see the class."""
        return cls(inputs, recipe=recipe, metric=metric)

    @classmethod
    def metric_names(cls) -> tuple[str, ...]:
        """Return the names of the metrics that it can be judged by, the usual one first."""
        return ()

    @classmethod
    def loss_names(cls) -> tuple[str, ...]:
        """Return the names of the losses that it can be trained with, the usual one first."""
        return ()

    # What the data is

    @classmethod
    def opens(cls, source: object) -> bool:
        """Return whether a source is clearly data for this task, so that the user need not name the task."""
        return False

    @classmethod
    def open(cls, source: object, /, **options: object) -> Data:
        """Open data for this task.

        Args:
            source: What the user passes: a path, a text, a Python object.
            options: From the command line or the caller.

        Raises:
            DataError: It is not data for this task, or cannot be read.
        """
        raise DataError(f"{cls.name}: cannot open data. Pass data that was opened already.")

    @classmethod
    def reopen(cls, origin: Mapping[str, Any]) -> Data:
        """Open data again from its ``origin``.

        Raises:
            DataError: It was a Python object, which cannot be opened again.
        """
        if origin.get("source") is None:
            raise DataError(
                f"this data came from a Python object ({origin.get('description', 'no path')}) and cannot be "
                "opened from its description. Pass the object itself."
            )
        return cls.open(origin["source"], **origin.get("options", {}))

    @classmethod
    def folds(cls, data: Data, count: int) -> Folds:
        """Return the data in folds for cross-validation, the same ones whenever it is called.

        By default the data's own: those of its method ``folds``, which is written with ``cut_folds``. Data
        without one is cut item by item, if it is kept as ``fold_sequences`` says.

        Raises:
            DataError: It cannot be cut into folds, or has too few items.
        """
        if isinstance(data, Foldable):
            return data.folds(count)
        return fold_sequences(data, count)

    @classmethod
    def check(cls, data: Data) -> list[Finding]:
        """Look for faults in the data, before training; an ``error`` stops a study."""
        return []

    @classmethod
    def check_source(cls, source: object, /, **options: object) -> list[Finding]:
        """Look for faults in what ``open`` rejects: why it cannot be opened, and where."""
        try:
            return cls.check(cls.open(source, **options))
        except DataError as error:
            return [Finding("cannot_open", "error", str(error))]

    @classmethod
    def warnings(cls, data: Data) -> list[Finding]:
        """Return those warnings of ``check`` that are known without reading an item."""
        return []

    @classmethod
    def draw_alike(cls, data: Data | None, findings: Sequence[Finding], path: Path) -> str:
        """Draw items that are alike side by side into a file, and return what to print about it."""
        raise OptionError(f"--sheet: {cls.name} does not draw its data. Leave it out.")

    @classmethod  # noqa: B027
    def expect(cls, data: Data) -> None:
        """Raise unless the data is for this task.

        Raises:
            DataError: It is not.
        """

    @classmethod
    def usual_recipe(cls, data: Data | None, *, tuned: bool = False) -> TrainConfig:
        """Return the recipe for training that states nothing else.

        Args:
            data: What is trained on; None where it is not known yet.
            tuned: Whether training starts from weights that a large learning rate would wash out.
        """
        return cls.tuned(TrainConfig()) if tuned else TrainConfig()

    @staticmethod
    def tuned(recipe: TrainConfig) -> TrainConfig:
        """Return a recipe with the learning rate that is usual for pretrained weights."""
        return replace(recipe, lr=1e-4)

    @classmethod
    @abstractmethod
    def inputs_of(cls, data: Data) -> dict[str, Any]:
        """Return the inputs as far as they follow from the data alone, such as classes or vocabulary.

        Further keyword arguments are the task's own options: ``--task "translation(words=8000)"``.
        """

    @classmethod
    def read_inputs(cls, plain: Mapping[str, Any]) -> Inputs:
        """Return the inputs that a saved model carries, checked.

        Raises:
            Misfit: An entry is missing or impossible.
        """
        return plain

    def fitted(self, data: Data, network: Network) -> dict[str, Any]:
        """Return the inputs when the model is known too, tried out on the model.

        Raises:
            ShapeError: The model is not for this task.
        """
        return dict(self.inputs)

    def try_out(self, name: str, model: nn.Module) -> None:  # noqa: B027
        """Raise unless a model takes the inputs and answers as this task needs it; called before training.

        Raises:
            ShapeError: It does not.
        """

    @abstractmethod
    def feeds(self, data: Data) -> dict[str, Feed]:
        """Return the splits of the data ready for training; take from them what the loss needs of them.

        Raises:
            DataError: An item cannot be read.
            OptionError: The recipe does not go with the data.
        """

    def expect_judgeable(self, test: Feed) -> None:  # noqa: B027
        """Raise unless the metric says something about these test items; called before training.

        Raises:
            DataError: It does not.
        """

    def facts(self) -> tuple[str, ...]:
        """Return what a plan prints about the inputs, each in a few words: "5 classes", "64 px"."""
        return ()

    def saved(self, data: Data) -> dict[str, Any]:
        """Return the inputs as a saved model carries them, from which ``of`` makes the task again."""
        return dict(self.inputs)

    # What the model is

    def expect_model(self, name: str) -> None:  # noqa: B027
        """Raise if a model of this name is clearly for another task; called before it is built.

        Raises:
            ShapeError: It is.
        """

    def model_options(self) -> dict[str, object]:
        """Return what ``create_model`` needs besides the name, such as the number of classes."""
        return {"classes": len(self.classes)}

    def always_compared(self, model: str) -> Mapping[str, str]:
        """Return models that every study of ``model`` trains beside it, by the names that it gives them.

        Without them its scores would say little: models that do not get all of their inputs, for example.
        They are variants like those that the user names.
        """
        return {}

    @abstractmethod
    def example(self, items: int = 2) -> Any:
        """Return an input of this many items on which a model can be run; always the same."""

    def example_for(self, model: nn.Module, items: int = 2) -> Any:
        """Return an input for one of the models, where not all of them take the same; else ``example``."""
        return self.example(items)

    def training_example(self, model: nn.Module, items: int = 2) -> Any:
        """Return what a model is called with in training: ``example_for``, and targets if it takes them."""
        return self.example_for(model, items)

    def parts(self, model: nn.Module) -> Mapping[str, Part]:
        """Return what is trained, in turns: one part, the whole model, in most tasks."""
        return {"": Part(model)}

    # Training and judging

    @abstractmethod
    def loss(self, model: nn.Module, batch: Any, part: str = "") -> Float[Tensor, ""]:
        """Return the mean loss of a batch for one of the parts."""

    @abstractmethod
    def judge(self, model: nn.Module, batch: Any) -> Judged:
        """Return records and answers of a batch, the model being in evaluation mode, without gradients.

        A task may search, sample or tile here. Draw random numbers from PyTorch, which is seeded alike for
        every evaluation.
        """

    def judging_batch(self, batch_size: int) -> int:
        """Return how many items are judged at once if training uses ``batch_size``."""
        return batch_size

    def ready(self, model: nn.Module, feed: Feed) -> None:  # noqa: B027
        """Raise unless the model can be trained on this feed; called once per run, before its first step."""

    # Scores: by default those of a metric that follows from the sum of the records

    def value_of_total(self, total: np.ndarray) -> float:
        """Return the metric of items whose records sum up to ``total``."""
        raise NotImplementedError(f"{self.name}: define value_of_total, or value")

    def value(self, records: np.ndarray) -> float:
        """Return the metric over the items that left these records (N, ...); NaN if undefined."""
        return self.value_of_total(records.sum(axis=0))

    def value_without_each(self, records: np.ndarray) -> Float64[np.ndarray, " n"]:
        """Return the metric over all items but one, for each item in turn."""
        total = records.sum(axis=0)
        return np.array([self.value_of_total(total - record) for record in records])

    def by_class(self, records: np.ndarray) -> np.ndarray | None:
        """Return the metric of each class (K,) over these items, or None to use its own items' scores."""
        return None

    def by_class_without_each(self, records: np.ndarray) -> np.ndarray | None:
        """Return the metric of each class over all items but one, for each item in turn (N, K); or None."""
        return None

    def class_of_items(self, feed: Feed) -> np.ndarray | None:
        """Return the class of each item (N,), where each has one; None elsewhere."""
        return None

    def figures(self, records: np.ndarray) -> dict[str, float]:
        """Return further figures over these items, by the names that a report prints, as it prints them."""
        return {}

    def confusion(self, answers: Answers, feed: Feed) -> np.ndarray | None:
        """Count the items of each true class (row) predicted as each class (column); None without classes."""
        return None

    def chance(self, feeds: Mapping[str, Feed]) -> float:
        """Return the score of a model that ignores its input; NaN if unknown."""
        return float("nan")

    # What one sees

    def sketch(self, model: nn.Module, folder: Path, epoch: int) -> None:  # noqa: B027
        """Leave in a run's folder something that shows how far the model has got; called after each epoch.

        Args:
            model: In evaluation mode, without gradients; with its averaged weights where there are any.
            folder: Of the run.
            epoch: Counted from 0.
        """

    def cards(
        self,
        models: Mapping[str, nn.Module],
        feed: Feed,
        answers: Mapping[str, Answers],
        scores: Mapping[str, np.ndarray],
    ) -> list[dict[str, Any]]:
        """Return some test items as every model sees them, for the report: see docs/study-json.md.

        Args:
            models: One trained model per variant, all of one seed.
            feed: The test items.
            answers: What each of the models answered to every item.
            scores: The metric of each item by itself (N,), in its unit; NaN where undefined.
        """
        return []

    def judged_maps(
        self, models: Mapping[str, nn.Module], feed: Feed, answers: Mapping[str, Answers], passes: int
    ) -> dict[str, Any] | None:
        """Return whether the maps on the cards tell the truth, for the report: see docs/study-json.md.

        Args:
            models: One trained model per variant, all of one seed; each runs where it is.
            feed: The test items.
            answers: What each of the models answered to every item.
            passes: The most forward passes of a model that this may cost.

        Returns:
            None if the cards have no maps that can be judged, or too little of all that is there.
        """
        return None

    # Using a trained model

    def picture_form(self) -> PictureForm | None:
        """Return how pictures become the input of a model, for who draws or judges where it looks.

        None if its input is not one batch of pictures (B, 3, H, W).
        """
        return None

    def in_parts(
        self, model: nn.Module, files: Sequence[object]
    ) -> tuple[LargePictures, list[np.ndarray]] | None:
        """Return the user's pictures for a model that looks at parts of them, to draw where it looks.

        Beside them a small square of each to draw on, uint8 (S, S, 3). None if a model takes whole pictures.
        """
        return None

    def reads(self, model: nn.Module, inputs: object) -> list[WordReading]:
        """Return what each word of the best answer was read from, for each of the user's inputs.

        Nothing if the task does not answer in words.
        """
        return []

    def predict(self, model: nn.Module, inputs: object, **options: Any) -> Any:
        """Return a model's predictions for the user's inputs, as ``fv.predict`` and ``model.predict`` do.

        Raises:
            ShapeError, DataError: The inputs are not of the kind, or cannot be read.
        """
        raise OptionError(f"{self.name}: this task does not predict: it would have to define predict")

    def tell(
        self, model: nn.Module, words: Sequence[str], *, out: Path | None = None, **options: Any
    ) -> Iterator[Told]:
        """Yield what ``foveate predict`` prints of each input, and write files if ``out`` is given.

        Args:
            model: A trained model.
            words: The inputs, as the command line has them.
            out: Folder of the files to write.
            options: Further options of the command, those that were given.

        Raises:
            OptionError: The task does not have such an option.
        """
        if out is not None or options:
            name = "out" if out is not None else next(iter(options))
            raise OptionError(
                f"--{name.replace('_', '-')}: this model is for {self.name}, which has no such option."
            )
        found: Iterable[Any] = self.predict(model, list(words))
        for word, answer in zip(words, found, strict=True):
            yield Told(word, (str(answer),), {"input": word, "answer": answer})


tasks: Registry[type[Task]] = Registry("task", see="foveate list tasks")


def task_named(text: str) -> tuple[type[Task], dict[str, object]]:
    """Return the task of a name with options, and the options: ``translation(words=8000)``.

    Raises:
        UnknownNameError: There is no such task.
        OptionError: It does not have such an option.
    """
    name, options = parse_call(text)
    found = tasks[name]
    return found, checked(f"task {name}", found.inputs_of, options)


def task_with(kind: str, inputs: Inputs, recipe: TrainConfig, metric: str | None) -> Task:
    """Return a task again from what a plan holds of it."""
    return task_named(kind)[0].of(inputs, recipe=recipe, metric=metric)
