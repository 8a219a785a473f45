import math

import pytest
import torch

from foveate.errors import DataError, ShapeError
from foveate.models.segmentation.encnet import EncodingHead
from foveate.tasks.losses import presence

TARGETS = torch.tensor([[[0, 2], [2, 255]], [[1, 1], [1, 1]], [[255, 255], [255, 255]]])


def test_it_is_the_mean_over_known_images_and_classes():
    logits = torch.randn(3, 4, dtype=torch.float64)
    there = [[1, 0, 1, 0], [0, 1, 0, 0]]
    total = 0.0
    for row, truth in zip(logits.tolist(), there, strict=False):
        for x, t in zip(row, truth, strict=True):
            p = 1 / (1 + math.exp(-x))
            total -= math.log(p if t else 1 - p) / 8
    assert presence(logits, TARGETS).item() == pytest.approx(total)


def test_one_logit_is_of_the_second_of_two_classes():
    targets = TARGETS.where(TARGETS != 2, 0)
    logits = torch.tensor([[0.3], [-2.0], [1.0]])
    x = torch.tensor([0.3, 2.0])  # absent, present
    assert presence(logits, targets).item() == pytest.approx(torch.log1p(x.exp()).mean().item())


def test_nothing_known_is_0_and_teaches_nothing():
    logits = torch.randn(3, 4, requires_grad=True)
    presence(logits, torch.full_like(TARGETS, 255)).backward()
    assert not logits.grad.any()


def test_gradient_and_precision():
    logits = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: presence(x, TARGETS), logits)
    assert presence(logits.detach().bfloat16(), TARGETS).dtype == torch.float32


def test_the_head_of_encnet_learns_from_it():
    head = EncodingHead((16,), 4)
    presence(head([torch.rand(3, 16, 4, 4)])["presence"], TARGETS).backward()
    assert head.presence.weight.grad.abs().sum() > 0


def test_what_does_not_fit_is_refused():
    with pytest.raises(ShapeError, match=r"expected \(B, classes\)"):
        presence(torch.zeros(2, 4), TARGETS)
    with pytest.raises(DataError, match="hold 2, but there are logits for classes 0 to 1"):
        presence(torch.zeros(3, 2), TARGETS)
