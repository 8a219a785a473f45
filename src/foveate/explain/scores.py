"""The number that a map explains: it is chosen on the unchanged images and read from any later output.

``choose_score`` looks at what the model returned and at the targets, and returns a ``Score``, which reads
logits (for gradients) and probabilities (for perturbations) of the same targets from every later output.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from foveate.errors import OptionError, ShapeError
from foveate.explain.targets import Box, Class, Region, Target, Word, expect_below, one_kind
from foveate.nested_tensors import first_tensor

S = TypeVar("S", bound="Score")


@dataclass(frozen=True)
class Score(ABC):
    """One number an image, read from outputs. Every field is (B, ...) or a list of B."""

    @abstractmethod
    def logits(self, output: object) -> Tensor:
        """Return the logits (B,) of the targets, with gradients."""

    def probabilities(self, output: object) -> Tensor:
        """Return the probabilities (B,) of the targets."""
        return self.logits(output)

    def of(self: S, rows: Tensor) -> S:
        """Return the score of some of the images, each as often as it is named: for a batch made of them."""
        picked: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            picked[field.name] = (
                value[rows.to(value.device)]
                if isinstance(value, Tensor)
                else [value[i] for i in rows.tolist()]
            )
        return replace(self, **picked)


def choose_score(output: object, targets: Sequence[Target]) -> Score:
    """Return what is explained, with the predictions of unchanged images where nothing else was said.

    Args:
        output: What the model returned for the unchanged images.
        targets: One for each image.

    Raises:
        OptionError: The model has no such target.
        ShapeError: Its output is none that can be explained.
    """
    kind = one_kind(targets)
    if boxes_in(output):
        return BoxScore.choose(output, targets)  # type: ignore[arg-type]
    logits = logits_in(output)
    if logits.ndim not in (2, 3, 4) or len(logits) != len(targets):
        raise ShapeError(
            f"the model returned {tuple(logits.shape)} for {len(targets)} images, expected logits (B, "
            f"classes), "
            "(B, classes, H, W) or (B, steps, words). Wrap the model so that it returns these"
        )
    choices: dict[tuple[int, type], type[ClassScore | MapScore | WordScore]] = {
        (2, Class): ClassScore,
        (4, Class): MapScore,
        (4, Region): MapScore,
        (3, Word): WordScore,
        (3, Class): WordScore,
    }
    if (logits.ndim, kind) not in choices:
        made = {2: "a classifier", 3: "a model of words", 4: "a segmenter"}[logits.ndim]
        goes = {2: "Class", 3: "Word", 4: "Class, Pixel or Region"}[logits.ndim]
        raise OptionError(
            f"target: got {kind.__name__}, expected {goes}: the model returned {tuple(logits.shape)}, as "
            f"{made} does"
        )
    return choices[logits.ndim, kind].choose(logits, targets)


def logits_in(output: object) -> Tensor:
    """Return the logits in a model's output: a tensor, ``logits``, ``out``, or the first tensor.

    Raises:
        ShapeError: There is none.
    """
    if isinstance(output, Tensor):
        return output
    for name in ("logits", "out"):
        found = output.get(name) if isinstance(output, Mapping) else getattr(output, name, None)
        if isinstance(found, Tensor):
            return found
    first = first_tensor(output)
    if first is None:
        raise ShapeError(
            f"the model returned a {type(output).__name__} without a tensor, expected logits. Wrap the model "
            "so that it returns its logits"
        )
    return first


def boxes_in(output: object) -> bool:
    """Return whether a model's output is that of a torchvision detector: a list of boxes with scores."""
    return (
        isinstance(output, list | tuple)
        and bool(output)
        and all(isinstance(one, Mapping) and {"boxes", "labels", "scores"} <= set(one) for one in output)
    )


@dataclass(frozen=True)
class ClassScore(Score):
    """A class of a classifier; a single column is the logit of class 1 of two."""

    classes: Tensor

    @classmethod
    def choose(cls, logits: Tensor, targets: Sequence[Target]) -> ClassScore:
        """Return the score of the classes that are named, else of the predicted ones."""
        logits = _two(logits.detach())
        predicted = logits.argmax(dim=1)
        named = [_class(t.index, int(p), logits.shape[1]) for t, p in zip(targets, predicted, strict=True)]  # type: ignore[union-attr]
        return cls(torch.tensor(named))

    def logits(self, output: object) -> Tensor:
        """Return the logits (B,)."""
        return _picked(logits_in(output), self.classes, _two)

    def probabilities(self, output: object) -> Tensor:
        """Return the softmax probabilities (B,)."""
        return _picked(logits_in(output), self.classes, _softmax)


@dataclass(frozen=True)
class MapScore(Score):
    """A class of a segmenter in a region (B, H, W) of its map: sum of logits, mean of probabilities."""

    classes: Tensor
    regions: Tensor

    @classmethod
    def choose(cls, logits: Tensor, targets: Sequence[Target]) -> MapScore:
        """Return the score of regions and their classes.

        Without a region it is where the class is predicted; everywhere, if it is nowhere. Without a class it
        is the one that is predicted for the most pixels of the region.
        """
        logits = _two(logits.detach())
        predicted = logits.argmax(dim=1)  # (B, h, w)
        classes, regions = [], []
        for target, labels in zip(targets, predicted, strict=True):
            region = _on_map(target, labels)
            wanted = target.index if isinstance(target, Class) else target.of  # type: ignore[union-attr]
            most = int(labels[region].flatten().bincount().argmax())
            chosen = _class(wanted, most, logits.shape[1])
            if isinstance(target, Class):
                region = labels == chosen if bool((labels == chosen).any()) else region
            classes.append(chosen)
            regions.append(region)
        return cls(torch.tensor(classes), torch.stack(regions))

    def logits(self, output: object) -> Tensor:
        """Return the sums of logits (B,) over the regions."""
        own = _picked(logits_in(output), self.classes, _two)
        return (own * self.regions).sum(dim=(1, 2))

    def probabilities(self, output: object) -> Tensor:
        """Return the mean probabilities (B,) in the regions."""
        own = _picked(logits_in(output), self.classes, _softmax)
        return (own * self.regions).sum(dim=(1, 2)) / self.regions.sum(dim=(1, 2))


@dataclass(frozen=True)
class WordScore(Score):
    """A word at a step of (B, T, V)."""

    steps: Tensor
    tokens: Tensor

    @classmethod
    def choose(cls, logits: Tensor, targets: Sequence[Target]) -> WordScore:
        """Return the score of words.

        Raises:
            OptionError: The step is not said, or there is no such step or word.
        """
        steps, tokens = [], []
        for target, own in zip(targets, logits.detach(), strict=True):
            if not isinstance(target, Word):
                raise OptionError(
                    f"target: the model returned scores of words {tuple(logits.shape)}, expected which "
                    f"step to "
                    "explain: target=Word(step) of foveate.explain.targets"
                )
            steps.append(expect_below("step", target.step, logits.shape[1]))
            tokens.append(_class(target.token, int(own[target.step].argmax()), logits.shape[2]))
        return cls(torch.tensor(steps), torch.tensor(tokens))

    def logits(self, output: object) -> Tensor:
        """Return the logits (B,)."""
        return self._at(logits_in(output))

    def probabilities(self, output: object) -> Tensor:
        """Return the softmax probabilities (B,) among the words."""
        return self._at(logits_in(output).float().softmax(dim=2))

    def _at(self, scores: Tensor) -> Tensor:
        rows = torch.arange(len(scores), device=scores.device)
        return scores[rows, self.steps.to(scores.device), self.tokens.to(scores.device)]


@dataclass(frozen=True)
class BoxScore(Score):
    """A box (x1, y1, x2, y2) of a class; the score is the detector's own, a probability."""

    boxes: Tensor
    labels: Tensor

    @classmethod
    def choose(cls, output: Sequence[Mapping[str, Tensor]], targets: Sequence[Target]) -> BoxScore:
        """Return the score of boxes that were found.

        Raises:
            OptionError: There is no such box.
        """
        boxes, labels = [], []
        for target, found in zip(targets, output, strict=True):
            if isinstance(target, Class):
                at = _best_of_class(target.index, found)
            elif isinstance(target, Box):
                at = target.index
            else:
                raise OptionError(
                    f"target: got {type(target).__name__}, expected Box or a class: the model is a detector"
                )
            hint = ". The detector's score_thresh decides how many it returns"
            at = expect_below("box", at, len(found["boxes"]), hint)
            boxes.append(found["boxes"][at].detach())
            labels.append(found["labels"][at].detach())
        return cls(torch.stack(boxes), torch.stack(labels))

    def logits(self, output: object) -> Tensor:
        """Return overlap times score (B,), of the box of this class for which it is largest."""
        every: Any = output
        return torch.stack([self._one(i, found) for i, found in enumerate(every)])

    def _one(self, i: int, found: Mapping[str, Tensor]) -> Tensor:
        same = found["labels"] == self.labels[i]
        if not bool(same.any()):
            return found["scores"].sum() * 0
        overlap = _overlap(self.boxes[i], found["boxes"][same].detach())
        scores = found["scores"][same] * overlap
        return scores[scores.detach().argmax()]


def _best_of_class(index: int | None, found: Mapping[str, Tensor]) -> int:
    """Return the most certain box of a class, of any if none is named."""
    if index is None:
        return 0
    same = (found["labels"] == index).nonzero().flatten()
    if not len(same):
        have = ", ".join(map(str, sorted(set(found["labels"].tolist())))) or "none"
        raise OptionError(f"target: got class {index}, of which no box was found. Classes found: {have}")
    return int(same[found["scores"][same].detach().argmax()])


def _overlap(box: Tensor, others: Tensor) -> Tensor:
    """Return intersection over union of a box (4,) with others (N, 4)."""
    sides = torch.minimum(box[2:], others[:, 2:]) - torch.maximum(box[:2], others[:, :2])
    common = sides.clamp_min(0).prod(dim=1)
    return common / ((box[2:] - box[:2]).prod() + (others[:, 2:] - others[:, :2]).prod(dim=1) - common)


def _class(named: int | None, predicted: int, most: int) -> int:
    return predicted if named is None else expect_below("class", named, most)


def _two(logits: Tensor) -> Tensor:
    """Return a single column of logits as those of two classes."""
    return torch.cat([-logits, logits], dim=1) if logits.shape[1] == 1 else logits


def _softmax(logits: Tensor) -> Tensor:
    logits = logits if logits.dtype == torch.float64 else logits.float()
    return _two(logits).sigmoid() if logits.shape[1] == 1 else logits.softmax(dim=1)


def _picked(logits: Tensor, classes: Tensor, read: Any) -> Tensor:
    read_logits: Tensor = read(logits)
    rows = torch.arange(len(logits), device=logits.device)
    return read_logits[rows, classes.to(logits.device)]


def _on_map(target: Target, labels: Tensor) -> Tensor:
    """Return the region (h, w) of a segmenter's map that a target names; every cell that it touches."""
    if not isinstance(target, Region):
        return torch.ones_like(labels, dtype=torch.bool)
    mask = target.mask.to(labels.device)
    if mask.shape == labels.shape:
        return mask
    return F.adaptive_max_pool2d(mask[None, None].float(), labels.shape)[0, 0] > 0
