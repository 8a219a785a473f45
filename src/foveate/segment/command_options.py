"""The options of ``foveate predict`` that a model takes which segments; light to import."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from cyclopts import Group, Parameter

SEGMENTING = Group("With a model that segments", sort_key=2)


@Parameter(name="*", group=SEGMENTING)
@dataclass(frozen=True)
class SegmentOptions:
    """How pictures are segmented, and what is written of it."""

    masks: bool = False
    """Write IMAGE_mask.png: a pixel's value is its class; viewers show the class's colour."""

    overlays: bool = False
    """Write IMAGE_overlay.png: the picture under the colours of the classes, with a legend."""

    probabilities: bool = False
    """Write IMAGE_probabilities.npy: float16 (classes, height, width)."""

    window: str | None = None
    """Slide a window over the picture as it is: 512, or height,width. Else all is seen at training's size."""

    overlap: float = 0.25
    """Share of a window that the next one sees again, from 0 to below 1."""

    flips: str = ""
    """Average with the picture flipped: lr (left and right), ud, or lr,ud."""

    scales: str = "1"
    """Average over the picture at these scales, such as 0.75,1,1.25."""

    crf: bool = False
    """Refine the probabilities by a dense CRF, so that they follow the picture's edges; see `foveate crf`."""

    rotations: str = "0"
    """Average over the picture turned by these degrees: multiples of 90, such as 0,90,180,270."""

    def given(self) -> dict[str, Any]:
        """Return the options that differ from their defaults."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            field.name: values[field.name] for field in fields(self) if values[field.name] != field.default
        }
