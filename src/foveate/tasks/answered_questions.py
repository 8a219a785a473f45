"""What a model answers to questions about pictures: predictions, printed lines, cards of a report."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict, cast

import numpy as np
from torch import Tensor, nn

from foveate.data.images.open_image import MOST_PIXELS
from foveate.data.questions.question_data import QuestionSplit
from foveate.data.questions.question_feed import padded, question_words
from foveate.data.words.vocabulary import Vocabulary
from foveate.errors import DataError
from foveate.models.question.blind import answered
from foveate.models.question.question_model import QuestionModel
from foveate.options import whole
from foveate.running import device_of, eval_no_grad
from foveate.tasks.asked_questions import asked_questions, expect_no_options
from foveate.tasks.cards.overlay import data_uri, shown
from foveate.tasks.cards.written_answers import choose, text_card
from foveate.tasks.judged import Told
from foveate.tasks.picture_inputs import opened, share
from foveate.tasks.picture_words import PictureWords, unreadable

SHOWN = 5  # answers that are printed of a picture
JUDGED = 256  # questions a forward pass
_READ = 3  # decimals of a weight on a card


class Found(TypedDict):
    """One of the best answers.

    answer: As annotators write it, in its normal form.
    probability: In [0, 1].
    """

    answer: str
    probability: float


class AnsweredQuestions(PictureWords):
    """The part of the task ``question`` that uses a trained model.

    Attributes:
        words: The vocabulary of the questions.
        answers: Those that a model knows.
    """

    words: Vocabulary
    answers: tuple[str, ...]

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
        names = list(getattr(unwrapped(model), "looks", ())) or [
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
                yield unreadable(name, answer)
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
        left = iter(questions)
        for some, good in self.opened_batches(pictures, max_pixels, JUDGED):
            asked = [next(left) for _ in some]
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
        images, device = self.as_taken(model, pixels), device_of(model)
        words = padded([question_words(self.words, text) for text in questions]).to(device)
        with eval_no_grad(model):
            found = answered(unwrapped(model), images, words)
        return found.logits.cpu(), None if found.weights is None else found.weights.float().cpu()


def _counted(answers: Sequence[str]) -> list[str]:
    """Return each answer with the number of annotators who gave it, if there were several."""
    if len(answers) == 1:
        return list(answers)
    return [f"{answer} ({count} of {len(answers)})" for answer, count in Counter(answers).most_common()]


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the model behind a wrapper such as ``DistributedDataParallel``, or itself."""
    inner = getattr(model, "module", None)
    return inner if isinstance(inner, QuestionModel) else model
