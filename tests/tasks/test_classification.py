import math
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from foveate.errors import DataError, OptionError, ShapeError, UnknownNameError
from foveate.models.outputs import main_output
from foveate.tasks import tasks

TASK = tasks["classification"]()


@dataclass(frozen=True)
class Some:
    images: torch.Tensor
    targets: torch.Tensor


def some(*targets: int) -> Some:
    return Some(torch.zeros(len(targets), 3, 8, 8), torch.tensor(targets))


LOGITS = torch.tensor([[2.0, 1.0, 0.0], [0.0, 3.0, -1.0]])


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_loss_is_the_cross_entropy_written_out(smoothing):
    expected = 0.0
    for row, target in zip(LOGITS.tolist(), (1, 1), strict=True):
        total = sum(math.exp(value) for value in row)
        for k, value in enumerate(row):
            wanted = smoothing / 3 + (1 - smoothing) * (k == target)
            expected -= wanted * math.log(math.exp(value) / total) / 2
    assert TASK.loss_of(LOGITS, some(1, 1), label_smoothing=smoothing).item() == pytest.approx(
        expected, rel=1e-5
    )


def test_record_is_one_where_right_and_their_mean_the_accuracy():
    assert TASK.record(LOGITS, some(0, 2)).tolist() == [1.0, 0.0]
    assert TASK.value(np.array([1.0, 0.0, 0.0, 1.0])) == 0.5 and TASK.metric.averages
    assert (TASK.metric.name, TASK.metric.scale, TASK.metric.higher_is_better) == ("accuracy", 100.0, True)


def test_class_weights_are_those_of_the_cross_entropy():
    weights = [1.0, 2.0, 5.0]
    weighted = tasks["classification"](["a", "b", "c"], class_weights=weights)
    expected = torch.nn.functional.cross_entropy(LOGITS, torch.tensor([0, 2]), weight=torch.tensor(weights))
    torch.testing.assert_close(weighted.loss_of(LOGITS, some(0, 2)), expected)


def test_what_a_class_an_image_cannot_have_is_refused():
    with pytest.raises(OptionError, match="the only one"):
        tasks["classification"](["a", "b"], loss="dice")
    with pytest.raises(UnknownNameError, match=r'called "miou".*balanced_accuracy'):
        tasks["classification"](["a", "b"], metric="miou")
    with pytest.raises(OptionError, match="every answer would be correct"):
        tasks["classification"](["a", "b"], metric="top_5")


def test_a_batch_of_classes_that_weigh_nothing_has_no_gradient():
    logits = LOGITS.clone().requires_grad_()
    loss = tasks["classification"](["a", "b", "c"], class_weights=[0.0, 1.0, 1.0]).loss_of(logits, some(0, 0))
    loss.backward()
    assert loss == 0 and not logits.grad.any()


def test_predictions_are_probabilities_in_full_precision():
    found = TASK.probabilities(LOGITS.bfloat16())
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.sum(1), torch.ones(2))
    assert found[0, 0].item() == pytest.approx(math.e**2 / (math.e**2 + math.e + 1), rel=1e-5)


@pytest.mark.parametrize(
    "outputs",
    [LOGITS, {"out": LOGITS, "aux": None}, {"logits": LOGITS}, SimpleNamespace(logits=LOGITS, aux_logits=1)],
)
def test_logits_are_found_in_what_models_return(outputs):
    assert main_output(outputs) is LOGITS


@pytest.mark.parametrize("outputs", [None, {"other": LOGITS}, (LOGITS,), {"out": 3}])
def test_outputs_without_logits_are_refused(outputs):
    with pytest.raises(ShapeError, match=f"returned a {type(outputs).__name__}.*Wrap the model"):
        main_output(outputs)


def test_targets_are_checked_against_the_outputs():
    TASK.check_outputs(LOGITS, np.array([0, 2]))
    with pytest.raises(DataError, match=r"targets go from 0 to 3, but the model has 3 outputs.*classes=4"):
        TASK.check_outputs(LOGITS, np.array([0, 3]))
    with pytest.raises(DataError, match="targets go from -1 to 2"):
        TASK.check_outputs(LOGITS, np.array([-1, 2]))
    with pytest.raises(ShapeError, match=r"\(2, 3, 4, 4\), expected \(B, classes\)"):
        TASK.check_outputs(torch.zeros(2, 3, 4, 4), np.array([0]))
