"""What a page asks of a model; ``served_model`` answers it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from foveate.data.judged_pictures import JudgedPictures
from foveate.explain.judging.judgement import Judgement
from foveate.infer.look_figures import Look
from foveate.serve.limits import Limits

AUTOMATIC = "automatic"  # the layer that a method chooses itself


class Asked(Protocol):
    """A model behind a page."""

    @property
    def title(self) -> str:
        """The model's name for people."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of its classes; empty if nobody knows them."""
        ...

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods that go with it, the usual one first."""
        ...

    @property
    def given(self) -> JudgedPictures | None:
        """Pictures to try and to judge on."""
        ...

    @property
    def limits(self) -> Limits:
        """What the page allows."""
        ...

    @property
    def usual_pictures(self) -> int:
        """How many pictures are judged unless the visitor says otherwise."""
        ...

    def layers(self, method: str) -> tuple[str, ...]:
        """Return the layers that a method can look at."""
        ...

    def look(self, picture: Path, method: str, layer: str, target: int | None) -> Look:
        """Return where the model looks in a picture."""
        ...

    def judge(
        self, pictures: Sequence[Path], count: int, method: str, layer: str, target: int | None
    ) -> Judgement:
        """Return whether the maps of a method tell the truth."""
        ...
