"""The schema of ``study.json`` and ``pictures.json``: what stands in them, and what may be missing.

Only ``format`` must be there; everything else has a default (``result.complete``). Entries that the schema
does not know are let through, so that a report can be written again by an earlier version.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, TypedDict

from foveate.errors import StudyError
from foveate.options import read_record
from foveate.typed import Range

Real = Annotated[float, Range(-1e15, 1e15)]
Count = Annotated[int, Range(-(10**15), 10**15)]
Number = Real | None
_ADVICE = "The file is damaged, or foveate did not write it: run the study's command again."


class Metric(TypedDict, total=False):
    """What is judged by."""

    name: str
    unit: str
    scale: Real
    higher_is_better: bool


class Question(TypedDict, total=False):
    """What the study asks."""

    mode: str
    model: str
    data: str
    classes: list[str]
    palette: list[tuple[Count, Count, Count]] | None
    metric: Metric
    margin: Real
    level: Real
    seeds: list[Count]
    epochs: Count | None
    branch_epochs: Count | None
    train_items: Count | None
    items: Count | None
    size: Count | list[Count] | None
    command: str | None


class Best(TypedDict):
    """Which model is kept."""

    variant: str
    seed: Count
    reason: str


class Score(TypedDict, total=False):
    """The mean over seeds, with its interval."""

    mean: Number
    per_seed: list[Number]
    low: Number
    high: Number


class Difference(TypedDict, total=False):
    """A difference to the baseline or the control."""

    mean: Real
    low: Number
    high: Number
    p: Number
    p_adjusted: Number
    df: Number
    detectable: Number
    pairing: Number
    more_seeds: Count | None


class Cost(TypedDict, total=False):
    """What one image costs."""

    parameters: Count | None
    macs: Count | None
    bytes: Count | None


class Time(TypedDict):
    """Milliseconds."""

    median: Real
    low: Real
    high: Real


class BatchTime(Time):
    """Milliseconds for so many images."""

    images: Count


class Latency(TypedDict):
    """Time of one image, and of a batch."""

    single: Time
    batch: BatchTime


class Memory(TypedDict):
    """Bytes."""

    inference: Real
    training: Real


ClassScore = TypedDict(
    "ClassScore", {"class": str, "items": Count, "mean": Number, "low": Number, "high": Number}
)


ToldClass = TypedDict(
    "ToldClass",
    {"class": str, "items": Count, "precision": Number, "recall": Number, "f1": Number},
)


class Pair(TypedDict):
    """How often one class was taken for another."""

    true: str
    given: str
    items: Count
    share: Number


class Confusion(TypedDict):
    """Which class was taken for which; the matrix only of few classes."""

    matrix: list[list[Count]] | None
    by_class: list[ToldClass]
    pairs: list[Pair]


class Gate(TypedDict):
    """How far one gate opened, by seed."""

    site: str
    mechanism: str
    openings: list[Number]


class Epoch(TypedDict):
    """One epoch of one seed."""

    epoch: Count
    train_loss: Number
    val_score: Number
    openings: dict[str, Number]


class Curve(TypedDict):
    """The history of one seed."""

    seed: Count
    epochs: list[Epoch]


class Figure(TypedDict):
    """A further figure, by seed."""

    name: str
    mean: Number
    per_seed: list[Number]


class Run(TypedDict, total=False):
    """One training."""

    variant: str
    seed: Count
    score: Number
    seconds: Number
    images_per_second: Number
    steps: Count | None
    parameters: Count | None


class _Named(TypedDict):
    name: str


class Variant(_Named, total=False):
    """One row of the table."""

    spec: str | None
    role: str
    verdict: str
    words: str
    as_attention: str | None
    control: str | None
    cost: Cost | None
    score: Score | None
    difference: Difference | None
    versus_control: Difference | None
    latency: Latency | None
    memory: Memory | None
    per_class: list[ClassScore]
    figures: list[Figure]
    confusion: Confusion | None
    gates: list[Gate]
    curves: list[Curve]


class Check(TypedDict):
    """What the check of the data found."""

    kind: str
    severity: str
    message: str
    items: list[str]


class Recipe(TypedDict, total=False):
    """What it takes to repeat the study."""

    command: str
    start: str | None
    train: dict[str, object]
    versions: dict[str, str]
    hardware: dict[str, object]
    data: dict[str, object]
    seeds: list[Count]
    rules: list[str]


class Study(TypedDict, total=False):
    """The whole of ``study.json``."""

    foveate: str
    created: str
    sentence: str
    could_have_found: str
    best: Best | None
    question: Question
    variants: list[Variant]
    checks: list[Check]
    recipe: Recipe
    runs: list[Run]


class Map(TypedDict):
    """A map laid over a picture."""

    site: str
    kind: str
    image: str


class Labelled(TypedDict):
    """The class that one variant gives a picture."""

    name: str
    prediction: str
    confidence: Real
    right: bool
    maps: list[Map]


class Drawn(TypedDict):
    """The classes that one variant gives the pixels of a picture."""

    name: str
    mask: str
    score: Number
    maps: list[Map]


class _Shown(TypedDict):
    item: str
    target: str | None
    image: str
    disagreement: Number
    variants: list[Labelled | Drawn]


class Picture(_Shown, total=False):
    """A test picture under every variant."""

    truth: str | None
    mask: str | None


def expect_study(plain: Any, path: Path) -> None:
    """Check what ``study.json`` holds.

    Raises:
        StudyError: An entry is not what the schema says; the text names it.
    """
    study = read_record(Study, plain, path, StudyError, _ADVICE)
    question: Question = study.get("question") or Question()
    classes = len(question.get("classes", []))
    for number, variant in enumerate(study.get("variants", [])):
        confusion = variant.get("confusion")
        rows = confusion["matrix"] if confusion else None
        if rows is not None and [len(row) for row in rows] != [classes] * classes:
            raise StudyError(
                f"{path}: variants[{number}].confusion.matrix is not {classes} x {classes}, which are the "
                f"classes. {_ADVICE}"
            )


def expect_pictures(plain: Any, path: Path) -> None:
    """Check what ``pictures.json`` holds.

    Raises:
        StudyError: An entry is not what the schema says; the text names it.
    """
    read_record(list[Picture], plain, path, StudyError, _ADVICE)
