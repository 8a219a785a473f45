from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from foveate.explain.effect import effect, looks
from foveate.mechanisms import mechanisms
from foveate.mechanisms.base import Mechanism, Refine, build
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.map_tap import MapTap
from tests.contracts.contract import each


class Planted(Refine):
    """Doubles the features of one corner, and says so."""

    facets = Facets(over=("positions",), driven_by="input", weighting="soft", sites=("features",))

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels, self.map = channels, MapTap("b 1 h w")

    def forward(self, x: Tensor) -> Tensor:
        gates = torch.zeros_like(x[:, :1])
        gates[:, :, 0, 0] = 1.0
        return x + x * self.map(gates)

    def cost(self, height: int, width: int) -> Cost:
        return Cost(0, 0, 0)


def image() -> Tensor:
    return torch.randn(2, 8, 6, 4, generator=torch.Generator().manual_seed(1))


def hooks(module: nn.Module) -> int:
    return sum(len(part._forward_hooks) for part in module.modules())


def test_shows_where_the_planted_mechanism_acts_and_how_much() -> None:
    change = effect(nn.Sequential(nn.Conv2d(8, 8, 1), Planted(8)), image())
    expected = torch.zeros(2, 6, 4)
    expected[:, 0, 0] = 1.0  # doubled: the change is as large as what was there
    assert list(change) == ["1"]
    torch.testing.assert_close(change["1"], expected)
    look = looks(nn.Sequential(nn.Conv2d(8, 8, 1), Planted(8)), image())
    torch.testing.assert_close(look["1"], expected)


def test_is_the_relative_norm_over_channels() -> None:
    module, x = build("se", 8).eval(), image()
    change = effect(nn.Sequential(module), x)["0"]
    for b in range(2):
        for i in range(6):
            for j in range(4):
                before, after = x[b, :, i, j], module(x)[b, :, i, j]
                expected = (after - before).square().sum().sqrt() / before.square().sum().sqrt()
                torch.testing.assert_close(change[b, i, j], expected.detach())


def test_a_mechanism_that_does_nothing_yet_has_no_effect() -> None:
    change = effect(nn.Sequential(build("dual", 8)), image())
    assert torch.equal(change["0"], torch.zeros(2, 6, 4))


def test_empty_positions_give_finite_numbers() -> None:
    x = image().relu()
    x[0], x[1, :, 2, 2] = 0, 0
    module = build("dual", 8)
    nn.init.ones_(module.gamma)
    change = effect(nn.Sequential(module), x)["0"]
    assert change.isfinite().all() and change[1, 2, 2] > 100


def test_what_the_model_does_in_place_afterwards_does_not_count() -> None:
    x = image()
    plain = effect(nn.Sequential(Planted(8)), x)["0"]
    torch.testing.assert_close(effect(nn.Sequential(Planted(8), nn.ReLU(inplace=True)), x)["0"], plain)


ON_MAPS = [name for name, cls in mechanisms.items() if cls.interface in ("refine", "pool", "label")]
ELSEWHERE = ("outlook", "pyramid_pool")  # weigh places in a window and regions, which are no positions


@pytest.mark.parametrize("name", each(ON_MAPS))
def test_every_mechanism(name: str) -> None:
    cls = mechanisms[name]
    module = nn.Sequential(build(name, 8, **({"classes": 3} if cls.interface == "label" else {})))
    change, look = effect(module, image()), looks(module, image())
    if cls.interface == "refine":
        assert {path: tuple(c.shape) for path, c in change.items()} == {"0": (2, 6, 4)}
    if "positions" in cls.facets.over and name not in ELSEWHERE:
        assert look and all(tuple(m.shape) == (2, 6, 4) and m.isfinite().all() for m in look.values())
    if cls.facets.over == ("channels",):
        assert not look


def test_parts_of_a_mechanism_are_not_told_apart() -> None:
    assert set(effect(nn.Sequential(build("cbam", 8)), image())) == {"0"}


def test_runs_in_eval_mode_without_gradients_and_leaves_the_model_as_it_was() -> None:
    module = nn.Sequential(nn.BatchNorm2d(8), build("non_local", 8), nn.Dropout(0.5))
    module[1].eval()
    modes = [part.training for part in module.modules()]
    before = {key: value.clone() for key, value in module.state_dict().items()}
    first, again = effect(module, image())["1"], effect(module, image())["1"]
    assert torch.equal(first, again) and not first.requires_grad
    assert [part.training for part in module.modules()] == modes
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())
    assert hooks(module) == 0


@pytest.mark.parametrize("run", [effect, looks])
def test_nothing_remains_when_the_model_fails(run: object) -> None:
    module = nn.Sequential(build("se", 8), nn.Linear(3, 3)).train()
    with pytest.raises(RuntimeError):
        run(module, image())
    assert hooks(module) == 0
    assert all(part.training for part in module.modules())
    assert not any(part.recording for part in module.modules() if isinstance(part, MapTap))


def test_works_on_a_compiled_model() -> None:
    module = nn.Sequential(Planted(8))
    compiled = torch.compile(module, backend="eager")
    compiled(image())
    assert torch.equal(effect(compiled, image())["0"], effect(module, image())["0"])
    torch._dynamo.reset()


def test_mechanism_is_what_is_hooked() -> None:
    assert isinstance(Planted(8), Mechanism)
