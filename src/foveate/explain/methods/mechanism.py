"""The map of a mechanism of foveate itself: its gates or weights over positions, or what a word read.

    map = the weights of the mechanism, channels and heads averaged; of pairwise weights the mean over those
    that attend; of weights for each class those of the target; of weights for each word those of its step

Paper   That of the mechanism, see ``foveate show``.
Differs from the paper: nothing. A model without a mechanism that weighs positions has no such map.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from foveate.errors import SiteError, nearest
from foveate.explain.effect import looks
from foveate.explain.methods.explanation import Explanation, Reads, explanations
from foveate.explain.question import Question
from foveate.explain.record import record, taps
from foveate.explain.scores import ClassScore, WordScore


@explanations.register("mechanism")
@dataclass(frozen=True)
class MechanismMap(Explanation):
    """Weights over positions of the last mechanism of foveate, or of the one that is named."""

    paper: ClassVar[str] = "that of the mechanism"
    reads: ClassVar[Reads] = "attention"
    signed: ClassVar[bool] = True

    def __call__(self, question: Question) -> Tensor:
        """Return the maps (B, H, W)."""
        score = question.score
        if isinstance(score, WordScore):
            found = _read_at(question, score)
        else:
            classes = score.classes if isinstance(score, ClassScore) else None
            with torch.no_grad():
                found = dict(looks(question.model, question.example, classes))
        paths = list(found)[-1:] if question.layer is None else list(question.layer)
        for path in paths:
            if path not in found:
                raise SiteError(f'layer: no mechanism at "{path}" weighs positions. {nearest(path, found)}')
        if not paths:
            raise SiteError(
                "no mechanism of foveate in this model weighs positions of the image. Use raw_attention "
                "or rollout "
                "for attention of other packages, or grad_cam"
            )
        question.explained = tuple(paths)
        return torch.stack([question.on_image(found[path]) for path in paths]).sum(0)


def _read_at(question: Question, score: WordScore) -> dict[str, Float[Tensor, "b h w"]]:
    """Return what every read over positions of the image weighed at the step that is explained."""
    axes = {path: str(tap.axes).split() for path, tap in taps(question.model).items()}
    with record(question.model) as maps, torch.no_grad():
        question.run(question.images)
    found = {}
    for path in maps:
        names = axes.get(path, [])
        if "t" not in names or "m" not in names:
            continue
        steps = torch.cat([call.weights for call in maps.calls(path)], dim=names.index("t"))
        others = [i for i, name in enumerate(names) if name not in "btm"]
        weights = steps.float().mean(dim=others) if others else steps.float()  # b t m
        of_step = weights[torch.arange(len(weights)), score.steps]
        for height, width in question.grids():
            if height * width in (of_step.shape[1], of_step.shape[1] - 1):  # a sentinel comes last
                found[path] = of_step[:, : height * width].unflatten(1, (height, width))
                break
    return found
