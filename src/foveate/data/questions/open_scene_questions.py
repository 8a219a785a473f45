"""The built-in scenes with questions: real handwritten digits, rings, and the truth of where to look.

Everything is determined by the seed, and any number can be had. ``QuestionData.caps`` states what models
reach at best that do not hear the question, or do not see the picture.

Shapes  images uint8 (size, size, 3); where to look bool (size, size)
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict

import numpy as np
from jaxtyping import Bool, UInt8

from foveate.data.base import SPLITS, Split
from foveate.data.questions.question_data import Cap, QuestionData, QuestionSplit
from foveate.data.questions.scene_layouts import (
    ANSWERS,
    CHANCES,
    FAMILIES,
    Asked,
    SceneQuestionOptions,
    posterior,
    scene_questions,
)
from foveate.data.scenes.scene_paint import mark_mask, paint
from foveate.errors import OptionError
from foveate.options import checked

VERSION = 1  # raise it whenever a pixel or a question changes: the fingerprint, and so every cache, follows
_CHUNK = 256  # scenes painted at once


def open_scene_questions(
    *, train: int = 8000, val: int = 500, test: int = 1000, seed: int = 0, **options: object
) -> QuestionData:
    """Return scenes, each with a question.

    Args:
        train: How many to train on.
        val: How many to validate on; 0 for no such split.
        test: How many to test on.
        seed: Determines everything random.
        options: size, digits, strokes, families: see ``SceneQuestionOptions``.

    Raises:
        OptionError: An option is unknown or out of range.

    Example:
        >>> data = open_scene_questions(train=20, val=0, test=10, families="marked")
        >>> data.splits["train"].questions[0], data.splits["train"].answers[0]
        ('which digit is in the blue ring?', ('6',))
    """
    settings = SceneQuestionOptions(
        **checked("scenes with questions", SceneQuestionOptions, {"seed": seed, **options})
    )
    counts = dict(zip(SPLITS, (train, val, test), strict=True))
    for name, count in counts.items():
        if isinstance(count, bool) or not isinstance(count, int) or count < (name != "val"):
            raise OptionError(
                f"scenes: {name}={count!r} is not a number of scenes. Write {name}=1000, for example."
            )
    plans = {name: scene_questions(settings, name, 0, count) for name, count in counts.items() if count}
    recipe = {**asdict(settings), **counts}
    digest = hashlib.sha256(f"scenes with questions {VERSION} {sorted(recipe.items())}".encode()).hexdigest()
    return QuestionData(
        name="scenes",
        splits={name: _split(settings, name, plan) for name, plan in plans.items()},
        origin={
            "source": "scenes",
            "options": recipe,
        },
        contents=digest,
        caps=caps(plans["test"], settings.asked),
    )


def caps(plan: Asked, families: tuple[str, ...]) -> tuple[Cap, ...]:
    """Return what blind models reach at best: on each family by itself, and on all together.

    A model that is trained on several families cannot know which one is asked for; so it reaches less on all
    together than the mean over the families.
    """
    groups = {name: plan.family == FAMILIES.index(name) for name in families}
    found = []
    for name, some in groups.items():
        if some.any():
            found.append(Cap(name, _goal_blind(plan, some, (name,)), CHANCES[name]))
    every = np.ones(len(plan.family), dtype=bool)
    blind = np.mean([CHANCES[FAMILIES[number]] for number in plan.family.tolist()])
    return (*found, Cap("", _goal_blind(plan, every, families), float(blind)))


def _goal_blind(plan: Asked, some: Bool[np.ndarray, " n"], families: tuple[str, ...]) -> float:
    rows = np.flatnonzero(some).tolist()
    return float(np.mean([posterior(plan.digits[row], plan.marks[row], families).max() for row in rows]))


def scene_pictures(
    options: SceneQuestionOptions, split: str, first: int, count: int
) -> UInt8[np.ndarray, "n s s 3"]:
    """Return the images of scenes ``first`` to ``first + count`` of a split."""
    out = np.empty((count, options.size, options.size, 3), dtype=np.uint8)
    for start in range(0, count, _CHUNK):
        number = min(_CHUNK, count - start)
        plan = scene_questions(options, split, first + start, number)
        out[start : start + number] = paint(options.scene, plan.layout, SPLITS.index(split), first + start)
    return out


def _split(options: SceneQuestionOptions, name: str, plan: Asked) -> QuestionSplit:
    count, box = len(plan.answer), options.scene.box

    def many(first: int, number: int) -> UInt8[np.ndarray, "n s s 3"]:
        return scene_pictures(options, name, first, number)

    def load(item: int) -> UInt8[np.ndarray, "s s 3"]:
        return many(item, 1)[0]

    def look(item: int) -> Bool[np.ndarray, "s s"]:
        mask = np.zeros((options.size, options.size), dtype=bool)
        for place in plan.evidence(item):
            top, left = plan.tops[item, place], plan.lefts[item, place]
            mask[top : top + box, left : left + box] = mark_mask(options.scene)
        return mask

    return QuestionSplit(
        pictures=Split(
            names=tuple(f"{name}-{item:06d}" for item in range(count)),
            targets=np.zeros(count, dtype=np.int64),
            load=load,
            many=many,
        ),
        picture=np.arange(count),
        questions=tuple(plan.question(item) for item in range(count)),
        answers=tuple((ANSWERS[number],) for number in plan.answer.tolist()),
        families=tuple(FAMILIES[number] for number in plan.family.tolist()),
        look=look,
    )
