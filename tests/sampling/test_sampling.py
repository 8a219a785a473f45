"""Noise, goals and sheets."""

import numpy as np
import pytest
import torch

import foveate as fv
from foveate.data.posed.posed_data import PoseColumn
from foveate.sampling.goals import read_goals
from foveate.sampling.noise import draw_noise, on_the_way
from foveate.sampling.picture_sheet import as_pictures, sheet

ANGLE = PoseColumn("angle", True, -45, 45)
HEIGHT = PoseColumn("height", False, 0, 10)
CLASSES = ("cat", "dog", "cow")


def test_noise_follows_from_its_seed_and_a_longer_row_begins_with_a_shorter_one():
    assert torch.equal(draw_noise(3, 5, seed=1), draw_noise(7, 5, seed=1)[:3])
    assert not torch.equal(draw_noise(3, 5, seed=1), draw_noise(3, 5, seed=2))
    noise = draw_noise(400, 50, seed=0)
    assert abs(float(noise.mean())) < 0.03
    assert abs(float(noise.std()) - 1) < 0.03


def test_truncated_noise_has_the_deviation_of_a_truncated_normal():
    from scipy.stats import truncnorm

    noise = draw_noise(400, 50, seed=0, truncation=0.7)
    assert noise.abs().max() <= 0.7
    assert float(noise.std()) == pytest.approx(truncnorm(-0.7, 0.7).std(), rel=0.03)
    with pytest.raises(fv.FoveateError, match="truncation: got 0"):
        draw_noise(1, 5, seed=0, truncation=0)


def test_the_way_between_two_noises_keeps_their_length():
    first, last = draw_noise(2, 100, seed=0)
    way = on_the_way(first, last, 5)
    torch.testing.assert_close(way[0], first)
    torch.testing.assert_close(way[-1], last)
    lengths = way.norm(dim=1)
    torch.testing.assert_close(lengths, torch.linspace(float(first.norm()), float(last.norm()), 5))
    torch.testing.assert_close(on_the_way(first, 2 * first, 3)[1], 1.5 * first)


def test_goals_are_read_from_words():
    goals = read_goals(CLASSES, [ANGLE, HEIGHT], 2, label="dog", pose="30,5")
    assert np.allclose(goals.conditions, [[0, 1, 0, 0.5, np.sqrt(0.75), 0]] * 2, atol=1e-6)
    assert goals.names == ("class dog, angle 30, height 5",) * 2
    assert not goals.moves
    assert np.array_equal(
        read_goals(CLASSES, [ANGLE, HEIGHT], 2, label=1, pose=[30, 5]).conditions, goals.conditions
    )
    turned = read_goals(CLASSES, [ANGLE], 5, label="1:2", pose="-45:45")
    assert turned.moves
    assert np.allclose(turned.conditions[2], [0, 0.5, 0.5, 0, 1])
    assert read_goals(CLASSES, [], 4).conditions.argmax(1).tolist() == [0, 1, 2, 0]
    drawn = [read_goals((), [ANGLE], 50, seed=seed).conditions for seed in (0, 0, 1)]
    assert np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])
    assert abs(np.rad2deg(np.arcsin(drawn[0][:, 0]))).max() <= 45


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"label": "cart"}, "--class cart: this model has no such class. .*Nearest: cat"),
        ({"label": 3}, "from 0 to 2"),
        ({"label": "0:9"}, "--class 9"),
        ({"pose": "up"}, "--pose up: expected numbers for angle"),
        ({"pose": "1,2"}, "got 2 numbers, expected one for each of angle"),
        ({"pose": 90}, "angle 90 is outside of what training showed, -45 to 45"),
    ],
)
def test_goals_that_nobody_can_answer(asked, said):
    with pytest.raises(fv.FoveateError, match=said):
        read_goals(CLASSES, [ANGLE], 4, **asked)


def test_a_model_without_goals_says_so():
    with pytest.raises(fv.FoveateError, match="trained without classes"):
        read_goals((), [ANGLE], 4, label=3)
    with pytest.raises(fv.FoveateError, match="trained without a pose"):
        read_goals(CLASSES, [], 4, pose=3)


def test_pictures_and_sheets():
    images = torch.stack([torch.full((3, 4, 4), value) for value in (-1.0, 0.0, 1.0)])
    pictures = as_pictures(images)
    assert pictures.shape == (3, 4, 4, 3)
    assert pictures[:, 0, 0, 0].tolist() == [0, 128, 255]
    assert as_pictures(images[:, :1]).shape == (3, 4, 4, 3)
    drawn = np.asarray(sheet(pictures, 2))
    step = 4 * 8 + 2
    assert drawn.shape == (2 * step + 2, 2 * step + 2, 3)
    assert [drawn[3, 3, 0], drawn[3, 3 + step, 0], drawn[3 + step, 3, 0]] == [0, 128, 255]
