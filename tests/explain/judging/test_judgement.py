"""What a user sees of a judgement."""

import json
import math

import numpy as np
import pytest
import torch
from torch import nn

from foveate.errors import UnknownNameError
from foveate.explain.judging.judge import judge
from tests.explain.judging.test_contract import drawn, judged, true_masks


@pytest.fixture(scope="module")
def found():
    oracle = true_masks() + 0.1 * drawn()
    masks = true_masks()
    masks[4] = False
    return judged(
        None, {"oracle": oracle, "noise": drawn()}, masks=masks, baselines=("random", "centre", "mask")
    )


def test_scores_by_metric_one_an_image_with_an_interval(found):
    assert [*found] == ["deletion", "insertion", "pointing", "energy"] and len(found) == 4
    scores = found["energy"]
    assert len(scores) == 5 and scores.low < scores.mean < scores.high and math.isnan(scores[4])
    assert np.asarray(scores).shape == (5,) and [*scores][:4] == scores.each[:4].tolist()
    assert found["energy", "oracle"] is scores and found["energy", "noise"].mean < scores.mean
    assert found["energy", "mask"].mean == 1.0
    with pytest.raises(UnknownNameError, match="energy"):
        found["enrgy"]
    with pytest.raises(UnknownNameError, match="oracle"):
        found["energy", "oracel"]


def test_the_upper_end_is_nothing_to_beat(found):
    assert {one.than for one in found.comparisons} == {"random", "centre"}
    assert [one.map for one in found.beats("centre", "energy")] == ["oracle", "noise"]
    assert found.beats("centre", "energy")[0].answer == "yes"


def test_the_text(found):
    text = str(found)
    assert "energy, oracle: better than the centre of the picture: yes, by" in text
    assert "pointing, oracle: left out: 1 of 5 pictures, empty mask." in text
    assert "(localisation; higher is better)" in text and "(faithfulness; lower is better)" in text
    assert len({len(row) for row in found.rows()}) == 1 and len(found.rows()) == 5


def test_plain_data_is_json(found):
    plain = json.loads(json.dumps(found.as_plain(), allow_nan=False))
    assert plain["scores"]["energy"]["oracle"]["each"][4] is None
    assert plain["comparisons"][0]["answer"] in ("yes", "no", "not decided")
    assert plain["scores"]["energy"]["oracle"]["mean"] == pytest.approx(found["energy"].mean)


def test_agreement_is_with_each_other_method():
    maps = drawn()
    found = judged("agreement", {"a": maps, "b": maps.exp(), "c": -maps})["agreement"]
    assert np.allclose(found.extra["with b"], 1) and np.allclose(found.extra["with c"], -1)
    assert np.allclose(found.each, 0)


def test_methods_of_explain_are_taken_by_name():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    )
    found = judge(
        model,
        torch.rand(3, 3, 12, 12),
        ["saliency", "hires_cam"],
        ["deletion(steps=4)", "sensitivity(draws=2)"],
    )
    assert found.maps == ("saliency", "hires_cam")
    assert np.isfinite(found["sensitivity(draws=2)", "saliency"].each).all()
    assert "gradient" not in found.scores["sensitivity(draws=2)"], "baselines are not made again"
