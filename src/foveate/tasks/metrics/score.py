"""``fv.score``: any metric by name, on lists or arrays."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from foveate.calls import parse_call
from foveate.errors import DataError, ShapeError, UnknownNameError
from foveate.tasks.metrics.auroc import auroc, mean_present
from foveate.tasks.metrics.boxes import box_metrics
from foveate.tasks.metrics.boxes.score_boxes import score_boxes
from foveate.tasks.metrics.counted_metric import metrics, parse_metric
from foveate.tasks.metrics.label_metric import LabelMetric, label_metrics, parse_label_metric
from foveate.tasks.metrics.log_loss import LogLoss
from foveate.tasks.metrics.pictures import parse_picture_metric, picture_metrics
from foveate.tasks.metrics.text import text_metrics
from foveate.tasks.metrics.text.text_metric import score_texts
from foveate.tasks.metrics.vqa_accuracy import score_answers

Lists = Sequence[Any] | np.ndarray | Tensor


def score(name: str, predictions: Lists, truths: Lists) -> float:
    """Return a metric of predictions, as a fraction where reports print points.

    Args:
        name: A metric, with its options in brackets. Of one class per item: ``accuracy``,
            ``balanced_accuracy``, ``f1`` (macro), ``auroc`` (each class against the rest; also of several
            findings per item), ``log_loss`` (nats), ``brier``, ``top_5``. Of masks: ``miou``, ``dice`` and
            all others that ``--metric`` takes. Of text: ``bleu_1`` to ``bleu_4``, ``sacrebleu``, ``chrf``,
            ``rouge_l``, ``cider_d``, ``cider``, ``meteor_exact``, ``meteor_stem``; those of captions take
            ``tokens=ptb`` (the default) or ``tokens=whitespace``. Of answers by several annotators:
            ``vqa_accuracy``. Of drawn pictures, from features of a net: ``kid``, ``fid``, ``precision``,
            ``recall``. Of boxes, as COCO's evaluation: ``map``, ``map50``, ``map75``, with ``area=small``
            and the like in brackets.
        predictions: Of one class per item: labels (N,), numbers or names, for the first three; probabilities
            (N, K); or probabilities of the second of two classes (N,). Of masks: probabilities (N, K, H, W)
            or labels (N, H, W). Of text: a list of texts. Of pictures: features of the drawn ones (N, D).
            Of boxes: a mapping of each image, with ``boxes`` (n, 4), left, top, right and bottom in pixels,
            ``scores`` (n,) and ``labels`` (n,), whole numbers from 0.
        truths: Labels (N,); 0 and 1 for each of several findings (N, K); masks (N, H, W), 255 for ignored
            pixels; of text, the references: of each item a text, or a list of texts; of pictures, features
            of real ones (M, D); of boxes, a mapping of each image with ``boxes`` and ``labels``,
            and ``crowd`` and ``area`` if known.

    Returns:
        The score; nan where it is undefined, such as the AUROC of a single class. Fractions of 1, also of
        ``sacrebleu`` and ``chrf``, which are usually printed in points of 100; CIDEr and CIDEr-D go from 0
        to 10, as coco-caption has them.

    Raises:
        UnknownNameError: There is no such metric.
        OptionError, SpecError: Its options cannot be read, or have impossible values.
        ShapeError: Predictions and truths do not match each other or the metric.
        DataError: A truth is not one of the classes, or a prediction is not a number; an entry is not a
            text, or an item has no reference.
        MissingExtraError: The metric needs a package that is not installed.

    Example:
        >>> score("accuracy", [[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]], [0, 1, 1])
        0.6666666666666666
        >>> score("f1", ["cat", "dog", "dog"], ["cat", "dog", "cat"])
        0.6666666666666666
        >>> round(score("bleu_4", ["A dog runs on grass ."], [["A black dog runs on grass .", "A dog ."]]), 4)
        0.6221
    """
    bare = parse_call(name)[0]
    if bare in text_metrics:
        return score_texts(name, predictions, truths)
    if name == "vqa_accuracy":
        return score_answers(predictions, truths)
    if bare in box_metrics:
        return score_boxes(name, predictions, truths)
    if bare in picture_metrics:
        drawn, real = (_array(part).astype(np.float64) for part in (predictions, truths))
        return parse_picture_metric(name).of_features(drawn, real)
    of_labels = bare in label_metrics or re.fullmatch(r"top_\d+", bare) is not None
    if not of_labels and bare not in metrics:
        known = {
            *label_metrics,
            *metrics,
            *text_metrics,
            *picture_metrics,
            *box_metrics,
            "top_5",
            "vqa_accuracy",
        }
        raise UnknownNameError("metric", name, known)
    given, true = _array(predictions), _array(truths)
    if not given.ndim or not true.ndim:
        raise ShapeError("score: got a single value, expected lists or arrays, one entry an item.")
    if not len(true) or len(given) != len(true):
        raise ShapeError(
            f"score: got {len(given)} predictions and {len(true)} truths, expected one for each."
        )
    if given.dtype.kind == "f" and np.isnan(given).any():
        raise DataError(
            "score: a prediction is not a number (nan). Check the model for divisions by zero and overflow."
        )
    if true.ndim >= 3 and bare in metrics:
        return _of_masks(name, given, true)
    if bare == "auroc" and true.ndim == 2:
        return mean_present(auroc(given, true))
    if not of_labels or true.ndim != 1:
        raise ShapeError(
            f"score: got truths of shape {true.shape} for {name}, expected "
            f"{'one label an item (N,)' if of_labels else 'masks (N, H, W)'}."
        )
    return _of_labels(parse_label_metric(name), given, true)


def _of_labels(metric: LabelMetric, given: np.ndarray, true: np.ndarray) -> float:
    p, targets = _probabilities(metric, given, true)
    metric = metric.of(p.shape[1])
    if isinstance(metric, LogLoss):  # as scikit-learn: a probability of 0 has a large but finite cost
        least = np.finfo(given.dtype if given.dtype.kind == "f" else np.float64).eps
        p = p.clip(least, 1 - least)
    with np.errstate(divide="ignore"):
        log_p = torch.from_numpy(np.log(p.astype(np.float64)))
    records = metric.record(log_p, torch.from_numpy(targets)).double().numpy()
    return metric.value(records, p.shape[1])


def _probabilities(metric: LabelMetric, given: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities (N, K), 1 for a predicted label, and the number of each item's class."""
    if (
        given.ndim == 1
        and (given.dtype.kind != "f" or (given % 1 == 0).all())
        and not metric.needs_probabilities
    ):
        if (given.dtype.kind in "US") != (true.dtype.kind in "US"):
            raise ShapeError(
                "score: got names on one side and numbers on the other, expected the same kind on both."
            )
        known, numbers = np.unique(np.concatenate([given, true]), return_inverse=True)
        return np.eye(len(known))[numbers[: len(given)]], numbers[len(given) :]
    if given.dtype.kind not in "biuf" or given.ndim not in (1, 2):
        raise ShapeError(
            f"score: got predictions of shape {given.shape} and type {given.dtype}, expected probabilities "
            "(N, K) or, of the second of two classes, (N,)"
            + ("." if metric.needs_probabilities else ", or labels (N,).")
        )
    p = given.astype(np.float64)
    if (p < 0).any() or (p > 1).any() or (p.ndim == 2 and (abs(p.sum(axis=1) - 1) > 1e-2).any()):
        raise ShapeError(
            f"score: got values from {p.min():g} to {p.max():g}, expected probabilities that sum to 1 over "
            "the classes. Apply the softmax to logits."
        )
    p = np.stack([1 - p, p], axis=1) if p.ndim == 1 else p
    wrong = true.dtype.kind not in "biu" or true.min() < 0 or true.max() >= p.shape[1]
    if wrong:
        raise DataError(
            f"score: got truths from {true.min()} to {true.max()}, expected numbers of classes from 0 to "
            f"{p.shape[1] - 1}, in the order of the probabilities."
        )
    return p, true.astype(np.int64)


def _of_masks(name: str, given: np.ndarray, true: np.ndarray) -> float:
    metric, targets = parse_metric(name), torch.from_numpy(true.astype(np.int64))
    outputs = torch.from_numpy(given)
    if given.ndim == true.ndim:  # labels
        classes = max(2, int(given.max()) + 1, int(true[true != 255].max(initial=0)) + 1)
        outputs = torch.nn.functional.one_hot(outputs.long(), classes).movedim(-1, 1)
    counts = metric.count(outputs.float() if not outputs.is_floating_point() else outputs, targets)
    return metric.value(counts.sum(dim=0))


def _array(values: Lists) -> np.ndarray:
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        return (values.float() if values.dtype == torch.bfloat16 else values).numpy()
    try:
        return np.asarray(values)
    except ValueError:
        raise ShapeError(
            "score: got lists of different lengths, expected one row of equal length an item."
        ) from None
