"""Accuracy of answers where several annotators were asked: an answer is right as far as they agree with it.

Formula mean over the annotators of min(1, others who said the same / 3), an annotator being left out in turn;
        with ten annotators min(1, 0.3 * number of them who gave the answer)
Paper   Antol, Agrawal, Lu, Mitchell, Batra, Zitnick, Parikh. VQA: Visual Question Answering. ICCV 2015.
        arXiv:1505.00468, section 3.
Differs of fewer than four annotators, the 3 is how many others there are, so that an answer that all gave is
        wholly right; of one alone it is plain accuracy.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from foveate.data.questions.normal_answer import normal_answer
from foveate.errors import ShapeError
from foveate.tasks.metric import Metric
from foveate.tasks.metrics.text.text_metric import check_texts, checked_references

NEEDED = 3  # others who have to agree
VQA_ACCURACY = Metric(name="VQA accuracy", unit="points", scale=100.0)


def credit(answers: Sequence[str]) -> Mapping[str, float]:
    """Return what each of the annotators' answers is worth, in [0, 1]; any other answer is worth 0.

    Example:
        >>> credit(["red"] * 2 + ["blue"] * 8)["red"]
        0.6
    """
    total = len(answers)
    if total == 1:
        return {answers[0]: 1.0}
    needed = min(NEEDED, total - 1)
    found = {}
    for answer, count in Counter(answers).items():
        with_own = count * min(1.0, (count - 1) / needed)  # an annotator who gave it is left out
        found[answer] = round((with_own + (total - count) * min(1.0, count / needed)) / total, 12)
    return found


def score_answers(predictions: Any, truths: Any) -> float:
    """Return the metric of answers, as ``fv.score`` does.

    Args:
        predictions: One text for each question.
        truths: Of each question one text, or those of several annotators.

    Raises:
        ShapeError: There is not one entry of truths for each prediction.
        DataError: There are no texts, an entry is not a text, or a question has no answer.

    Example:
        >>> score_answers(["red", "two"], [["red"] * 4 + ["pink"] * 6, ["three"]])
        0.5
    """
    check_texts(predictions, "predictions")
    known = checked_references(truths)
    if len(predictions) != len(known):
        raise ShapeError(
            f"score: got {len(predictions)} predictions and answers to {len(known)} questions, expected one "
            "prediction for each question."
        )
    rows = zip(predictions, known, strict=True)
    worth = [
        credit([normal_answer(text) for text in some]).get(normal_answer(given), 0.0) for given, some in rows
    ]
    return float(np.mean(worth))
