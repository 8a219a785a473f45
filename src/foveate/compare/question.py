"""The question of a study: one record that Python and the command line share."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import get_args

from foveate.compare.planned import Mode
from foveate.errors import StudyError
from foveate.options import is_seed
from foveate.quantities import seconds_of
from foveate.recipe import TrainConfig

STARTS = ("identity", "paper")
CONTROLS = ("largest", "each", "none")
LADDER = (3, 5, 8, 12, 20)  # seeds after which a study from a to b looks at what it knows
_USUAL, _USUAL_RACE = "3..8", "2..5"
_LADDER = re.compile(r"\s*([0-9]{1,5})\s*\.\.\s*([0-9]{1,5})\s*(?:from\s+([0-9]{1,18})\s*)?")
_NUMBERS = re.compile(r"\s*[0-9]{1,19}\s*(,\s*[0-9]{1,19}\s*)*")
_MOST_SEEDS = 10_000


@dataclass(frozen=True)
class Question:
    """The arguments of ``compare``; see there.

    Raises:
        StudyError: One is impossible.
    """

    model: str
    variants: Sequence[str] | Mapping[str, str]
    seeds: int | str | Sequence[int] | None = None
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
    branch_lr: float | None = None
    race: bool = False
    budget: str | float | None = None
    folds: int | None = None

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
        self._expect("branch_epochs", self.branch_epochs is None or self.branch_epochs >= 1, "at least 1")
        rate = self.branch_lr
        self._expect("branch_lr", rate is None or 0 < rate < math.inf, "a learning rate above 0")
        several = self.folds is None or (is_seed(self.folds) and self.folds >= 2)
        self._expect("folds", several, "a whole number from 2 on, or None for no folds")
        branching = self.mode == "branch"
        self._expect("branch_lr", rate is None or branching, 'None, as only mode="branch" has branches')
        _ = self.all_seeds, self.seconds

    @property
    def all_seeds(self) -> tuple[int, ...]:
        """The seeds that there are at most: the first ones, or those that are listed."""
        asked = self._asked
        if not isinstance(asked, Sequence) or isinstance(asked, str):
            first = self._first_seed
            return tuple(range(first, first + self.looks[-1]))
        listed = tuple(asked)
        if not listed or len(set(listed)) < len(listed) or not all(is_seed(seed) for seed in listed):
            raise self._no_seeds()
        return tuple(int(seed) for seed in listed)

    @property
    def looks(self) -> tuple[int, ...]:
        """After how many seeds the study looks at what it knows, and trains on only what is undecided."""
        asked = self._asked
        if isinstance(asked, str):
            return self._ladder(asked)
        if isinstance(asked, Sequence):
            return (len(asked),)
        if not is_seed(asked) or not 1 <= asked <= _MOST_SEEDS:
            raise self._no_seeds()
        return (int(asked),)

    @property
    def _asked(self) -> int | str | Sequence[int]:
        """The seeds as they were given, or as usual; numbers in a text as numbers."""
        if self.seeds is None:
            return _USUAL_RACE if self.race else _USUAL
        if not isinstance(self.seeds, str) or not _NUMBERS.fullmatch(self.seeds):
            return self.seeds
        listed = tuple(map(int, self.seeds.split(",")))
        return listed if len(listed) > 1 else listed[0]

    def _ladder(self, text: str) -> tuple[int, ...]:
        ends = _LADDER.fullmatch(text)
        first, last = (int(ends[1]), int(ends[2])) if ends else (0, 0)
        least = 2 if self.race else 3
        if not least <= first <= last <= _MOST_SEEDS:
            raise self._no_seeds()
        between = range(first, last) if self.race else LADDER
        return tuple(dict.fromkeys((first, *(n for n in between if first < n < last), last)))

    @property
    def _first_seed(self) -> int:
        ends = _LADDER.fullmatch(self.seeds) if isinstance(self.seeds, str) else None
        return int(ends[3] or 0) if ends else 0

    def _no_seeds(self) -> StudyError:
        least = 2 if self.race else 3
        return StudyError(
            f"seeds: got {self.seeds!r}, expected how many (at most {_MOST_SEEDS}), from how many to how "
            f'many, such as "3..8", beginning with {least} or more, or a list of different whole numbers '
            "from 0 to below 2**63"
        )

    @property
    def seconds(self) -> float | None:
        """The budget in seconds; None if there is none."""
        if self.budget is None:
            return None
        found = seconds_of(self.budget) if isinstance(self.budget, str) else float(self.budget)
        self._expect("budget", found is not None and 0 < found < math.inf, 'a time, such as "40min" or "2h"')
        return found

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
