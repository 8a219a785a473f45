"""Questions: a picture and a question about it, answered by one of the known answers.

Batch    pictures (B, 3, H, W) or their features (B, N, D), questions (B, T), what annotators answered.
Outputs  logits (B, K) of the answers.
Loss     cross-entropy with the shares of the annotators who gave each answer; answers that are not known do
         not count.
Record   what the answer is worth by VQA accuracy, the question's family, and how much of the model's
         attention lies where the answer is to be seen.

Every study trains the model twice more: without the question, and without the picture.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Mapping
from typing import Any, ClassVar, TypedDict, cast

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.calls import parse_call
from foveate.data.checks.finding import Finding
from foveate.data.feature_cache import stored_pictures
from foveate.data.feed import Data, Feed
from foveate.data.image_size import natural_size
from foveate.data.open import call_opener
from foveate.data.questions.check_questions import answers_by_text, check_questions, opening_warnings
from foveate.data.questions.looks_like_questions import looks_like_questions
from foveate.data.questions.open_questions import open_questions
from foveate.data.questions.question_data import QuestionData, QuestionSplit
from foveate.data.questions.question_feed import QuestionBatch, QuestionFeed
from foveate.data.words.build_vocabularies import Units, build_vocabulary
from foveate.data.words.read_vocabulary import read_vocabulary
from foveate.data.words.special import FIRST
from foveate.errors import FoveateError, OptionError, ShapeError, in_one_line
from foveate.models.captioning.places import Places
from foveate.models.made_for import USUAL
from foveate.models.names import models, resolve
from foveate.models.question.blind import answered
from foveate.models.question.question_model import QuestionModel
from foveate.options import whole
from foveate.recipe import TrainConfig
from foveate.running import eval_no_grad
from foveate.tasks.answered_questions import JUDGED, AnsweredQuestions, unwrapped
from foveate.tasks.attention_inside import LOOK, looked
from foveate.tasks.base import Inputs, tasks
from foveate.tasks.judged import Judged
from foveate.tasks.metrics.vqa_accuracy import VQA_ACCURACY, credit
from foveate.tasks.own_data import own_data
from foveate.tasks.part import Network
from foveate.tasks.picture_words import expect_pictures, last_map
from foveate.typed import Misfit, fitted

MOST = 3000  # answers that a model knows, if nothing else is said
BLIND = {"without the question": "goal_blind", "without the picture": "picture_blind"}


class _Saved(TypedDict):
    """What a saved model records about its answers."""

    answers: list[str]
    families: list[str]


@tasks.register("question")
class Question(AnsweredQuestions):
    """Questions about pictures, answered by one of the known answers; see the module's docstring.

    Args:
        inputs: What its models are made for.
        recipe: Of training.
        metric: "vqa_accuracy", the only one, or None.

    Raises:
        OptionError: There is no such metric.
    """

    name = "question"
    items = "questions"
    metric = VQA_ACCURACY
    usual: ClassVar[TrainConfig] = TrainConfig(lr=2e-3, batch_size=64, epochs=20, augment="none")

    def __init__(self, inputs: Inputs, *, recipe: TrainConfig = TrainConfig(), metric: str | None = None):  # noqa: B008  # frozen
        super().__init__(inputs, recipe=recipe, metric=None if metric == "vqa_accuracy" else metric)
        self.words = read_vocabulary(inputs["words"], "words")
        self.answers, self.families = tuple(inputs["answers"]), tuple(inputs["families"])

    @classmethod
    def metric_names(cls) -> tuple[str, ...]:
        """Return the name of the metric."""
        return ("vqa_accuracy",)

    @classmethod
    def loss_names(cls) -> tuple[str, ...]:
        """Return the name of the loss."""
        return ("ce",)

    # What the data is

    @classmethod
    def opens(cls, source: object) -> bool:
        """Return whether a path holds questions about pictures."""
        return looks_like_questions(source)

    @classmethod
    def open(cls, source: object, /, **options: object) -> QuestionData:
        """Open questions about pictures, or scenes; see ``open_questions``."""
        return call_opener("questions", open_questions, options, source)

    @classmethod
    def check(cls, data: Data) -> list[Finding]:
        """Look for broken pictures, and for questions whose answers are unknown or given away."""
        return check_questions(_questions(data), credit)

    @classmethod
    def warnings(cls, data: Data) -> list[Finding]:
        """Return what was left out when the data was opened, and why."""
        return opening_warnings(_questions(data))

    @classmethod
    def expect(cls, data: Data) -> None:
        """Raise unless these are questions about pictures."""
        _questions(data)

    @classmethod
    def usual_recipe(cls, data: Any, *, tuned: bool = False) -> TrainConfig:
        """Return the usual recipe for questions: no picture is mirrored, as left would become right."""
        return cls.tuned(cls.usual) if tuned else cls.usual

    @classmethod
    def inputs_of(
        cls,
        data: Data,
        *,
        units: Units = "words",
        vocabulary: int | None = None,
        min_count: int | None = None,
        answers: int = MOST,
        features: bool = True,
    ) -> dict[str, Any]:
        """Return the vocabulary of the training questions, and the most frequent training answers.

        Args:
            data: Questions about pictures.
            units: Whole words, or parts of words (byte-pair encoding).
            vocabulary: Words of the vocabulary, the four special ones included; no limit with words if None.
            min_count: How often a word has to occur; 1 if None.
            answers: How many answers a model knows: the most frequent ones.
            features: Whether a frozen encoder runs once over all pictures and its features are kept on disk.
        """
        questions = _questions(data)
        train = questions.splits["train"]
        words = build_vocabulary(
            train.questions, units=units, size=vocabulary, min_count=min_count, lower=True
        )
        return {
            "words": words.plain(),
            "answers": known_answers(train, whole("answers", answers)),
            "families": list(questions.families),
            "features": features,
        }

    @classmethod
    def read_inputs(cls, plain: Mapping[str, Any]) -> Inputs:
        """Return what a saved model carries, checked."""
        read_vocabulary(plain.get("words"), "words")
        found: _Saved = fitted({name: plain.get(name) for name in _Saved.__annotations__}, _Saved)
        if not found["answers"] or len({*found["answers"]}) < len(found["answers"]):
            raise Misfit("answers", f"{len(found['answers'])} answers", "at least one, all different")
        expect_pictures(plain)
        return plain

    def fitted(self, data: Data, network: Network) -> dict[str, Any]:
        """Return the inputs with the size and the normalisation that the model expects."""
        encoder = last_map(network.model)
        side = encoder.image[1] if encoder is not None and encoder.of_timm else USUAL
        size = network.size or natural_size(_questions(data).pictures, side, keep=network.pretrained)[0]
        own = self.fitted_pictures(network, encoder, size)
        made = type(self).of({**self.inputs, **own}, recipe=self.recipe)
        made.try_out(network.name, network.model)
        return {**self.inputs, **own}

    def feeds(self, data: Data) -> dict[str, Feed]:
        """Return the splits, with features of a frozen encoder or with pictures, computed now if need be."""
        if self.recipe.augment != "none":
            raise OptionError(
                f"augment: got {self.recipe.augment}, but what is left in a question would be right in a "
                'mirrored picture, and what is cut off cannot be counted. Write augment="none" '
                "(--augment none)."
            )
        questions, (mean, std) = _questions(data), self.normalisation
        given = stored_pictures(
            questions.pictures, encoder=self.inputs.get("encoder"), size=self.inputs["size"]
        )
        return {
            name: QuestionFeed(
                split,
                self.words,
                self.answers,
                self.families,
                credit,
                mean=mean,
                std=std,
                size=self.inputs["size"],
                **{kind: by_split[name] for kind, by_split in given.items()},
            )
            for name, split in questions.splits.items()
        }

    def facts(self) -> tuple[str, ...]:
        """Return the vocabulary, the answers, the size of the pictures, and whether features are kept."""
        return (self.words.facts(), f"{len(self.answers):,} answers", *self.picture_facts())

    # What the model is

    @classmethod
    def models(cls) -> str:
        """Return the names of models for this task."""
        return "top_down, stacked_attention, show_ask_attend_answer, with encoder=resnet8 or timm/NAME"

    def always_compared(self, model: str) -> dict[str, str]:
        """Return the model without its question, and without its picture."""
        bare = parse_call(model)[0]
        return {} if bare in BLIND.values() else {name: f"{kind}(of={model})" for name, kind in BLIND.items()}

    def expect_model(self, name: str) -> None:
        """Raise if a model by name does not take a picture and a question."""
        source, bare = resolve(name)
        builder = models.get(bare) if source == "foveate" else None
        takes = isinstance(builder, type) and issubclass(builder, QuestionModel)
        if source in ("timm", "torchvision") or (builder is not None and not takes):
            raise ShapeError(
                f"{name}: does not take a picture and a question, as {self.name} needs it. Choose one of "
                f"{self.models()}."
            )
        if builder is not None and not {"classes", "words"} <= {*inspect.signature(builder).parameters}:
            raise ShapeError(f"{name}: takes no options classes and words, as {self.name} needs it.")

    def try_out(self, name: str, model: nn.Module) -> None:
        """Run a model on two small questions.

        Raises:
            ShapeError: It does not take them, or has another number of answers.
        """
        if isinstance(model, QuestionModel) and isinstance(model.encoder, Places) and not last_map(model):
            bare = parse_call(name)[0]
            raise ShapeError(
                f"{name}: has no encoder of pictures. Write {bare}(encoder=timm/NAME) and --pretrained, or "
                f"{bare}(encoder=resnet8, trainable=all) for small pictures."
            )
        try:
            with eval_no_grad(model):
                found = answered(model, *self.example()).logits
        except FoveateError:
            raise
        except Exception as error:  # whatever a foreign network raises
            raise ShapeError(
                f"{name} does not take a picture and a question ({in_one_line(error)}), as "
                f"{self.name} needs it."
            ) from error
        if found.ndim != 2 or found.shape[1] != len(self.answers):
            raise ShapeError(
                f"{name}: returned {tuple(found.shape)}, expected logits of {len(self.answers)} answers (B, "
                f"{len(self.answers)})."
            )

    def model_options(self) -> dict[str, object]:
        """Return the number of answers, and the size of the vocabulary."""
        return {"classes": len(self.answers), "words": len(self.words)}

    def example(self, items: int = 2) -> tuple[Tensor, Tensor]:
        """Return pictures (B, 3, H, W) and questions (B, 4)."""
        return self.example_pictures(items), torch.full((items, 4), min(FIRST, len(self.words) - 1))

    # Training and judging

    def loss(self, model: nn.Module, batch: QuestionBatch, part: str = "") -> Float[Tensor, ""]:
        """Return the mean loss of a batch."""
        logits = model(batch.inputs, batch.words)
        return _cross_entropy(logits, batch.targets, self.recipe.label_smoothing)

    def judging_batch(self, batch_size: int) -> int:
        """Return how many questions are judged at once."""
        return JUDGED

    def judge(self, model: nn.Module, batch: QuestionBatch) -> Judged:
        """Return what the answers are worth, the answers, and the loss without smoothing."""
        found = answered(unwrapped(model), batch.inputs, batch.words)
        chosen = found.logits.argmax(dim=1, keepdim=True)
        worth = batch.credit.gather(1, chosen).double()
        family = F.one_hot(batch.family, len(self.families) + 1)[:, : len(self.families)].double()
        records = torch.cat([worth, family, looked(found.weights, batch.look, len(worth)).to(worth)], dim=1)
        texts = [self.answers[number] for number in chosen.flatten().tolist()]
        return Judged(records.cpu(), texts, _cross_entropy(found.logits, batch.targets, 0.0))

    def value(self, records: Float64[np.ndarray, "n r"]) -> float:
        """Return the VQA accuracy over these questions."""
        return float(records[:, 0].mean())

    def value_without_each(self, records: Float64[np.ndarray, "n r"]) -> Float64[np.ndarray, " n"]:
        """Return it without each question in turn."""
        worth = records[:, 0]
        return (worth.sum() - worth) / (len(worth) - 1)

    def figures(self, records: Float64[np.ndarray, "n r"]) -> dict[str, float]:
        """Return the accuracy of each family, and where the model looked."""
        count, found = len(self.families), {}
        for number, name in enumerate(self.families):
            some = records[:, 1 + number] > 0
            if some.any() and count > 1:
                found[name] = 100 * float(records[some, 0].mean())
        inside, area, known = records[:, -LOOK:].sum(axis=0)
        if known:
            found["attention inside (%)"] = 100 * float(inside / known)
            found["inside over its area"] = float(inside / area)
        return found

    def chance(self, feeds: Mapping[str, Feed]) -> float:
        """Return the score of the answer that is worth most on the training questions."""
        train, test = (cast(QuestionFeed, feeds[name]).split for name in ("train", "test"))
        _, usual = answers_by_text(train, credit)
        return float(np.mean([credit(some).get(usual, 0.0) for some in test.answers]))


def known_answers(train: QuestionSplit, count: int) -> list[str]:
    """Return the most frequent answers, each annotator counting; equally frequent ones by the alphabet."""
    counts = Counter(answer for some in train.answers for answer in some)
    return sorted(counts, key=lambda answer: (-counts[answer], answer))[:count]


def _cross_entropy(
    logits: Float[Tensor, "b k"], targets: Float[Tensor, "b k"], smoothing: float
) -> Float[Tensor, ""]:
    logits = logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits
    targets = targets.to(logits.dtype)
    if smoothing:
        even = targets.sum(dim=1, keepdim=True) / targets.shape[1]
        targets = (1 - smoothing) * targets + smoothing * even
    return -(targets * logits.log_softmax(dim=1)).sum(dim=1).mean()


def _questions(data: Data) -> QuestionData:
    return own_data(data, QuestionData, "questions about pictures")
