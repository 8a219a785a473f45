from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn

from foveate.explain.record import record, taps
from foveate.mechanisms import mechanisms
from foveate.mechanisms.base import build
from foveate.mechanisms.examples import call, example_inputs
from foveate.mechanisms.map_tap import MapTap
from tests.contracts.contract import each

PAIRWISE = {"first": "non_local", "second": "se"}


class Broken(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise RuntimeError("the model fails")


def model() -> nn.Module:
    torch.manual_seed(0)
    made = nn.Sequential()
    for path, name in PAIRWISE.items():
        made.add_module(path, build(name, 8))
    return made.eval()


def image() -> Tensor:
    return torch.randn(2, 8, 6, 4, generator=torch.Generator().manual_seed(1))


def hooks(module: nn.Module) -> int:
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return sum(len(getattr(part, kind)) for part in module.modules() for kind in kinds)


def recording(module: nn.Module) -> int:
    return sum(part.recording for part in module.modules() if isinstance(part, MapTap))


def untouched(module: nn.Module) -> bool:
    return hooks(module) == recording(module) == 0


def test_gives_the_weights_by_the_mechanisms_path() -> None:
    module = model()
    with record(module) as maps:
        assert dict(maps) == {}
        module(image())
        assert hooks(module) == recording(module) == 2
        assert {path: tuple(w.shape) for path, w in maps.items()} == {
            "first": (2, 24, 6),
            "second": (2, 8, 1, 1),
        }
    assert untouched(module)
    assert not any(weights.requires_grad for weights in maps.values())
    torch.testing.assert_close(maps["first"].sum(-1), torch.ones(2, 24))
    expected = module.second.excite(
        module.second.squeeze(image().mean((2, 3), keepdim=True)).relu()
    ).sigmoid()
    torch.testing.assert_close(maps["second"], expected)


def test_a_mechanism_with_several_maps_is_there_by_the_path_of_each() -> None:
    module = nn.ModuleDict({"a": build("dual", 8), "b": build("cbam", 8)})
    with record(module) as maps:
        module["b"](module["a"](image()))
    assert (
        set(maps)
        == {"a.position_map", "a.channel_map", "b.channel.map", "b.spatial.map"}
        == set(taps(module))
    )


def test_a_mechanism_by_itself() -> None:
    module = build("se", 8)
    with record(module) as maps:
        module(image())
    assert list(maps) == [""]


def test_a_model_without_mechanisms_has_nothing_to_record() -> None:
    module = nn.Conv2d(8, 8, 1)
    with record(module) as maps:
        module(image())
    assert not maps


@pytest.mark.parametrize("name", each(sorted(mechanisms)))
def test_every_mechanism_can_be_recorded(name: str) -> None:
    needed = {"label": {"classes": 3}, "gate": {"gating": 4}}
    module = build(name, 8, **needed.get(mechanisms[name].interface, {})).eval()
    given = list(example_inputs(module, 6, 4, batch=2).values())
    plain = call(module, given)
    with record(module) as maps:
        torch.testing.assert_close(call(module, given), plain, rtol=1e-5, atol=1e-5)
    assert set(maps) == set(taps(module)) != set()
    assert untouched(module)


def test_the_last_forward_pass_is_the_one_that_is_kept() -> None:
    module = model()
    with record(module) as maps:
        module(image())
        first = maps["second"].clone()
        module(2 * image())
    assert not torch.equal(maps["second"], first)


def test_nothing_remains_when_the_model_fails() -> None:
    module = nn.Sequential(build("se", 8), Broken())
    with pytest.raises(RuntimeError, match="the model fails"), record(module):
        module(image())
    assert untouched(module)


def test_nothing_remains_when_the_block_fails() -> None:
    module = model()
    with pytest.raises(ZeroDivisionError), record(module):
        1 / 0  # noqa: B018
    assert untouched(module)


def test_nothing_remains_when_a_generator_is_left_halfway() -> None:
    module = model()

    def looked() -> object:
        with record(module) as maps:
            yield maps
            raise AssertionError("never reached")

    walk = looked()
    next(walk)
    assert recording(module)
    walk.close()
    assert untouched(module)


def test_the_users_own_hooks_stay() -> None:
    module, called = model(), []
    module.first.map.register_forward_hook(lambda *_: called.append(1))
    with record(module):
        module(image())
    module(image())
    assert hooks(module) == 1 and len(called) == 1  # while nobody records, nothing flows through the tap


def test_recordings_can_be_nested() -> None:
    module = model()
    with record(module) as outer:
        with record(module) as inner:
            module(image())
        assert recording(module) == hooks(module) == 2
        module(2 * image())
    assert untouched(module)
    assert not torch.equal(outer["second"], inner["second"])
    with record(module) as outer, record(module.first) as part:
        module(image())
    assert torch.equal(part[""], outer["first"])
    assert untouched(module)


def test_modes_and_weights_are_left_alone() -> None:
    module = model()
    module.second.train()
    modes = [part.training for part in module.modules()]
    before = {key: value.clone() for key, value in module.state_dict().items()}
    with record(module):
        module(image())
        assert [part.training for part in module.modules()] == modes
    assert [part.training for part in module.modules()] == modes
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())


def test_gradients_flow_while_recording() -> None:
    module, x = model(), image().requires_grad_()
    with record(module):
        module(x).sum().backward()
    assert x.grad.any()


@pytest.mark.slow
def test_works_on_a_compiled_model_and_leaves_it_compiled() -> None:
    module, runs = model(), []

    def backend(graph: torch.fx.GraphModule, _inputs: list[Tensor]) -> object:
        return lambda *inputs: runs.append(1) or graph(*inputs)

    for compiled in (
        torch.compile(module, backend=backend),
        nn.Sequential(torch.compile(module, backend=backend)),
    ):
        runs.clear()
        with torch.no_grad():
            expected = compiled(image())
            before = len(runs)
            with record(compiled) as maps:
                torch.testing.assert_close(compiled(image()), expected)
            assert len(runs) == before > 0
            torch.testing.assert_close(compiled(image()), expected)
        assert len(runs) == 2 * before
        assert {path.removeprefix("0.") for path in maps} == {"first", "second"}
        assert untouched(module)


@pytest.mark.slow
def test_works_inside_a_compiled_part() -> None:
    module = model()
    module.first.compile(backend="eager")
    module(image())
    with record(module) as maps:
        module(image())
    assert set(maps) == {"first", "second"}
    torch._dynamo.reset()


@pytest.mark.slow
def test_does_not_import_the_compiler() -> None:
    """Importing it takes seconds, and nothing that was not compiled needs it."""
    code = (
        "import sys, torch\nfrom foveate.explain.record import record\n"
        "from foveate.mechanisms.channel.se import SqueezeExcitation\n"
        "m = SqueezeExcitation(8)\nwith record(m) as maps: m(torch.rand(1, 8, 2, 2))\n"
        "assert maps\nassert 'torch._dynamo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_costs_nothing_when_off() -> None:
    """Before, and after a recording: the same operators, and no more time than noise."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Operators(TorchDispatchMode):
        def __init__(self) -> None:
            super().__init__()
            self.names: list[str] = []

        def __torch_dispatch__(
            self, func: object, types: object, args: object = (), kwargs: object = None
        ) -> object:
            self.names.append(str(func))
            return func(*args, **(kwargs or {}))

    module, counted = model(), []
    for _ in range(2):
        with Operators() as operators:
            module(image())
        counted.append(operators.names)
        with record(module):
            module(image())
    assert counted[0] == counted[1]
    assert not any("softmax" in name for name in counted[0])  # the fused kernel
