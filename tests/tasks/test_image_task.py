"""What training and judging see of a task on images, whichever it is."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from foveate.recipe import TrainConfig
from foveate.tasks import tasks
from foveate.tasks.image_task import ImageTask

INPUTS = {"classes": ("a", "b", "c"), "size": 8}
IMAGE_TASKS = [name for name in tasks if issubclass(tasks[name], ImageTask)]


def model(task):
    """A network that answers for three classes, one answer an image or one a pixel."""
    torch.manual_seed(0)
    layer = nn.Conv2d(3, 3, 1)
    return layer if tasks[task].truths[0] == "mask" else nn.Sequential(layer, nn.Flatten(), nn.Linear(192, 3))


def batch(task):
    draw = torch.Generator().manual_seed(1)
    shape = (4, 8, 8) if tasks[task].truths[0] == "mask" else (4,)
    return SimpleNamespace(
        images=torch.rand(4, 3, 8, 8, generator=draw), targets=torch.randint(0, 3, shape, generator=draw)
    )


@pytest.mark.parametrize("name", IMAGE_TASKS)
def test_judging_keeps_records_answers_and_the_loss_that_training_has(name):
    task, network, some = tasks[name].of(INPUTS), model(name), batch(name)
    outputs, judged = task.forward(network, some), task.judge(network, some)
    assert torch.equal(judged.records, task.record(outputs, some))
    assert torch.equal(judged.answers, task.answer(outputs))
    assert torch.equal(judged.loss, task.loss(network, some))
    assert len(judged.records) == len(judged.answers) == 4 and judged.loss.shape == ()


@pytest.mark.parametrize("name", [name for name in IMAGE_TASKS if tasks[name].truths[0] != "mask"])
def test_labels_are_smoothed_in_training_and_not_in_judging(name):
    task = tasks[name].of(INPUTS, recipe=TrainConfig(label_smoothing=0.3))
    network, some = model(name), batch(name)
    outputs = task.forward(network, some)
    smooth = task.loss_of(outputs, some, label_smoothing=0.3)
    assert torch.equal(task.loss(network, some), smooth)
    assert not torch.equal(task.judge(network, some).loss, smooth)


@pytest.mark.parametrize("name", IMAGE_TASKS)
@pytest.mark.parametrize("size", [8, (8, 12), [8, 12]])
def test_inputs_that_came_back_from_json_mean_the_same(name, size):
    task = tasks[name].of({**INPUTS, "size": size, "normalisation": ((0.1,) * 3, (0.2,) * 3)})
    saved = {"mean": [0.1] * 3, "std": [0.2] * 3}
    again = tasks[name].of({"classes": ["a", "b", "c"], "size": list(task.size), "normalisation": saved})
    assert (again.size, again.classes, again.normalisation) == (task.size, task.classes, task.normalisation)
    assert torch.equal(again.example(3), task.example(3)) and task.example(3).shape == (3, 3, *task.size)
