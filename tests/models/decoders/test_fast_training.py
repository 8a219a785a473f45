"""What makes training fast has the plain formula's values and gradients."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from foveate.mechanisms.kernels.scored_tanh import tanh_of_sum
from foveate.models.decoders.rows import Rows
from foveate.models.decoders.shared_tensor import shared_mean
from foveate.models.decoders.spread_linear import spread_linear
from foveate.models.decoders.word_cross_entropy import word_cross_entropy
from foveate.models.decoders.word_model import word_loss


def gradients(value, *tensors):
    """Return a value and its gradients, with a weight for each number so that none can hide."""
    weights = torch.arange(1.0, value.numel() + 1, dtype=value.dtype).reshape(value.shape).sin()
    return value, *torch.autograd.grad((value * weights).sum(), tensors, retain_graph=True)


def drawn(*shape):
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("padded", [0, 1, 12])
def test_the_loss_of_words_is_the_cross_entropy(smoothing, padded):
    logits, words = drawn(5, 4, 30), torch.randint(1, 30, (5, 4))
    words.view(-1)[:padded] = 0
    plain = F.cross_entropy(logits.flatten(0, 1), words.flatten(), ignore_index=0, label_smoothing=smoothing)
    ours = word_loss(logits, words, 0, label_smoothing=smoothing)
    torch.testing.assert_close(gradients(ours, logits), gradients(plain, logits), rtol=1e-12, atol=1e-15)


def test_the_gradient_of_a_large_vocabulary_is_that_of_its_blocks(monkeypatch):
    monkeypatch.setattr("foveate.models.decoders.word_cross_entropy.BLOCK", 40)  # rows two by two, then one
    logits, words = drawn(5, 20), torch.tensor([3, -1, 19, 0, 7])
    ours = word_cross_entropy(logits, words, ignored=-1, label_smoothing=0.2)
    plain = F.cross_entropy(logits, words, ignore_index=-1, label_smoothing=0.2)
    torch.testing.assert_close(gradients(ours, logits), gradients(plain, logits), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("lengths", [(7, 8, 8), (1, 8, 2), (8, 8, 8)])  # few gaps, many, none
@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_whose_rows_are_spread_is_the_layer_and_then_zeros(lengths, bias):
    there = torch.arange(8) < torch.tensor(lengths).unsqueeze(1)
    layer = nn.Linear(6, 9, bias=bias).double()
    rows, x = Rows(3, 8, there), drawn(3, 8, 6)
    expected = layer(x) * there.unsqueeze(2)
    found = spread_linear(rows, layer, rows.packed(x))
    tensors = (x, *layer.parameters())
    torch.testing.assert_close(gradients(found, *tensors), gradients(expected, *tensors))


def test_means_that_steps_take_of_a_memory_add_up_to_its_gradient():
    memory, weights = drawn(3, 4, 2), [drawn(count, 1, 4) for count in (3, 3, 1)]
    mean = shared_mean(memory * 1.0)
    ours = torch.cat([mean(step) for step in weights])
    plain = torch.cat([step @ memory[: len(step)] for step in weights])
    torch.testing.assert_close(gradients(ours, memory, *weights), gradients(plain, memory, *weights))


def test_the_tanh_of_sums_is_the_tanh():
    query, keys = drawn(2, 3, 5), drawn(2, 4, 5)
    expected = (query.unsqueeze(2) + keys.unsqueeze(1)).tanh()
    found = tanh_of_sum(query, keys)
    torch.testing.assert_close(gradients(found, query, keys), gradients(expected, query, keys))
    single = tanh_of_sum(query.float(), keys.float())
    torch.testing.assert_close(single.double(), expected, rtol=0, atol=2e-7)
    assert torch.autograd.gradgradcheck(tanh_of_sum, (query, keys))
