import pytest
import torch

from foveate.models.captioning.published_read import PublishedRead


@pytest.mark.parametrize("gate", ["none", "scalar", "vector"])
@pytest.mark.parametrize(("layers", "relu"), [(1, True), (1, False), (3, False)])
def test_its_parameters_are_those_of_the_closed_form(gate, layers, relu):
    read = PublishedRead(6, query=5, hidden=7, layers=layers, relu=relu, context_gate=gate)
    assert read.cost(2, 3).parameters == sum(parameter.numel() for parameter in read.parameters())


def test_its_formula():
    torch.manual_seed(0)
    read = PublishedRead(6, query=5, hidden=7, layers=2, relu=False, context_gate="none").double()
    query, memory = torch.rand(1, 2, 5).double(), torch.rand(1, 3, 6).double()
    context, weights = read(query, memory)
    for step in (0, 1):
        keys = [torch.tanh(read.deeper[0](read.of_place(place))) for place in memory[0]]
        scores = torch.cat([read.energy(torch.tanh(read.of_state(query[0, step]) + key)) for key in keys])
        torch.testing.assert_close(weights[0, step], scores.exp() / scores.exp().sum())
        torch.testing.assert_close(context[0, step], weights[0, step] @ memory[0])


def test_keys_made_before_give_the_same():
    read = PublishedRead(6, query=5, hidden=7, layers=2, relu=True, context_gate="scalar")
    query, memory, mask = (
        torch.rand(2, 3, 5),
        torch.rand(2, 4, 6),
        torch.tensor([[True] * 4, [True, False] * 2]),
    )
    for one, other in zip(
        read(query, memory, mask),
        read(query, memory * mask.unsqueeze(2), mask, keys=read.prepare(memory, mask)),
        strict=True,
    ):
        torch.testing.assert_close(one, other)
