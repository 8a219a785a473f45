"""A closed gate leaves the output as it was, whatever the mechanism behind it computes."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from foveate.insert.inserted_parts import gate_parameters, inserted
from foveate.insert.surgery import insert
from foveate.mechanisms import mechanisms
from tests.contracts.contract import each
from tests.insert.handwritten import Branches, randomise

SPECS = ["se@blocks.1", "position@blocks.1", "gc@before:head.0", "attention_pool@pool", "csra@output"]
REFINING = [name for name in sorted(mechanisms) if mechanisms[name].interface == "refine"]


@pytest.fixture
def example() -> Tensor:
    return torch.rand(2, 3, 32, 48, generator=torch.Generator().manual_seed(3))


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(1)
    return randomise(Branches()).eval()


def with_tools(specs: list[str], *tools: str) -> list[object]:
    """Return every spec with every tool; the compilers meet one spec in the gate, the others nightly."""

    def marks(spec: str, tool: str) -> list[pytest.MarkDecorator]:
        if tool == "eager":
            return []
        return [pytest.mark.slow if spec == SPECS[1] else pytest.mark.nightly]

    return [pytest.param(spec, tool, marks=marks(spec, tool)) for spec in specs for tool in tools]


def breaking(attended: nn.Module, *more: float) -> nn.Module:
    """Let what was inserted return NaN and infinities in places, and ``more`` behind an outer gate."""
    holder, slot = next((h, s) for h in inserted(attended).values() for s in h.slots if s.name)

    def broken(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        place = torch.arange(output.numel()).view(output.shape) % 8
        values = (math.nan, math.inf, -math.inf, *(more if slot.gate else ()))
        for at, value in enumerate(values):
            output = output.masked_fill(place == at, value)
        return output

    holder.get_submodule(slot.name).register_forward_hook(broken)
    return attended


def by(tool: str, model: nn.Module, example: Tensor) -> Callable[[Tensor], Tensor]:
    if tool == "compiled":
        torch._dynamo.reset()
        return torch.compile(model, backend="aot_eager", fullgraph=True)
    return torch.export.export(model, (example,)).module() if tool == "exported" else model


@pytest.mark.parametrize(("spec", "tool"), with_tools(SPECS, "eager", "compiled", "exported"))
def test_a_closed_gate_hides_what_is_not_finite(
    model: nn.Module, example: Tensor, spec: str, tool: str
) -> None:
    attended = breaking(insert(model, spec, example=example), torch.finfo(torch.float32).max)
    with torch.no_grad():
        assert torch.equal(by(tool, attended, example)(example), model(example))
        (gate,) = gate_parameters(attended)
        nn.init.constant_(gate, 0.1)
        assert not by(tool, attended, example)(example).isfinite().all(), "an open gate shows it"


@pytest.mark.parametrize(
    ("spec", "tool"), with_tools(["csra@output", "attention_pool@pool", "se@blocks.1"], "eager", "compiled")
)
def test_a_closed_gate_learns_from_what_is_finite(
    model: nn.Module, example: Tensor, spec: str, tool: str
) -> None:
    whole = insert(model, spec, example=example)
    slopes = []
    for attended in (whole, breaking(copy.deepcopy(whole))):
        (gate,) = gate_parameters(attended)
        by(tool, attended, example)(example).sum().backward()
        assert gate.grad is not None and gate.grad.isfinite().all() and gate.grad.any()
        slopes.append(gate.grad)
    assert not torch.equal(*slopes), "the broken half was not left out"


@pytest.mark.parametrize("spec", ["se@0", "position@0"])
def test_a_map_that_is_not_finite_itself_stays_what_it_was(spec: str) -> None:
    model = nn.Sequential(nn.Identity(), nn.ReLU())
    attended = insert(model, spec, example=torch.rand(1, 4, 5, 5))
    x = torch.rand(1, 4, 5, 5)
    x[0, 0, 0] = torch.tensor([math.nan, math.inf, -math.inf, 1.0, 2.0])
    assert torch.equal(attended(x).nan_to_num(7.0), model(x).nan_to_num(7.0))


class Loud(nn.Module):
    """A net whose map can be as large as that of a deep residual trunk in half precision."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.act, self.size = nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), 1.0

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.conv(x) * self.size)


@pytest.mark.parametrize("name", each(REFINING))
def test_attention_that_is_closed_leaves_a_loud_half_precision_net_alone(name: str) -> None:
    torch.manual_seed(0)
    model, x = Loud().eval().half(), torch.rand(1, 3, 9, 9, dtype=torch.float16)
    attended = insert(model, f"{name}@act", example=x)
    for size in (300.0, 12000.0, 30000.0):
        model.size = attended.size = size
        with torch.no_grad():
            expected = model(x)
            assert expected.isfinite().all() and torch.equal(attended(x), expected)
