"""Peaks worked out by hand: sizes in float32, so four bytes a number."""

import gc

import pytest
import torch
from torch import nn

from foveate.cost.memory import peak_memory
from foveate.errors import ShapeError

X = torch.zeros(2, 4)


@pytest.fixture(scope="module", autouse=True)
def what_is_there_already_is_left_out():
    """Keep the collector of cycles, which every measurement runs, from what other tests left."""
    gc.freeze()


def test_output_of_one_layer():
    assert peak_memory(nn.Linear(4, 8), X, training=False) == 4 * 2 * 8


def test_chain_holds_two_neighbours():
    # x -> 8 -> 16 -> 2: at most two neighbouring maps live at once, and the input is not ours.
    model = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 16), nn.Linear(16, 2))
    assert peak_memory(model, X, training=False) == 4 * 2 * (8 + 16)


def test_branch_keeps_its_input_alive():
    class Branch(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Linear(4, 10), nn.Linear(10, 20), nn.Linear(20, 10)

        def forward(self, x):
            kept = self.a(x)
            return self.c(self.b(kept)) + kept

    # kept 10, b's 20 and c's 10 are alive together; then the sum comes while b's is gone.
    assert peak_memory(Branch(), X, training=False) == 4 * 2 * (10 + 20 + 10)


def test_views_and_in_place_results_are_not_counted_twice():
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(inplace=True), nn.Unflatten(1, (2, 4)), nn.Flatten())
    assert peak_memory(model, X, training=False) == 4 * 2 * 8


def test_batch_counts():
    model = nn.Linear(4, 8)
    assert peak_memory(model, torch.zeros(10, 4), training=False) == 5 * peak_memory(model, X, training=False)


def test_training_keeps_activations_and_makes_gradients():
    model = nn.Sequential(nn.Linear(4, 8, bias=False), nn.Linear(8, 2, bias=False))
    # Backward of the second layer: hidden 2x8, output 2x2, its gradient 2x2, the gradients of the hidden map
    # 2x8 and of the weight 2x8. Backward of the first: the weight gradients 2x8 + 8x4 and the hidden map's
    # gradient 2x8.
    second = 2 * 8 + 2 * 2 + 2 * 2 + 2 * 8 + 2 * 8
    peak = peak_memory(model, X, training=True)
    assert peak >= 4 * second
    assert peak <= 4 * (second + 8 * 4)
    assert peak > peak_memory(model, X, training=False)


def test_frozen_parameters_get_no_gradient():
    model = nn.Sequential(nn.Linear(64, 64, bias=False), nn.Linear(64, 2, bias=False))
    full = peak_memory(model, torch.zeros(1, 64), training=True)
    model[0].requires_grad_(False)
    assert peak_memory(model, torch.zeros(1, 64), training=True) <= full - 4 * 64 * 64


def test_the_same_number_every_time():
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Dropout(), nn.Conv2d(8, 4, 3), nn.Flatten()
    )
    x = torch.randn(3, 3, 16, 16)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    for training in (False, True):
        assert len({peak_memory(model, x, training=training) for _ in range(2)}) == 1
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


def test_a_step_without_gradient_is_refused():
    with pytest.raises(ShapeError, match="requires_grad"):
        peak_memory(nn.Linear(4, 2).requires_grad_(False), X, training=True)
