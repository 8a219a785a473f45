"""Which digits and rings a scene with a question shows, what is asked, and what is right.

A grid full of handwritten digits, no two alike. Up to four have a ring: red, green, blue, cyan.

Families    scene                       question                                         answers
marked      each colour once            which digit is in the red ring?                  0 to 9
related     each colour once            which digit is left of the red ring?             0 to 9
compared    each colour once            is the digit in the red ring larger than the     yes, no
                                        digit in the blue ring?
counted     a colour 0 to 4 times       how many rings are red?                          0 to 4

Digits are drawn without looking at family, colours or question, and a question without looking at the digits.
So the question alone tells nothing: of K answers each is right in 1 of K cases. And the picture alone does
not tell which of its rings is meant: ``posterior`` says how probable each answer is, by Bayes' rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import comb, perm

import numpy as np
from jaxtyping import Float64, Int64

from foveate.data.base import SPLITS
from foveate.data.scenes.scene_layout import Layout, SceneOptions, uniform
from foveate.errors import OptionError
from foveate.options import check_fields, whole

FAMILIES = ("marked", "related", "compared", "counted")
COLOURS = ("red", "green", "blue", "cyan")  # of the rings, in the order of the scenes' marks
SIDES = {"left of": (0, -1), "right of": (0, 1), "above": (-1, 0), "below": (1, 0)}
ANSWERS = (*map(str, range(10)), "yes", "no")
YES, NO = 10, 11
MOST = 4  # rings of one colour that can be counted
CHANCES = {"marked": 1 / 10, "related": 1 / 10, "compared": 1 / 2, "counted": 1 / (MOST + 1)}
"""What the question alone reaches, whatever the options."""


@dataclass(frozen=True)
class SceneQuestionOptions:
    """What scenes with questions are like.

    Args:
        size: Height and width of the image, in pixels.
        digits: How many a scene shows, a square number: 4 or 9.
        strokes: Short lines of clutter.
        families: Which questions are asked, joined by +: "marked+related"; or "all".
        seed: Determines everything random.
    """

    size: int = 32
    digits: int = 4
    strokes: int = 6
    families: str = "all"
    seed: int = 0

    def __post_init__(self) -> None:
        check_fields(self, "scenes")
        whole("digits", self.digits)
        if self.digits not in (4, 9):
            raise OptionError(f"scenes: digits={self.digits} is not 4 or 9: a grid of digits, none alike.")
        unknown = [name for name in self.asked if name not in FAMILIES]
        if unknown or len(set(self.asked)) < len(self.asked):
            raise OptionError(
                f'scenes: families="{self.families}" is not all or some of {"+".join(FAMILIES)}, each once. '
                'Write families="marked+related", for example.'
            )
        _ = self.scene  # its own checks

    @cached_property
    def asked(self) -> tuple[str, ...]:
        """The families that occur, equally often."""
        return FAMILIES if self.families == "all" else tuple(self.families.replace(" ", "").split("+"))

    @cached_property
    def scene(self) -> SceneOptions:
        """How such a scene is painted."""
        return SceneOptions(
            size=self.size, classes=10, distractors=self.digits - 1, strokes=self.strokes, seed=self.seed
        )


@dataclass(frozen=True)
class Asked:
    """Scenes with one question each.

    Args:
        digits: The class at each place of the grid, row by row (n, k).
        marks: The number of the colour of its ring, -1 for none (n, k).
        family: Number in ``FAMILIES`` (n,).
        colour: Number of the colour that is asked for (n,).
        other: compared: the second colour; related: the number of the side; else 0 (n,).
        answer: Number in ``ANSWERS`` (n,).
        picks, tops, lefts: As in ``Layout`` (n, k).
    """

    digits: Int64[np.ndarray, "n k"]
    marks: Int64[np.ndarray, "n k"]
    family: Int64[np.ndarray, " n"]
    colour: Int64[np.ndarray, " n"]
    other: Int64[np.ndarray, " n"]
    answer: Int64[np.ndarray, " n"]
    picks: Float64[np.ndarray, "n k"]
    tops: Int64[np.ndarray, "n k"]
    lefts: Int64[np.ndarray, "n k"]

    @property
    def layout(self) -> Layout:
        """What the painter of scenes takes."""
        return Layout(self.answer, self.digits, self.picks, self.tops, self.lefts, self.marks)

    def question(self, item: int) -> str:
        """Return what is asked."""
        name, colour = FAMILIES[self.family[item]], COLOURS[self.colour[item]]
        if name == "marked":
            return f"which digit is in the {colour} ring?"
        if name == "related":
            return f"which digit is {tuple(SIDES)[self.other[item]]} the {colour} ring?"
        if name == "compared":
            second = COLOURS[self.other[item]]
            return f"is the digit in the {colour} ring larger than the digit in the {second} ring?"
        return f"how many rings are {colour}?"

    def evidence(self, item: int) -> list[int]:
        """Return the places of the grid that the answer is read from."""
        name, marks = FAMILIES[self.family[item]], self.marks[item]
        places = [int(place) for place in np.flatnonzero(marks == self.colour[item])]
        if name == "compared":
            places += [int(place) for place in np.flatnonzero(marks == self.other[item])]
        if name == "related":
            beside = neighbour(places[0], int(self.other[item]), len(marks))
            assert beside is not None
            return [beside]
        return places


def neighbour(place: int, side: int, digits: int) -> int | None:
    """Return the place on one side of another in a full grid, None outside it."""
    grid = int(np.sqrt(digits))
    down, across = tuple(SIDES.values())[side]
    row, column = place // grid + down, place % grid + across
    return row * grid + column if 0 <= row < grid and 0 <= column < grid else None


def scene_questions(options: SceneQuestionOptions, split: str, first: int, count: int) -> Asked:
    """Return scenes ``first`` to ``first + count`` of a split; each depends on its number alone."""
    k, number = options.digits, SPLITS.index(split)
    # Beside the streams of scenes without questions, which have the numbers of the splits.
    draws = uniform(options.seed, number + len(SPLITS), "layout", first, count, 14 + 6 * k)
    of_digits, of_scene, of_places = draws[:, :10], draws[:, 10:14], draws[:, 14:].reshape(count, 6, k)
    digits = np.argsort(of_digits, axis=1)[:, :k]
    chosen = np.array([FAMILIES.index(name) for name in options.asked])
    family = chosen[(of_scene[:, 0] * len(chosen)).astype(np.int64)]
    order = np.argsort(of_places[:, 0], axis=1)
    once = np.full((count, k), -1)
    np.put_along_axis(once, order[:, : len(COLOURS)], np.arange(len(COLOURS))[None], axis=1)
    colour = (of_scene[:, 1] * len(COLOURS)).astype(np.int64)
    marks = np.where(
        (family == FAMILIES.index("counted"))[:, None],
        _counted(colour, of_scene[:, 2], order, of_places[:, 1]),
        once,
    )
    other = np.zeros(count, dtype=np.int64)
    answer = np.zeros(count, dtype=np.int64)
    for item in range(count):
        name = FAMILIES[family[item]]
        if name == "counted":
            answer[item] = (marks[item] == colour[item]).sum()
            continue
        at = {int(mark): place for place, mark in enumerate(marks[item]) if mark >= 0}
        if name == "marked":
            answer[item] = digits[item, at[int(colour[item])]]
        elif name == "compared":
            second = int(of_scene[item, 2] * (len(COLOURS) - 1))
            other[item] = second + (second >= colour[item])
            one, two = (digits[item, at[int(c)]] for c in (colour[item], other[item]))
            answer[item] = YES if one > two else NO
        else:
            askable = related_questions(marks[item])
            colour[item], other[item], place = askable[int(of_scene[item, 2] * len(askable))]
            answer[item] = digits[item, place]
    scene = options.scene
    play = scene.cell - scene.box + 1
    cells = np.arange(k)[None]
    return Asked(
        digits=digits,
        marks=marks,
        family=family,
        colour=colour,
        other=other,
        answer=answer,
        picks=of_places[:, 2],
        tops=cells // scene.grid * scene.cell + (of_places[:, 3] * play).astype(np.int64),
        lefts=cells % scene.grid * scene.cell + (of_places[:, 4] * play).astype(np.int64),
    )


def related_questions(marks: Int64[np.ndarray, " k"]) -> list[tuple[int, int, int]]:
    """Return what can be asked of neighbours: (colour, side, place of the answer)."""
    found = []
    for place, mark in enumerate(marks.tolist()):
        for side in range(len(SIDES)) if mark >= 0 else ():
            beside = neighbour(place, side, len(marks))
            if beside is not None:
                found.append((mark, side, beside))
    return sorted(found)


def posterior(
    digits: Int64[np.ndarray, " k"], marks: Int64[np.ndarray, " k"], families: tuple[str, ...]
) -> Float64[np.ndarray, " a"]:
    """Return how probable each of ``ANSWERS`` is for who sees the scene and does not hear the question.

    Args:
        digits: The class at each place.
        marks: The colour at each place.
        families: Those that are asked, equally often.
    """
    k, found = len(digits), np.zeros(len(ANSWERS))
    seen = marks[marks >= 0]
    if len(seen) == len(COLOURS) and len(set(seen.tolist())) == len(COLOURS):
        likely = 1 / perm(k, len(COLOURS))  # of these marks, where each colour occurs once
        if "marked" in families:
            for digit in digits[marks >= 0].tolist():
                found[digit] += likely / len(COLOURS)
        if "related" in families:
            askable = related_questions(marks)
            for _, _, place in askable:
                found[digits[place]] += likely / len(askable)
        if "compared" in families:  # as many pairs are larger as smaller
            found[[YES, NO]] += likely / 2
    if "counted" in families:
        for colour in range(len(COLOURS)):
            number = int((marks == colour).sum())
            if number <= min(MOST, k):
                others = 1 / len(COLOURS) ** (k - number)  # the other colours, or none
                found[number] += others / comb(k, number) / (MOST + 1) / len(COLOURS)
    return found / found.sum()


def _counted(
    colour: Int64[np.ndarray, " n"],
    draw: Float64[np.ndarray, " n"],
    order: Int64[np.ndarray, "n k"],
    of_others: Float64[np.ndarray, "n k"],
) -> Int64[np.ndarray, "n k"]:
    """Return marks with 0 to ``MOST`` rings of one colour; other digits have any other colour, or none."""
    count, k = order.shape
    number = (draw * (MOST + 1)).astype(np.int64)
    others = (of_others * len(COLOURS)).astype(np.int64)  # four choices: three colours, and none
    others = np.where(others >= colour[:, None], others + 1, others)
    marks = np.where(others == len(COLOURS), -1, others)
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.broadcast_to(np.arange(k), (count, k)), axis=1)
    return np.where(ranks < number[:, None], colour[:, None], marks)
