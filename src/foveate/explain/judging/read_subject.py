"""From what a user passes to what maps are judged on: every input checked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor, nn

from foveate.errors import OptionError, ShapeError
from foveate.explain.judging.subject import Subject
from foveate.explain.scores import ClassScore, choose_score
from foveate.explain.targets import read_target
from foveate.inputs import expect_inputs, expect_model
from foveate.running import eval_no_grad
from foveate.typed import quoted

Normalisation = tuple[Sequence[float], Sequence[float]]

_CACHED = 2**17  # numbers in the pictures of one forward pass on a processor: what its caches hold


def read_subject(
    model: nn.Module,
    images: Tensor,
    masks: object,
    target: object,
    *,
    normalisation: Normalisation | None = None,
    twin: nn.Module | None = None,
    seed: int = 0,
    batch: int | None = None,
) -> Subject:
    """Return what maps are judged on; see ``judge`` for the arguments.

    Raises:
        ShapeError: Model, images or masks are not what they should be.
        OptionError: The model has no such target.
    """
    expect_model(model)
    expect_inputs(images, model)
    if not isinstance(images, Tensor) or images.ndim != 4 or not images.is_floating_point():
        raise ShapeError(f"images: got {quoted(images)}, expected a tensor (B, C, H, W) of floating point")
    count, height, width = len(images), *images.shape[-2:]
    batch = usual_batch(images) if batch is None else batch
    outputs = _outputs(model, images, batch)
    score = choose_score(outputs, read_target(target, count, height, width))
    classes = score.classes if isinstance(score, ClassScore) else None
    black = unit = None
    if normalisation is not None:
        mean, std = (torch.tensor([*part], dtype=torch.float64) for part in normalisation)
        if len(mean) != images.shape[1] or len(std) != len(mean) or not bool((std > 0).all()):
            raise OptionError(
                f"normalisation: got {normalisation}, expected mean and deviation, {images.shape[1]} numbers "
                "each, the deviations above 0"
            )
        black, unit = -mean / std, 1 / std
    return Subject(
        model,
        _channels_last(model, images.detach()),
        target if classes is None else classes,  # of changed pictures the same class is explained
        score,
        masks=None if masks is None else _masks(masks, (count, height, width)),
        groups=None if classes is None else classes.numpy().astype(np.int64),
        black=black,
        unit=unit,
        twin=twin,
        seed=seed,
        batch=batch,
    )


def wrong_predictions(subject: Subject, labels: Tensor | Sequence[int] | None) -> Bool[np.ndarray, " b"]:
    """Return which predictions are wrong; none if there are no labels.

    Raises:
        ShapeError: There are not as many labels as pictures.
        OptionError: The model gives no classes.
    """
    if labels is None:
        return np.zeros(subject.count, dtype=bool)
    known = torch.as_tensor(labels)
    if tuple(known.shape) != (subject.count,) or known.is_floating_point():
        raise ShapeError(
            f"labels: got {tuple(known.shape)} of {known.dtype}, expected the class of each of "
            f"{subject.count} pictures"
        )
    outputs = _outputs(subject.model, subject.images, subject.batch)
    predicted = choose_score(outputs, read_target(None, subject.count, *subject.size))
    if not isinstance(predicted, ClassScore):
        raise OptionError("labels: go with a classifier, and this model is none. Leave them out.")
    return (predicted.classes != known.cpu()).numpy()


def masks_of_boxes(
    boxes: Sequence[Sequence[Sequence[float]]], height: int, width: int
) -> Bool[Tensor, "b h w"]:
    """Return masks of the inside of boxes.

    Args:
        boxes: For each picture any number of (left, top, right, bottom) in pixels; a pixel is inside if its
            centre is.
        height: H of the pictures.
        width: W of the pictures.
    """
    masks = torch.zeros(len(boxes), height, width, dtype=torch.bool)
    rows, columns = torch.arange(height)[:, None] + 0.5, torch.arange(width) + 0.5
    for picture, own in enumerate(boxes):
        for left, top, right, bottom in own:
            inside = (rows >= top) & (rows < bottom) & (columns >= left) & (columns < right)
            masks[picture] |= inside
    return masks


def usual_batch(images: Tensor) -> int:
    """Return how many pictures go through a model at once if nobody says so.

    On a processor, more than its caches hold are slower than fewer: 42 pictures of 32 pixels, 512 of 8.
    """
    if images.device.type != "cpu":
        return 128
    return min(512, max(16, _CACHED // max(1, images.shape[1:].numel())))


def _outputs(model: nn.Module, images: Tensor, batch: int) -> object:
    """Return the model's output for all images; part by part if it is one tensor."""
    with eval_no_grad(model):
        first = model(images[:batch])
        if len(images) <= batch:
            return first
        if not isinstance(first, Tensor):
            return model(images)
        rest = [model(images[i : i + batch]) for i in range(batch, len(images), batch)]
        return torch.cat([first, *rest])


def _channels_last(model: nn.Module, images: Tensor) -> Tensor:
    """Return images with channels side by side if the model takes them so: convolutions are faster."""
    laid = images.contiguous(memory_format=torch.channels_last)
    try:
        with eval_no_grad(model):
            model(laid[:1])
    except RuntimeError:  # the model takes views that need rows side by side
        return images.contiguous()
    return laid


def _masks(masks: object, shape: tuple[int, int, int]) -> Bool[Tensor, "b h w"]:
    if isinstance(masks, np.ndarray):
        masks = torch.from_numpy(masks)
    if not isinstance(masks, Tensor) or tuple(masks.shape) != shape:
        what = f"{tuple(masks.shape)}" if isinstance(masks, Tensor) else quoted(masks)
        raise ShapeError(f"masks: got {what}, expected {shape}: a mask for each picture, of its size")
    if masks.dtype != torch.bool and not bool(((masks == 0) | (masks == 1)).all()):
        raise ShapeError("masks: got values other than 0 and 1, expected bool; (masks == 3) takes class 3")
    return masks.bool()
