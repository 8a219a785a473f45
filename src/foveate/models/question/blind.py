"""Models that are shown half of what they are asked: what a study of questions compares with.

Whatever is right without the goal, or without the picture, was not learnt by looking where the goal says.

Formula goal_blind: f(picture, the same goal for all); picture_blind: f(zeros, goal)
Paper   Goyal, Khot, Summers-Stay, Batra, Parikh. Making the V in VQA Matter. CVPR 2017. arXiv:1612.00837, of
        models that do not see the picture.
Shapes  those of the model.
Cost    those of the model.
Differs both are ours: the paper trains a model without pictures, of its own form.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor, nn

from foveate.models.create import create_model
from foveate.models.names import models
from foveate.models.question.question_model import Answered, QuestionModel

_ANY = 1  # the number of unknown words


class Blind(QuestionModel):
    """A model that does not get all of its inputs.

    Args:
        classes: How many answers there are.
        of: The model, such as ``top_down(attention=cosine)``, as ``create_model`` takes it.
        words: How many words goals have.
        pretrained_encoder: Fetch the published weights of the model's encoder.
    """

    def __init__(
        self, *, classes: int, of: str = "top_down", words: int = 10_000, pretrained_encoder: bool = False
    ) -> None:
        super().__init__(classes)
        self.of = create_model(of, classes=classes, pretrained=pretrained_encoder, words=words)

    @property
    def encoder(self) -> Any:  # type: ignore[override]
        """The model's encoder, if it has one."""
        return getattr(self.of, "encoder", None)

    @property
    def looks(self) -> tuple[str, ...]:  # type: ignore[override]
        """What the model calls its looks."""
        return getattr(self.of, "looks", ())

    def hidden_from(self, pictures: Tensor, goal: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the model gets instead."""
        raise NotImplementedError

    def answer(self, pictures: Tensor, goal: Tensor, lengths: Int64[Tensor, " b"] | None = None) -> Answered:
        """Return what the model answers."""
        return answered(self.of, *self.hidden_from(pictures, goal))


@models.register("goal_blind")
class GoalBlind(Blind):
    """A model that sees every picture, and the same goal with all of them.

    Args:
        classes: How many answers there are.
        of: The model, such as ``top_down(attention=cosine)``.
        words: How many words goals have.
        pretrained_encoder: Fetch the published weights of the model's encoder.

    Example:
        >>> import torch
        >>> model = GoalBlind(classes=5, words=20, of="top_down(state=8, hidden=8)").eval()
        >>> picture = torch.rand(1, 3, 32, 32)
        >>> bool((model(picture, torch.tensor([[4, 7]])) == model(picture, torch.tensor([[9]]))).all())
        True
    """

    def hidden_from(self, pictures: Tensor, goal: Tensor) -> tuple[Tensor, Tensor]:
        """Return the pictures, and one unknown word, the class 0 or zeros."""
        if goal.is_floating_point() or goal.ndim == 1:
            return pictures, torch.zeros_like(goal)
        return pictures, torch.full_like(goal[:, :1], _ANY)


@models.register("picture_blind")
class PictureBlind(Blind):
    """A model that gets every goal, and black pictures.

    Args:
        classes: How many answers there are.
        of: The model, such as ``top_down(attention=cosine)``.
        words: How many words goals have.
        pretrained_encoder: Fetch the published weights of the model's encoder.

    Example:
        >>> import torch
        >>> model = PictureBlind(classes=5, words=20, of="top_down(state=8, hidden=8)").eval()
        >>> goal = torch.tensor([[4, 7]])
        >>> a, b = (model(torch.rand(1, 3, 32, 32), goal) for _ in range(2))
        >>> bool((a == b).all())
        True
    """

    def hidden_from(self, pictures: Tensor, goal: Tensor) -> tuple[Tensor, Tensor]:
        """Return zeros, and the goals."""
        return torch.zeros_like(pictures), goal


def answered(model: nn.Module, pictures: Tensor, goal: Tensor) -> Answered:
    """Return what any model that takes pictures and goals answers."""
    if isinstance(model, QuestionModel):
        return model.answer(pictures, goal)
    from foveate.models.outputs import main_output

    return Answered(main_output(model(pictures, goal)), None)
