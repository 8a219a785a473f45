"""``fv.explain``: one map for each image, by any method, of any model."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel

from foveate.errors import OptionError, ShapeError
from foveate.explain.methods import Explanation, read_method
from foveate.explain.question import Question, plain
from foveate.inputs import Example, expect_inputs, expect_model
from foveate.mechanisms.switch import uncompiled
from foveate.nested_tensors import tensors_in
from foveate.running import eval_seeded, fast_path_off
from foveate.typed import quoted


@dataclass(frozen=True)
class Explained:
    """Maps, and what was explained.

    Args:
        maps: (B, H, W) float32 on the image's grid, not normalised.
        method: The method, with its options.
        layers: Paths of the modules that it looked at; empty for methods without a layer.
        score: What the maps explain, such as the classes.
    """

    maps: Tensor
    method: Explanation
    layers: tuple[str, ...]
    score: object


def explain(
    model: nn.Module,
    images: Example,
    method: str | Explanation = "grad_cam",
    target: object = None,
    layer: str | Sequence[str] | None = None,
) -> Tensor:
    """Return where in its images a model finds what it answers.

    The model runs in eval mode and is left as it was: its modes, parameters, gradients, hooks and buffers,
    after an error too. Parameters may be frozen, and the caller may be in ``torch.inference_mode``.

    Args:
        model: A classifier, segmenter, torchvision detector, captioner, or any model that returns logits.
        images: Normalised images (B, C, H, W); for a detector they may be a list of images (C, H, W) of one
            size; or the tuple or mapping that the model takes, with the images first.
        method: A name of ``fv.explanations`` with options, such as ``"rise(masks=500)"``.
        target: What to explain; None for what the model predicts. A class, or one for each image, a pixel
            (y, x) or boolean mask of a segmenter, or a ``Box`` or ``Word`` of ``foveate.explain.targets``.
        layer: Path of the module, or of several, that the method looks at; None chooses the last one with a
            map on the way to the target. ``explained`` says which.

    Returns:
        Maps (B, H, W), float32, on the image's grid, as the method defines them: not normalised.

    Raises:
        UnknownNameError: There is no such method.
        OptionError: The method has no such option or no layer, or the model no such target.
        ShapeError: The images or the target do not fit.
        SiteError: No layer, or not the one that was named, returns a map on the way to the target.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5))
        >>> explain(model, torch.rand(2, 3, 8, 8), "hires_cam", target=1).shape
        torch.Size([2, 8, 8])
    """
    return explained(model, images, method, target, layer).maps


def explained(
    model: nn.Module,
    images: Example,
    method: str | Explanation = "grad_cam",
    target: object = None,
    layer: str | Sequence[str] | None = None,
) -> Explained:
    """Return the maps of ``explain`` with what was explained: the layers and the target that were chosen.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5))
        >>> explained(model, torch.rand(1, 3, 8, 8)).layers
        ('1',)
    """
    chosen = read_method(method)
    expect_model(model)
    expect_inputs(images, model)
    if layer is not None and chosen.reads not in ("layer", "attention"):
        raise OptionError(f"layer: got {quoted(layer)}, but {chosen} looks at no layer. Leave it out")
    paths = [layer] if isinstance(layer, str) else layer
    inner = _inner(model)
    _expect_differentiable(inner)
    with _prepared(inner):
        question = Question(inner, _plain(images), target, paths)
        maps = chosen(question).detach().float()
        if not bool(maps.isfinite().all()):
            warnings.warn(
                f"{chosen}: maps with values that are not finite: what the model returns, or its gradient, "
                "overflows or is not a number",
                stacklevel=3,
            )
        return Explained(maps, chosen, question.explained, question.score)


def _inner(model: nn.Module) -> nn.Module:
    """Return a model without the wrappers of compilation and of parallel training."""
    compiled = getattr(model, "_orig_mod", None)
    if isinstance(compiled, nn.Module):
        return _inner(compiled)
    return _inner(model.module) if isinstance(model, DataParallel | DistributedDataParallel) else model


@contextmanager
def _prepared(model: nn.Module) -> Iterator[None]:
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(eval_seeded(model, gradients=True))
        stack.enter_context(uncompiled())
        stack.enter_context(fast_path_off())
        yield


def _expect_differentiable(model: nn.Module) -> None:
    if any(parameter.is_inference() for parameter in model.parameters()):
        raise ShapeError(
            "model: its parameters were made in torch.inference_mode, so that nothing can be differentiated. "
            "Build or load the model outside of it; calling fv.explain inside is fine"
        )


def _plain(example: object) -> object:
    """Return what a model takes with tensors that gradients can be taken of."""
    if not any(t.is_inference() for t in tensors_in(example)):
        return example
    if isinstance(example, Tensor):
        return plain(example)
    if isinstance(example, dict):
        return {key: _plain(value) for key, value in example.items()}
    return type(example)(_plain(v) for v in example) if isinstance(example, list | tuple) else example
