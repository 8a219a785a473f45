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
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypedDict, cast

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.calls import parse_call
from foveate.data.cache import cache
from foveate.data.checks.finding import Finding
from foveate.data.feature_cache import Features, split_features
from foveate.data.feed import Data, Feed
from foveate.data.image_size import natural_size
from foveate.data.images.open_image import MOST_PIXELS
from foveate.data.open import call_opener
from foveate.data.questions.check_questions import answers_by_text, check_questions, opening_warnings
from foveate.data.questions.looks_like_questions import looks_like_questions
from foveate.data.questions.open_questions import open_questions
from foveate.data.questions.question_data import QuestionData, QuestionSplit
from foveate.data.questions.question_feed import QuestionBatch, QuestionFeed, padded, question_words
from foveate.data.words.build_vocabularies import Units, build_vocabulary
from foveate.data.words.read_vocabulary import read_vocabulary
from foveate.data.words.special import FIRST
from foveate.errors import DataError, FoveateError, OptionError, ShapeError, in_one_line
from foveate.models.captioning.places import Places
from foveate.models.encoders.last_map import LastMap
from foveate.models.made_for import USUAL
from foveate.models.names import models, resolve
from foveate.models.normalisation import HALF, Triple, expect_normalisation, model_normalisation
from foveate.models.question.blind import answered
from foveate.models.question.question_model import QuestionModel
from foveate.options import whole
from foveate.recipe import TrainConfig
from foveate.running import device_of, eval_no_grad
from foveate.tasks.asked_questions import asked_questions, expect_no_options
from foveate.tasks.attention_inside import LOOK, looked
from foveate.tasks.base import Inputs, Task, tasks
from foveate.tasks.cards.overlay import data_uri, shown
from foveate.tasks.cards.written_answers import choose, text_card
from foveate.tasks.image_task import Normalisation, example_images
from foveate.tasks.judged import Judged, Told
from foveate.tasks.metrics.vqa_accuracy import VQA_ACCURACY, credit
from foveate.tasks.part import Network
from foveate.tasks.picture_inputs import batches, normalised, opened, reading_of, share
from foveate.typed import Misfit, fitted

SHOWN = 5  # answers that are printed of a picture
MOST = 3000  # answers that a model knows, if nothing else is said
BLIND = {"without the question": "goal_blind", "without the picture": "picture_blind"}
_JUDGED = 256  # questions a forward pass
_READ = 3  # decimals of a weight on a card


class Found(TypedDict):
    """One of the best answers.

    answer: As annotators write it, in its normal form.
    probability: In [0, 1].
    """

    answer: str
    probability: float


class _Saved(TypedDict):
    """What a saved model records about its answers."""

    answers: list[str]
    families: list[str]
    size: int
    normalisation: Normalisation


@tasks.register("question")
class Question(Task):
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
        found: _Saved = fitted(plain, _Saved)
        if not found["answers"] or len({*found["answers"]}) < len(found["answers"]):
            raise Misfit("answers", f"{len(found['answers'])} answers", "at least one, all different")
        if not 1 <= found["size"] <= 2**14:
            raise Misfit("size", repr(found["size"]), "the side of the pictures, 1 to 16384 pixels")
        if min(found["normalisation"]["std"]) <= 0:
            raise Misfit("normalisation.std", str(found["normalisation"]["std"]), "deviations above 0")
        return plain

    def fitted(self, data: Data, network: Network) -> dict[str, Any]:
        """Return the inputs with the size and the normalisation that the model expects."""
        encoder = _last_map(network.model)
        mean, std = model_normalisation(network.model if encoder is None else encoder)
        frozen = encoder is not None and not any(p.requires_grad for p in encoder.parameters())
        name = _encoder_name(network.name)
        known = name is not None and (network.pretrained or resolve(name)[0] == "import")
        side = encoder.image[1] if encoder is not None and encoder.of_timm else USUAL
        pictures = _questions(data).pictures
        own = {
            "size": network.size or natural_size(pictures, side, keep=network.pretrained)[0],
            "normalisation": {"mean": list(mean), "std": list(std)},
            "encoder": name if self.inputs["features"] and frozen and known else None,
        }
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
        questions, (mean, std), size = _questions(data), _normalisation(self.inputs), self.inputs["size"]
        name = self.inputs.get("encoder")
        given: dict[str, dict[str, Any]]
        if name is not None:
            features = split_features(questions.pictures, encoder=name, size=size)
            given = {split: {"features": features[split]} for split in questions.splits}
        else:
            stored = cache(questions.pictures, size=size)
            given = {split: {"images": stored[split].images} for split in questions.splits}
        return {
            name: QuestionFeed(
                split,
                self.words,
                self.answers,
                self.families,
                credit,
                mean=mean,
                std=std,
                size=size,
                **given[name],
            )
            for name, split in questions.splits.items()
        }

    def facts(self) -> tuple[str, ...]:
        """Return the vocabulary, the answers, the size of the pictures, and whether features are kept."""
        size, encoder = self.inputs.get("size"), self.inputs.get("encoder")
        return (
            self.words.facts(),
            f"{len(self.answers):,} answers",
            *([f"{size} px"] if size else []),
            *([f"features of {encoder}, computed once"] if encoder else []),
        )

    def saved(self, data: Data) -> dict[str, Any]:
        """Return the inputs, and how pictures of more than eight bits are read."""
        levels = _questions(data).pictures.levels
        return {**self.inputs, "levels": None if levels is None else list(levels)}

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
        if isinstance(model, QuestionModel) and isinstance(model.encoder, Places) and not _last_map(model):
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
        size = self.inputs.get("size") or USUAL
        return example_images((size, size), items), torch.full((items, 4), min(FIRST, len(self.words) - 1))

    def ready(self, model: nn.Module, feed: Feed) -> None:
        """Raise unless features are those of the model's own encoder.

        Raises:
            OptionError: They are of another, or attention was inserted into it.
        """
        features = getattr(feed, "features", None)
        encoder = _last_map(model)
        if not isinstance(features, Features) or encoder is None:
            return
        own, kept = encoder.state_dict(), features.encoder.network.state_dict()
        if own.keys() != kept.keys() or not all(own[name].cpu().equal(kept[name].cpu()) for name in kept):
            raise OptionError(
                f"features: those on disk are of {features.encoder.name} as it is, but this model's encoder "
                'has other weights or other layers. Write --task "question(features=false)", which runs the '
                "encoder in every step."
            )

    # Training and judging

    def loss(self, model: nn.Module, batch: QuestionBatch, part: str = "") -> Float[Tensor, ""]:
        """Return the mean loss of a batch."""
        logits = model(batch.inputs, batch.words)
        return _cross_entropy(logits, batch.targets, self.recipe.label_smoothing)

    def judging_batch(self, batch_size: int) -> int:
        """Return how many questions are judged at once."""
        return _JUDGED

    def judge(self, model: nn.Module, batch: QuestionBatch) -> Judged:
        """Return what the answers are worth, the answers, and the loss without smoothing."""
        found = answered(_inner(model), batch.inputs, batch.words)
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

    # What one sees

    def cards(
        self,
        models: Mapping[str, nn.Module],
        feed: Any,
        answers: Mapping[str, Any],
        scores: Mapping[str, np.ndarray],
    ) -> list[dict[str, Any]]:
        """Return the questions that the variants answer differently, with where each look went."""
        chosen, differ = choose({name: answers[name] for name in models})
        split: QuestionSplit = feed.split
        numbers = [int(split.picture[i]) for i in chosen]
        how = split.pictures.how
        sources = [split.pictures.load(n) for n in numbers]
        pixels = [cast(np.ndarray, found) for found in opened(sources, self.inputs["size"], how)]
        texts = [split.questions[i] for i in chosen]
        read = {name: self._read(model, pixels, texts) for name, model in models.items()}
        sides = {
            math.isqrt(len(rows[0]["weights"][0])) for rows in read.values() if rows and rows[0]["weights"]
        }
        places = [sides.copy().pop()] * 2 if len(sides) == 1 else None
        cards = []
        for place, i in enumerate(chosen):
            subject = {
                "source": split.questions[i],
                "image": data_uri(shown(pixels[place])),
                "places": places,
                "reference": _counted(split.answers[i]),
            }
            own = {name: rows[place] for name, rows in read.items()}
            cards.append(text_card(i, str(feed.names[i]), subject, answers, scores, own, differ[i]))
        return cards

    def _read(
        self, model: nn.Module, pixels: Sequence[np.ndarray], questions: Sequence[str]
    ) -> list[dict[str, Any]]:
        """Return for each question what the looks are called, and their weights."""
        weights = self._answered(model, pixels, questions)[1]
        if weights is None:
            return [{"words": [], "weights": []} for _ in questions]
        names = list(getattr(_inner(model), "looks", ())) or [
            f"look {n + 1}" for n in range(weights.shape[1])
        ]
        rounded = weights.double().round(decimals=_READ).tolist()
        return [{"words": names, "weights": rows} for rows in rounded]

    # Using a trained model

    def predict(
        self,
        model: nn.Module,
        inputs: object,
        *,
        goal: str | None = None,
        nbest: int | None = None,
        max_pixels: int = MOST_PIXELS,
        **options: Any,
    ) -> list[str] | list[list[Found]]:
        """Return the answers to questions about pictures.

        Args:
            model: Trained.
            inputs: Pictures, see ``picture_inputs.listed``, all with the question ``goal``; or a list of
                pairs (picture, question).
            goal: The question.
            nbest: How many answers to each; with it come their probabilities.
            max_pixels: Pixels of the largest file that is decoded.
            options: None further.

        Returns:
            One text a picture; with ``nbest`` a list of ``Found``, best first.
        """
        expect_no_options(options)
        pictures, questions = asked_questions(inputs, goal)
        found = []
        for answer in self._probable(model, pictures, questions, max_pixels):
            if isinstance(answer, DataError):
                raise answer
            found.append(self._best(answer, 1 if nbest is None else whole("nbest", nbest)))
        return found if nbest is not None else [best[0]["answer"] for best in found]

    def tell(
        self,
        model: nn.Module,
        words: Sequence[str],
        *,
        out: Path | None = None,
        goal: str | None = None,
        nbest: int = SHOWN,
        max_pixels: int = MOST_PIXELS,
        **options: Any,
    ) -> Iterator[Told]:
        """Yield the most probable answers about each picture, as soon as they are known."""
        expect_no_options(options if out is None else {"out": out, **options})
        pictures, questions = asked_questions(list(words), goal)
        found = self._probable(model, pictures, questions, max_pixels)
        for path, asked, answer in zip(pictures, questions, found, strict=True):
            name = str(path)
            if isinstance(answer, DataError):
                yield Told(name, (str(answer),), {"image": name, "error": str(answer)}, failed=True)
                continue
            best = self._best(answer, whole("nbest", nbest))
            lines = tuple(share(one["probability"], one["answer"]) for one in best)
            yield Told(name, lines, {"image": name, "question": asked, "answers": best})

    def _best(self, probabilities: Tensor, count: int) -> list[Found]:
        values, places = probabilities.topk(min(count, len(self.answers)))
        return [
            {"answer": self.answers[place], "probability": value}
            for value, place in zip(values.tolist(), places.tolist(), strict=True)
        ]

    def _probable(
        self, model: nn.Module, pictures: Sequence[object], questions: Sequence[str], max_pixels: int
    ) -> Iterator[Tensor | DataError]:
        """Yield the probabilities of the answers about each picture, or what is wrong with its file."""
        how, left = reading_of(self.inputs, max_pixels), iter(questions)
        for some in batches(opened(pictures, self.inputs["size"], how), _JUDGED):
            asked = [next(left) for _ in some]
            good = [n for n, pixels in enumerate(some) if not isinstance(pixels, DataError)]
            rows: Iterator[Tensor] = iter(())
            if good:
                pixels = [cast(np.ndarray, some[n]) for n in good]
                logits, _ = self._answered(model, pixels, [asked[n] for n in good])
                rows = iter(logits.float().softmax(dim=1))
            for found in some:
                yield found if isinstance(found, DataError) else next(rows)

    def _answered(
        self, model: nn.Module, pixels: Sequence[np.ndarray], questions: Sequence[str]
    ) -> tuple[Tensor, Tensor | None]:
        (mean, std), device = _normalisation(self.inputs), device_of(model)
        images = normalised(np.stack(pixels).transpose(0, 3, 1, 2), mean, std, device)
        words = padded([question_words(self.words, text) for text in questions]).to(device)
        with eval_no_grad(model):
            found = answered(_inner(model), images, words)
        return found.logits.cpu(), None if found.weights is None else found.weights.float().cpu()


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


def _counted(answers: Sequence[str]) -> list[str]:
    """Return each answer with the number of annotators who gave it, if there were several."""
    if len(answers) == 1:
        return list(answers)
    return [f"{answer} ({count} of {len(answers)})" for answer, count in Counter(answers).most_common()]


def _normalisation(inputs: Inputs) -> tuple[Triple, Triple]:
    stated = inputs.get("normalisation", {"mean": HALF, "std": HALF})
    return expect_normalisation(tuple(stated["mean"]), tuple(stated["std"]))


def _inner(model: nn.Module) -> nn.Module:
    """Return the model behind a wrapper such as ``DistributedDataParallel``, or itself."""
    inner = getattr(model, "module", None)
    return inner if isinstance(inner, QuestionModel) else model


def _last_map(model: nn.Module) -> LastMap | None:
    """Return the encoder of pictures, if the model has one that is known."""
    places = getattr(_inner(model), "encoder", None)
    return places.last_map if isinstance(places, Places) else None


def _encoder_name(name: str) -> str | None:
    """Return the encoder that a model's name states, also inside of a blind model's."""
    options = parse_call(name)[1]
    if isinstance(options.get("of"), str):
        return _encoder_name(str(options["of"]))
    found = options.get("encoder")
    return found if isinstance(found, str) else None


def _questions(data: Data) -> QuestionData:
    if not isinstance(data, QuestionData):
        raise DataError(
            f"{data.name}: got {type(data).__name__}, expected questions about pictures. Write --task "
            f"{data.task}."
        )
    return data
