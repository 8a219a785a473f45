"""Scenes with questions: deterministic, true, balanced; and what blind models can reach, by enumeration."""

import itertools

import numpy as np
import pytest
from scipy.stats import chisquare

from foveate.data.questions.open_scene_questions import open_scene_questions, scene_pictures
from foveate.data.questions.scene_layouts import (
    ANSWERS,
    CHANCES,
    COLOURS,
    FAMILIES,
    SIDES,
    SceneQuestionOptions,
    posterior,
    scene_questions,
)
from foveate.data.scenes.scene_paint import MARK, OTHER_MARKS
from foveate.errors import OptionError

MANY = 6000
SETS = [SceneQuestionOptions(), SceneQuestionOptions(digits=9, size=48)]


@pytest.fixture(scope="module", params=SETS, ids=["four", "nine"])
def asked(request):
    return request.param, scene_questions(request.param, "train", 0, MANY)


def truth(digits, marks, text):
    """Answer a question by its words, from the digits and colours of a grid."""
    grid = int(len(digits) ** 0.5)
    at = {COLOURS[mark]: place for place, mark in enumerate(marks) if mark >= 0}
    words = text.rstrip("?").split()
    named = [word for word in words if word in COLOURS]
    if text.startswith("how many"):
        return str(sum(mark == COLOURS.index(named[0]) for mark in marks))
    if text.startswith("is the digit"):
        return "yes" if digits[at[named[0]]] > digits[at[named[1]]] else "no"
    row, column = divmod(at[named[0]], grid)
    side = next((side for side in SIDES if f" {side} " in text), None)
    down, across = SIDES.get(side, (0, 0))
    return str(digits[(row + down) * grid + column + across])


def test_the_answers_are_true(asked):
    options, plan = asked
    for item in range(1500):
        expected = truth(plan.digits[item].tolist(), plan.marks[item].tolist(), plan.question(item))
        assert ANSWERS[plan.answer[item]] == expected
        assert len({*plan.digits[item].tolist()}) == options.digits


def test_an_item_depends_on_its_number_alone():
    few, many = (open_scene_questions(train=n, val=0, test=5).splits["train"] for n in (20, 300))
    assert few.questions == many.questions[:20]
    assert few.answers == many.answers[:20]
    np.testing.assert_array_equal(few.pictures.load(13), many.pictures.many(0, 300)[13])
    other = open_scene_questions(train=20, val=0, test=5, seed=1)
    assert other.splits["train"].questions != few.questions
    assert other.fingerprint != open_scene_questions(train=20, val=0, test=5).fingerprint


def test_a_question_alone_tells_nothing(asked):
    """Given the words of a question, all its answers are equally frequent."""
    _, plan = asked
    for number, family in enumerate(FAMILIES):
        some = np.flatnonzero(plan.family == number)
        assert len(some) > MANY / 5
        values = plan.answer[some] - (10 if family == "compared" else 0)
        answers = round(1 / CHANCES[family])
        for colour in range(len(COLOURS)):
            counts = np.bincount(values[plan.colour[some] == colour], minlength=answers)
            assert len(counts) == answers
            assert chisquare(counts).pvalue > 1e-4, (family, colour)


def test_the_caps_of_four_digits():
    """Each colour once: one of four rings, one of four neighbours, larger or smaller."""
    caps = {cap.family: cap for cap in open_scene_questions(train=1, val=0, test=2000).caps}
    for family, cap in (("marked", 1 / 4), ("related", 1 / 4), ("compared", 1 / 2)):
        assert caps[family].goal_blind == pytest.approx(cap)
        assert caps[family].picture_blind == CHANCES[family]
    assert caps["counted"].goal_blind == pytest.approx(counted_cap(), abs=0.02)
    assert caps[""].goal_blind < np.mean([caps[family].goal_blind for family in FAMILIES])


def counted_cap():
    """Return what the best guess reaches, by all ways to give four digits a colour or none."""
    total = 0.0
    for marks in itertools.product(range(-1, 4), repeat=4):
        joint = np.zeros(5)
        for colour in range(4):  # drawn first, then the number, the places, and the others' colours
            number = marks.count(colour)
            places = {0: 1, 1: 4, 2: 6, 3: 4, 4: 1}[number]
            joint[number] += 1 / 4 / 5 / places / 4 ** (4 - number)
        total += joint.max()
    return total


def test_the_posterior_is_bayes_rule(asked):
    """Of many scenes whose best guess has probability p, that guess is right in about p of them."""
    _, plan = asked
    guesses = [
        posterior(plan.digits[item], plan.marks[item], FAMILIES) for item in range(MANY)
    ]  # which sum to 1
    assert all(guess.sum() == pytest.approx(1) for guess in guesses)
    right = np.array([guess.argmax() == answer for guess, answer in zip(guesses, plan.answer, strict=True)])
    sure = np.array([guess.max() for guess in guesses])
    spread = np.sqrt((sure * (1 - sure)).sum()) / MANY
    assert abs(right.mean() - sure.mean()) < 4 * spread


def test_it_is_said_where_to_look():
    split = open_scene_questions(train=200, val=0, test=1, families="marked+counted").splits["train"]
    colours = dict(zip(COLOURS, (MARK, *OTHER_MARKS), strict=True))
    for item in range(60):
        words = split.questions[item].rstrip("?").split()
        colour = next(colour for name, colour in colours.items() if name in words)
        mask, image = split.look(item), split.pictures.load(item).astype(int)
        near = np.abs(image - np.array(colour)).max(axis=2) < 30
        count = int(split.answers[item][0]) if split.families[item] == "counted" else 1
        assert (near & mask).sum() >= 20 * count
        assert (near & ~mask).sum() < 20  # less than a ring: a stroke may be as cyan
        assert mask.any() == (count > 0)


def test_the_neighbour_is_where_to_look():
    split = open_scene_questions(train=50, val=0, test=1, families="related").splits["train"]
    plan = scene_questions(SceneQuestionOptions(families="related"), "train", 0, 50)
    for item in range(50):
        place = plan.digits[item].tolist().index(int(split.answers[item][0]))
        top, left = plan.tops[item, place], plan.lefts[item, place]
        rows, columns = np.nonzero(split.look(item))
        assert (rows.min(), columns.min()) == (top, left)


def test_pictures_do_not_tell_the_family():
    """Pictures of marked, related and compared questions are drawn alike, whatever is asked."""
    one, other = (SceneQuestionOptions(families=name) for name in ("marked", "compared"))
    np.testing.assert_array_equal(scene_pictures(one, "val", 0, 5), scene_pictures(other, "val", 0, 5))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"families": "seen"}, 'families="seen"'),
        ({"families": "marked+marked"}, "each once"),
        ({"digits": 5}, "digits=5"),
        ({"digits": 9, "size": 32}, "size=32"),
        ({"train": 0}, "train=0"),
        ({"colour": 3}, "colour"),
    ],
)
def test_impossible_options_are_told(options, text):
    with pytest.raises(OptionError, match=text):
        open_scene_questions(**options)
