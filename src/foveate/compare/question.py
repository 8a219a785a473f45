"""The question of a study: one record that Python and the command line share."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import get_args

from foveate.compare.plan import Mode
from foveate.errors import StudyError
from foveate.options import is_seed
from foveate.recipe import TrainConfig

STARTS = ("identity", "paper")
CONTROLS = ("largest", "each", "none")
_MOST_SEEDS = 10_000


@dataclass(frozen=True)
class Question:
    """The arguments of ``compare``; see there.

    Raises:
        StudyError: One is impossible.
    """

    model: str
    variants: Sequence[str] | Mapping[str, str]
    seeds: int | Sequence[int] = 3
    epochs: int | None = None
    mode: str = "scratch"
    control: str = "largest"
    margin: float | None = None
    level: float = 0.95
    size: int | None = None
    pretrained: bool = False
    weights: str | Path | None = None
    train: TrainConfig | None = None
    start: str = "identity"
    branch_epochs: int | None = None
    task: str | None = None
    metric: str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.variants, str) or not self.variants:
            raise StudyError(
                f'variants: got {self.variants!r}, expected a list, such as ["se@blocks", "cbam@stage3"]'
            )
        self._expect("mode", self.mode in get_args(Mode), f"one of {', '.join(get_args(Mode))}")
        self._expect("control", self.control in CONTROLS, f"one of {', '.join(CONTROLS)}")
        self._expect("start", self.start in STARTS, f"one of {', '.join(STARTS)}")
        self._expect("level", 0 < self.level < 1, "a confidence in (0, 1), such as 0.95")
        fine = self.margin is None or (isinstance(self.margin, int | float) and 0 <= self.margin < math.inf)
        self._expect("margin", fine, "a number of at least 0, in the metric's unit")
        self._expect("branch_epochs", (self.branch_epochs or 1) >= 1, "at least 1")
        _ = self.all_seeds

    @property
    def all_seeds(self) -> tuple[int, ...]:
        """The seeds: the first ones, or those that are listed."""
        if isinstance(self.seeds, int) and self.seeds > _MOST_SEEDS:
            raise StudyError(f"seeds: got {self.seeds}, expected at most {_MOST_SEEDS}")
        listed = tuple(range(self.seeds)) if isinstance(self.seeds, int) else tuple(self.seeds)
        if not listed or len(set(listed)) < len(listed) or not all(is_seed(seed) for seed in listed):
            raise StudyError(
                f"seeds: got {self.seeds!r}, expected how many, or a list of different whole numbers from 0 "
                "to below 2**63"
            )
        return tuple(int(seed) for seed in listed)

    @property
    def with_published_weights(self) -> bool:
        """Whether the models start from published weights."""
        return self.pretrained or (self.mode == "pretrained" and self.weights is None)

    @property
    def actual_mode(self) -> Mode:
        """The mode: where weights are given, training does not start from scratch."""
        tuned = self.with_published_weights or self.weights is not None
        return "pretrained" if self.mode == "scratch" and tuned else self.mode  # type: ignore[return-value]

    def call(self, data: str | Path | None) -> str:
        """Return the Python call that makes the study again; words that are None are left out."""
        words = {"data": data} | {field.name: getattr(self, field.name) for field in fields(self)}
        said = {name: str(word) if isinstance(word, Path) else word for name, word in words.items()}
        shown = ", ".join(f"{name}={word!r}" for name, word in said.items() if word is not None)
        return f"foveate.compare({shown})"

    def _expect(self, name: str, fine: bool, expected: str) -> None:
        if not fine:
            raise StudyError(f"{name}: got {getattr(self, name)!r}, expected {expected}")
