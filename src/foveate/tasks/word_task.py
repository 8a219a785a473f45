"""What all tasks share whose models answer in words: training on references, search, scores, cards.

Inputs  ``target`` (the vocabulary as plain data), ``search`` (options of the search); a task adds its own.
Loss    -log p of each word of the reference given those before it, mean over the words; with label smoothing.
Record  what the metrics count in an item's answer; the task's metric first.
"""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, TypedDict

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from foveate.data.words.read_vocabulary import read_vocabulary
from foveate.data.words.special import END, PRINTED
from foveate.decoding.hypothesis import Hypothesis
from foveate.decoding.search import search
from foveate.decoding.search_options import SearchOptions
from foveate.errors import FoveateError, OptionError, ShapeError
from foveate.models.decoders.word_model import Decoded, WordModel
from foveate.models.names import models, resolve
from foveate.options import checked
from foveate.recipe import TrainConfig
from foveate.running import eval_no_grad
from foveate.tasks.asked_search import search_options
from foveate.tasks.base import Inputs, Task
from foveate.tasks.counted_feed import CountedBatch
from foveate.tasks.judged import Judged, WordReading
from foveate.tasks.metrics.text.text_metric import TextMetric, parse_text_metric, text_metrics
from foveate.typed import Misfit, fitted

JUDGED = 64  # items that are searched at once
_READ = 3  # decimals of a weight on a card


class Answer(TypedDict):
    """One of the best answers to an input.

    text: As it is read.
    score: What answers are ranked by: log p over the length penalty, with the coverage penalty.
    log_probability: Of the words, natural logarithm.
    finished: Whether the model ended it; False if it was cut at the greatest length.
    """

    text: str
    score: float
    log_probability: float
    finished: bool


class WordTask(Task):
    """A task whose models answer in words; see the module's docstring.

    Args:
        inputs: What its models are made for.
        recipe: Of training.
        metric: The name of a metric of text; the task's usual one if None.

    Raises:
        UnknownNameError: There is no such metric.
        OptionError: An option of the search is impossible.
    """

    usual_metric: ClassVar[str]
    told_metrics: ClassVar[tuple[str, ...]]
    """Further metrics that a report tells."""
    usual: ClassVar[TrainConfig] = TrainConfig(
        lr=1e-3, batch_size=64, epochs=20, weight_decay=0.01, label_smoothing=0.1, augment="none"
    )

    def __init__(self, inputs: Inputs, *, recipe: TrainConfig = TrainConfig(), metric: str | None = None):  # noqa: B008  # frozen
        super().__init__(inputs, recipe=recipe)
        self.metric: TextMetric = parse_text_metric(metric or self.usual_metric)
        others = (parse_text_metric(name) for name in self.told_metrics)
        self.told = tuple(other for other in others if other.name != self.metric.name)
        self.widths = tuple(
            metric.prepare(["a"]).records(["a"]).shape[1] for metric in (self.metric, *self.told)
        )
        self.target = read_vocabulary(inputs["target"], "target")
        self.options = search_options(inputs["search"])

    @classmethod
    def metric_names(cls) -> tuple[str, ...]:
        """Return the names of the metrics of text."""
        return tuple(dict.fromkeys((cls.usual_metric, *text_metrics)))

    @classmethod
    def loss_names(cls) -> tuple[str, ...]:
        """Return the names of the losses."""
        return ("ce",)

    @classmethod
    def usual_recipe(cls, data: Any, *, tuned: bool = False) -> TrainConfig:
        """Return the usual recipe for words."""
        return cls.tuned(cls.usual) if tuned else cls.usual

    @classmethod
    def read_inputs(cls, plain: Mapping[str, Any]) -> Inputs:
        """Return what a saved model carries, checked."""
        for name in ("target", "search"):
            if name not in plain:
                raise Misfit(name, "missing", "an entry of a model that answers in words")
        read_vocabulary(plain["target"], "target")
        try:
            search_options(fitted(plain["search"], dict[str, Any], "search"))
        except OptionError as error:
            raise Misfit("search", str(error), "options of a search") from None
        return plain

    def fitted(self, data: Any, network: Any) -> dict[str, Any]:
        """Return the inputs, tried out on the model."""
        self.try_out(network.name, network.model)
        return dict(self.inputs)

    def expect_model(self, name: str) -> None:
        """Raise if a model by name does not predict words, or not from such inputs."""
        source, bare = resolve(name)
        builder = models.get(bare) if source == "foveate" else None
        words = isinstance(builder, type) and issubclass(builder, WordModel)
        takes = {*inspect.signature(builder).parameters} if builder is not None else set()
        if source in ("timm", "torchvision") or (
            builder is not None and not (words and takes >= {*self.model_options()})
        ):
            raise ShapeError(
                f"{name}: does not answer as {self.name} needs it. Choose one of {self.models()}."
            )

    def try_out(self, name: str, model: nn.Module) -> None:
        """Run a model on two small items.

        Raises:
            ShapeError: It does not answer in words, or has another number of words.
        """
        if not isinstance(model, WordModel):
            raise ShapeError(
                f"{name}: {type(model).__name__} does not predict words, as {self.name} needs it. Choose "
                f"one of {self.models()}, or derive yours from foveate.models.decoders.word_model.WordModel."
            )
        try:
            with eval_no_grad(model):
                found = model(*self.example())
        except FoveateError:
            raise
        except Exception as error:  # whatever a foreign network raises
            raise ShapeError(f"{name} does not take the inputs of {self.name}: {error}") from error
        words = len(self.target)
        if not isinstance(found, Decoded) or found.logits.shape[-1] != words:
            got = tuple(found.logits.shape) if isinstance(found, Decoded) else type(found).__name__
            raise ShapeError(f"{name}: returned {got}, expected logits of {words} words (B, T, {words}).")

    @classmethod
    @abstractmethod
    def models(cls) -> str:
        """Return the names of models for this task, for messages."""

    @abstractmethod
    def given(self, items: Any) -> tuple[Tensor, ...]:
        """Return what a model encodes of a batch."""

    @abstractmethod
    def wanted(self, items: Any) -> Tensor:
        """Return the words of the reference (B, T) of each item of a batch, with their end, padded."""

    @abstractmethod
    def limits(self, items: Any) -> list[int] | None:
        """Return the greatest number of words of an answer to each item; None for ``search.max_length``."""

    def loss(self, model: nn.Module, batch: Any, part: str = "") -> Float[Tensor, ""]:
        """Return the mean loss of a batch."""
        return self._loss(model, batch, self.recipe.label_smoothing)

    def judging_batch(self, batch_size: int) -> int:
        """Return how many items are searched at once."""
        return JUDGED

    def judge(self, model: nn.Module, batch: CountedBatch) -> Judged:
        """Return what the metrics count in the best answers, the answers, and the loss without smoothing."""
        found = self.answers(model, batch.items)
        texts = [self.target.decode(hypotheses[0].words) for hypotheses in found]
        indices = batch.items.indices.tolist()
        records = np.concatenate([counter.records(texts, indices) for counter in batch.counters], axis=1)
        return Judged(torch.from_numpy(records), texts, self._loss(model, batch.items, 0.0))

    def answers(
        self,
        model: nn.Module,
        items: Any,
        *,
        keep_weights: bool = False,
        generator: torch.Generator | None = None,
        **changed: Any,
    ) -> list[list[Hypothesis]]:
        """Return the best answers to a batch; ``changed`` are other options of the search than the task's."""
        words = word_model(model)
        if "forbidden" in changed:  # beside what the task forbids
            changed["forbidden"] = (*self.options.forbidden, *changed["forbidden"])
        options = replace(self.options, **checked("search", SearchOptions, changed))
        memory = words.encode(*self.given(items))
        limits = self.limits(items)
        return search(words, memory, options, limits=limits, keep_weights=keep_weights, generator=generator)

    def value(self, records: Float64[np.ndarray, "n r"]) -> float:
        """Return the metric over the items that left these records."""
        return self.metric.value(self._by_metric(records)[0])

    def value_without_each(self, records: Float64[np.ndarray, "n r"]) -> Float64[np.ndarray, " n"]:
        """Return the metric without each item in turn."""
        return self.metric.value_without_each(self._by_metric(records)[0])

    def figures(self, records: Float64[np.ndarray, "n r"]) -> dict[str, float]:
        """Return the other metrics over these items, as they are printed."""
        of_others = zip(self.told, self._by_metric(records)[1:], strict=True)
        return {other.name: other.scale * other.value(own) for other, own in of_others}

    def best_of(self, hypotheses: Sequence[Hypothesis]) -> list[Answer]:
        """Return hypotheses as plain data."""
        return [
            {
                "text": self.target.decode(hypothesis.words),
                "score": hypothesis.score,
                "log_probability": hypothesis.log_probability,
                "finished": hypothesis.finished,
            }
            for hypothesis in hypotheses
        ]

    def read_by(self, hypothesis: Hypothesis, entries: int | None = None) -> dict[str, Any]:
        """Return the words of an answer and what was read for each, as a card holds them.

        Args:
            hypothesis: With its weights.
            entries: How many entries there are to read; what is behind them is padding.
        """
        weights = hypothesis.weights if hypothesis.weights is None else hypothesis.weights[:, :entries]
        words = self.target.pieces(hypothesis.words)
        if weights is None or weights.shape[1] == 0:
            return {"words": words, "weights": []}
        ended = [*words, PRINTED[END]]
        return {"words": ended, "weights": weights.double().round(decimals=_READ).tolist()}

    def reading(
        self, name: str, hypothesis: Hypothesis, entries: int | None = None, **about: Any
    ) -> WordReading:
        """Return what ``read_by`` returns as arrays, with what was read: see ``WordReading``."""
        found = self.read_by(hypothesis, entries)
        return WordReading(name, found["words"], np.asarray(found["weights"], np.float64), **about)

    def _by_metric(self, records: np.ndarray) -> list[np.ndarray]:
        """Return the part of the records that belongs to each metric."""
        return np.split(np.asarray(records), np.cumsum(self.widths)[:-1], axis=1)

    def _loss(self, model: nn.Module, items: Any, smoothing: float) -> Float[Tensor, ""]:
        words = word_model(model)
        wanted = self.wanted(items)
        decoded = model(*self.given(items), words.shifted(wanted))
        return words.loss(decoded, wanted, label_smoothing=smoothing)


def word_model(model: nn.Module) -> WordModel:
    """Return the model behind a wrapper such as ``DistributedDataParallel``, or itself."""
    inner = getattr(model, "module", None)
    if not isinstance(model, WordModel) and isinstance(inner, nn.Module):
        return word_model(inner)
    if not isinstance(model, WordModel):
        raise ShapeError(f"{type(model).__name__} does not predict words: derive it from WordModel.")
    return model
