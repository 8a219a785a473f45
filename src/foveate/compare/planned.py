"""What a study consists of: variants, runs, and the looks at which they are judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Mode = Literal["scratch", "pretrained", "branch"]
Role = Literal["baseline", "variant", "control", "trunk", "report"]
BASELINE, TRUNK, REPORT, LOOK = "baseline", "trunk", "report", "look"
Key = tuple[str, int]


@dataclass(frozen=True)
class PlannedVariant:
    """One column of the study.

    Args:
        name: What the report calls it.
        role: ``baseline``, ``variant`` or ``control``.
        spec: What is inserted, or None.
        model: Its own model, if it is another one than the study's; nothing is inserted in it.
        control: For a variant: the name of the control that it must beat, or None.
        parameters: Learnable numbers.
        macs: Multiply-adds of one item.
        bytes: Size of the parameters and buffers.
        step_seconds: Time of one training step, measured, or estimated from variants of like cost.
        image_seconds: Time of evaluating one item, likewise.
    """

    name: str
    role: Role
    spec: str | None
    model: str | None = None
    control: str | None = None
    parameters: int = 0
    macs: int = 0
    bytes: int = 0
    step_seconds: float = 0.0
    image_seconds: float = 0.0


@dataclass(frozen=True)
class PlannedRun:
    """One training of one variant with one seed, or its cross-validation: one training for each fold.

    Args:
        variant: Its name.
        seed: Its seed.
        role: ``trunk`` for the training that the branches of a seed share; else the variant's role.
        spec: What is inserted, or None.
        model: The variant's own model, or None.
        epochs: Passes over the training items.
        steps: Optimiser steps; the same for all variants, and checked after the run.
        parameters: Learnable numbers.
        macs: Multiply-adds of one item.
        bytes: Size of the parameters and buffers.
        seconds: How long it will take, from a few measured steps.
        needs: The run that has to be done before, or None.
        folds: Number of trainings that it consists of, one for each fold; 0 without folds.
    """

    variant: str
    seed: int
    role: Role
    spec: str | None
    model: str | None
    epochs: int
    steps: int
    parameters: int
    macs: int
    bytes: int
    seconds: float
    needs: Key | None = None
    folds: int = 0

    @property
    def key(self) -> Key:
        """What the store knows it by."""
        return self.variant, self.seed


@dataclass(frozen=True)
class Folding:
    """How the items of a study are dealt out for cross-validation.

    Args:
        sizes: Number of items of each fold.
        trained: Number of training items of the training that is tested on it.
        drawn: How they were dealt out, in words.
    """

    sizes: tuple[int, ...]
    trained: tuple[int, ...]
    drawn: str


@dataclass(frozen=True)
class Stage:
    """Looks that were planned at one time: at the beginning, or when the study was continued.

    Args:
        looks: Seeds at each look, rising.
        alpha: What all false verdicts of these looks together may take of the study's error rate, 1 - level.
        variants: Names of the variants and controls that are judged at these looks.
    """

    looks: tuple[int, ...]
    alpha: float
    variants: tuple[str, ...]
