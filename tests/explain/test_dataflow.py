from __future__ import annotations

import torch
from torch import Tensor, nn

from foveate.explain.dataflow import dataflow
from foveate.mechanisms import mechanisms
from foveate.mechanisms.base import Refine, build
from foveate.mechanisms.facets import Facets
from foveate.mechanisms.map_tap import MapTap


def labels(name: str, **options: object) -> list[str]:
    return [step.label for step in dataflow(build(name, 16, **options), 6, 5)]


def test_the_steps_of_a_gate_in_the_order_of_the_formula() -> None:
    steps = dataflow(build("se", 16), 6, 5)
    assert [step.label for step in steps] == [
        "x",
        "mean",
        "squeeze: 1×1 convolution",
        "relu",
        "excite: 1×1 convolution",
        "sigmoid",
        "map: the weights, b c 1 1",
        "×",
    ]
    assert [step.inputs for step in steps] == [(), (0,), (1,), (2,), (3,), (4,), (5,), (0, 6)]
    assert [step.tap for step in steps].count(True) == 1
    assert steps[0].shape == steps[-1].shape == (16, 6, 5) and steps[1].shape == (16, 1, 1)


def test_weights_that_a_fused_kernel_hides_are_drawn() -> None:
    assert "softmax" in labels("multi_head")
    assert not any("softmax(q" in label for label in labels("multi_head"))


def test_parameters_are_named_and_dead_ends_are_left_out() -> None:
    class Odd(Refine):
        facets = Facets(over=("channels",), driven_by="input", weighting="soft", sites=("features",))

        def __init__(self) -> None:
            super().__init__()
            self.channels, self.gamma, self.map = 16, nn.Parameter(torch.ones(1)), MapTap("b c h w")

        def forward(self, x: Tensor) -> Tensor:
            x.exp()  # goes nowhere
            return (x.transpose(2, 3) * self.gamma).transpose(2, 3)

        cost = None

    Odd.__abstractmethods__ = frozenset()
    assert [step.label for step in dataflow(Odd(), 6, 5)] == ["x", "× gamma"]


def test_the_module_is_left_as_it_was() -> None:
    module = build("cbam", 16).train()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    dataflow(module, 6, 5)
    assert module.training and all(child.training for child in module.modules())
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())
    assert not any(child._forward_hooks or child._forward_pre_hooks for child in module.modules())
    assert not any(tap.recording for tap in module.modules() if isinstance(tap, MapTap))


def test_every_mechanism_has_a_flow_from_its_inputs_through_its_weights_to_its_result() -> None:
    needed = {"label": {"classes": 5}, "gate": {"gating": 8}}
    for name, cls in mechanisms.items():
        steps = dataflow(build(name, 16, **needed.get(cls.interface, {})), 6, 5)
        assert any(step.tap for step in steps), f"{name}: no weights are drawn"
        fed = {place for step in steps for place in step.inputs}
        assert fed == set(range(len(steps) - 1)), f"{name}: a step or an input leads nowhere"
