"""What every method of explanation asks of: a model, its images and a target."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.errors import ShapeError, SiteError
from foveate.explain.detector_canvas import Canvas, canvas_of, is_detector
from foveate.explain.layers import Layer, Layers, caught, cut_here, layers_of
from foveate.explain.scores import Score, boxes_in, choose_score, logits_in
from foveate.explain.targets import Class, read_target
from foveate.insert.layout import Layout
from foveate.nested_tensors import first_tensor
from foveate.running import call_with

BATCH = 32  # changed images in one run


@dataclass(frozen=True)
class LayerMap:
    """What a layer returned, at least float32.

    Args:
        layer: The layer.
        activations: (B, C, h, w).
        gradients: Of the target's logit with respect to these, (B, C, h, w).
    """

    layer: Layer
    activations: Tensor
    gradients: Tensor


class Question:
    """A model, images and a target; methods run and differentiate the model through this.

    Args:
        model: In eval mode.
        example: What it takes: images (B, C, H, W), a list of images for a detector, or a tuple or mapping
            that holds images, and words with one row an image.
        target: As ``read_target`` takes it.
        layer: Paths of modules that the user named; None leaves it to the rule of ``layers``.

    Attributes:
        images: (B, C, H, W), detached.
        size: (H, W).
        explained: Paths of the layers that were used.

    Raises:
        ShapeError: The example holds no images, or the target does not fit them.
        OptionError: The target is none.
    """

    def __init__(
        self, model: nn.Module, example: object, target: object = None, layer: Sequence[str] | None = None
    ) -> None:
        self.model = model
        self._as_list = is_detector(model)
        self._example = example
        self.images = _images_in(example)
        self.size: tuple[int, int] = (self.images.shape[2], self.images.shape[3])
        self.targets = read_target(target, len(self.images), *self.size)
        self.layer = layer
        self.explained: tuple[str, ...] = ()
        self._score: Score | None = None
        self._canvas: Canvas | None = None

    def run(self, images: Tensor, rows: Tensor | None = None) -> Any:
        """Run the model on images in place of its own.

        Args:
            images: (n, C, H, W).
            rows: Which of the batch each is made from; None if they are the batch. What comes with the
                images, such as words, is taken from these rows.
        """
        return call_with(self.model, self._with(images, rows))

    @property
    def score(self) -> Score:
        """What is explained; the model is run on its unchanged images if it was not yet."""
        if self._score is None:
            with torch.no_grad():
                self._read(self.run(self.images))
        assert self._score is not None
        return self._score

    @torch.no_grad()
    def probabilities(self, images: Tensor, rows: Tensor) -> Tensor:
        """Return the target's probability (n,) for changed images (n, C, H, W) of these rows of the batch."""
        score = self.score.of(rows.cpu())
        return _at_least_single(score.probabilities(self.run(images, rows)))

    @torch.no_grad()
    def logits(self, images: Tensor, rows: Tensor) -> Tensor:
        """Return the target's logit (n,) for changed images (n, C, H, W), of these rows of the batch."""
        score = self.score.of(rows.cpu())
        return _at_least_single(score.logits(self.run(images, rows)))

    def input_gradients(self, images: Tensor | None = None, rows: Tensor | None = None) -> Tensor:
        """Return the gradient (n, C, H, W) of the target's logit by the image's pixels, at least float32.

        Args:
            images: Changed images; None for the batch as it is.
            rows: Which of the batch each is made from.
        """
        leaf = (self.images if images is None else images).detach().requires_grad_()
        output = self.run(leaf, rows)
        read = (self._read(output) if rows is None else self._score_of(output, rows)).logits(output)
        (gradient,) = self.gradients_of(read, [leaf])
        if gradient is None:
            raise SiteError(_NO_GRADIENT.format("the images"))
        return _at_least_single(gradient)

    def back_to_images(self) -> None:
        """Run the model on the unchanged images, and differentiate the targets by them: for those who record.

        What has no gradient is left without: attention can be read all the same.
        """
        images = self.images.detach().requires_grad_()
        output = self._run_unchanged(images)
        scores = self._read(output).logits(output)
        if scores.requires_grad:
            torch.autograd.grad(scores.sum(), [images], allow_unused=True)

    def gradients_of(self, scores: Tensor, tensors: Iterable[Tensor]) -> tuple[Tensor | None, ...]:
        """Return the gradient of the sum of scores (B,), None for what it does not depend on."""
        if not scores.requires_grad:
            raise SiteError(_NO_GRADIENT.format("anything"))
        return torch.autograd.grad(scores.sum(), list(tensors), allow_unused=True)

    def layer_maps(self) -> list[LayerMap]:
        """Return what the layers return, with gradients: those that were named, else those of the rule."""
        layers = self._known_layers()
        chosen = layers.chosen if self.layer is None else layers.named(self.layer)
        if not chosen:
            return self._first_maps(layers)
        self.explained = tuple(layer.path for layer in chosen)
        one_after_another = self.layer is not None and len(chosen) > 1  # then no graph may be cut
        found = None if one_after_another else self._from_layers_on(chosen)
        return self._with_graph(chosen) if found is None else found

    def _from_layers_on(self, chosen: Sequence[Layer]) -> list[LayerMap] | None:
        """Return the maps of layers, or None; nothing is kept of what ran before these layers."""
        kept: dict[int, Tensor] = {}

        def cut(number: int, x: Tensor) -> Tensor:
            torch.set_grad_enabled(True)
            kept[number], onward = cut_here(x)
            return onward

        with torch.no_grad(), caught(self.model, chosen, cut):
            output = self._run_unchanged(self.images)
            with torch.enable_grad():
                scores = self._read(output).logits(output)
            if not scores.requires_grad:  # the model switches gradients on and off by itself
                return None
            found = self.gradients_of(scores, [kept[n] for n in range(len(chosen))])
        return [self._layer_map(layer, kept[n], found[n]) for n, layer in enumerate(chosen)]

    def _with_graph(self, chosen: Sequence[Layer]) -> list[LayerMap]:
        """Return the maps of layers that may be made from each other."""
        kept: dict[int, Tensor] = {}

        def keep(number: int, x: Tensor) -> Tensor:
            kept[number] = x
            return x.clone() if x.requires_grad else x

        with caught(self.model, chosen, keep):
            output = self._run_unchanged(self.images.detach().requires_grad_())
        tensors = [kept[n] for n in range(len(chosen))]
        if not all(x.requires_grad for x in tensors):
            raise SiteError(_NO_GRADIENT.format("what the layer returns"))
        found = self.gradients_of(self._read(output).logits(output), tensors)
        return [self._layer_map(layer, kept[n], found[n]) for n, layer in enumerate(chosen)]

    def activations(self) -> list[tuple[Layer, Tensor]]:
        """Return what the layers return, (B, C, h, w), without gradients if the layers are known."""
        layers = self._known_layers()
        chosen = layers.chosen if self.layer is None else layers.named(self.layer)
        if not chosen:
            return [(m.layer, m.activations) for m in self._first_maps(layers)]
        self.explained = tuple(layer.path for layer in chosen)
        kept: dict[int, Tensor] = {}

        def keep(number: int, x: Tensor) -> Tensor:
            kept[number] = x.detach().clone()  # later layers may change it in place
            return x

        with caught(self.model, chosen, keep), torch.no_grad():
            self._read(self._run_unchanged(self.images))
        return [(layer, _at_least_single(layer.layout.as_map(kept[n]))) for n, layer in enumerate(chosen)]

    def on_image(self, maps: Tensor) -> Tensor:
        """Return maps (B, h, w) on the image's grid (B, H, W): bilinear, as ``align_corners=False``."""
        if self._canvas is not None:
            maps = self._canvas.cut(maps)
        return resized(maps, self.size)

    @property
    def example(self) -> object:
        """What the model takes, with the unchanged images."""
        return self._with(self.images, None)

    def layouts(self) -> dict[str, Layout]:
        """Return how the map lies in what each module returns, of those that return one, by their paths."""
        return {path: layer.layout for path, layer in self._known_layers().every.items()}

    def grids(self) -> list[tuple[int, int]]:
        """Return rows and columns of every map that flows through the model, the last one first."""
        sizes = reversed(self.layouts().values())
        return list(dict.fromkeys((size.height, size.width) for size in sizes))

    def _known_layers(self) -> Layers:
        return layers_of(self.model, self.example)

    def _first_maps(self, layers: Layers) -> list[LayerMap]:
        """Find the layers by their gradients, all in one run."""
        layers.expect_some()
        kept: dict[int, Tensor] = {}

        def keep(number: int, x: Tensor) -> Tensor:
            kept[number] = x
            return x.clone() if x.requires_grad else x  # so that no later layer changes it in place

        with caught(self.model, layers.candidates, keep):
            output = self._run_unchanged(self.images.detach().requires_grad_())
        score = self._read(output).logits(output)
        with_graph = [n for n in kept if kept[n].requires_grad]
        if not with_graph:
            raise SiteError(_NO_GRADIENT.format("any layer"))
        found = dict(zip(with_graph, self.gradients_of(score, [kept[n] for n in with_graph]), strict=True))
        gradients = [found.get(n) for n in range(len(layers.candidates))]
        chosen = layers.last(gradients)
        if not boxes_in(output) and any(bool(g.count_nonzero()) for g in gradients if g is not None):
            layers.chosen = chosen
        self.explained = tuple(layer.path for layer in chosen)
        numbers = [layers.candidates.index(layer) for layer in chosen]
        return [self._layer_map(layers.candidates[n], kept[n].detach(), gradients[n]) for n in numbers]

    def _run_unchanged(self, images: Tensor) -> Any:
        if not self._as_list:
            return self.run(images)
        with canvas_of(self.model) as canvas:
            output = self.run(images)
        self._canvas = canvas.found
        return output

    def _read(self, output: object) -> Score:
        """Return the score; it is chosen from the first output, which is that of the unchanged images."""
        if self._score is None:
            self._score = choose_score(output, self.targets)
        return self._score

    def _score_of(self, output: object, rows: Tensor) -> Score:
        """Return the score of some rows of the batch.

        Classes of a classifier that were named do not depend on what it predicts, so that the unchanged
        images need not run: any row of logits tells how many classes there are.
        """
        named = all(isinstance(target, Class) and target.index is not None for target in self.targets)
        if self._score is None and named and not boxes_in(output) and logits_in(output).ndim == 2:
            self._read(logits_in(output).detach()[:1].expand(len(self.targets), -1))
        return self.score.of(rows.cpu())

    def _layer_map(self, layer: Layer, x: Tensor, gradient: Tensor | None) -> LayerMap:
        if gradient is None:
            raise SiteError(_NO_GRADIENT.format(f'the output of "{layer.path}"'))
        a, g = (_at_least_single(layer.layout.as_map(t.detach())) for t in (x, gradient))
        return LayerMap(layer, a, g)

    def _with(self, images: Tensor, rows: Tensor | None) -> object:
        """Return what the model takes, with these images."""
        given: object = list(images.unbind()) if self._as_list else images
        if isinstance(self._example, Tensor | list):
            return given
        count = len(self.images)
        first = first_tensor(self._example)

        def put(value: Any) -> Any:
            if value is first:
                return given
            if isinstance(value, Tensor):
                return value[rows] if rows is not None and value.ndim and len(value) == count else value
            if isinstance(value, Mapping):
                return {key: put(item) for key, item in value.items()}
            return type(value)(put(item) for item in value) if isinstance(value, list | tuple) else value

        return put(self._example)


_NO_GRADIENT = (
    "the target has no gradient by {}: the model computes without gradients there, or does not use it. Use a "
    "method without gradients, such as occlusion or rise"
)


def resized(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Return maps (B, h, w) at a size, bilinear as ``align_corners=False``."""
    if maps.shape[1:] == size:
        return maps
    return F.interpolate(maps[:, None], size, mode="bilinear", align_corners=False)[:, 0]


def _images_in(example: object) -> Tensor:
    """Return the images of what a model takes as one batch."""
    if isinstance(example, list):
        shapes = sorted({tuple(x.shape) for x in example if isinstance(x, Tensor)})
        if len(shapes) != 1 or len(shapes[0]) != 3 or not all(isinstance(x, Tensor) for x in example):
            raise ShapeError(
                f"images: got a list of {', '.join(map(str, shapes)) or 'no tensors'}, expected images "
                f"(C, H, W) "
                "of one size. Explain images of other sizes one by one"
            )
        return torch.stack([plain(x) for x in example])
    first = first_tensor(example)
    if first is None or first.ndim != 4 or not first.is_floating_point():
        got = "no tensor" if first is None else f"{tuple(first.shape)} of {first.dtype}"
        raise ShapeError(f"images: got {got}, expected normalised images (B, C, H, W), a floating type")
    return plain(first)


def plain(x: Tensor) -> Tensor:
    """Return a tensor without its graph, as one that gradients can be taken of."""
    return x.clone() if x.is_inference() else x.detach()


def _at_least_single(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()
