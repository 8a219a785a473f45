"""The interface of a method of explanation: a question in, one map for each image out.

Shapes  maps (B, H, W) on the image's grid, at least float32, as the method defines them: not normalised, and
        signed where the method is signed.
Rules   every field is an option; images of a batch do not influence each other; the question's model is run
        through the question alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor

from foveate.errors import SpecError
from foveate.options import check_fields
from foveate.registry import Registry
from foveate.spelling import build, written
from foveate.typed import quoted

Reads = Literal["layer", "gradients", "changed images", "attention"]


@dataclass(frozen=True)
class Explanation(ABC):
    """A method and its options; equal ones compare and print alike."""

    reads: ClassVar[Reads]
    """What it is made from: a layer, gradients by the pixels, runs on changed images, or attention."""
    signed: ClassVar[bool]
    """Whether a map can have values below 0, for what speaks against the target."""
    paper: ClassVar[str]
    """Where it is from."""

    def __post_init__(self) -> None:
        check_fields(self)

    @abstractmethod
    def __call__(self, question: Any) -> Tensor:
        """Return the maps (B, H, W).

        Args:
            question: A ``foveate.explain.question.Question``.
        """

    def __str__(self) -> str:
        """Return the name and every option that is not the default."""
        return written(explanations, self)


explanations: Registry[type[Explanation]] = Registry("explanation", see="foveate list explanations")


def read_method(method: str | Explanation) -> Explanation:
    """Return a method by its name and options, such as ``rise(masks=500)``.

    Raises:
        SpecError: The text cannot be read.
        UnknownNameError: There is no such method.
        OptionError: It has no such option, or the option cannot have such a value.
    """
    if isinstance(method, Explanation):
        return method
    if not isinstance(method, str):
        raise SpecError(f'method: got {quoted(method)}, expected a name such as "grad_cam" or an Explanation')
    return build(explanations, method)
