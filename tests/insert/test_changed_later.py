"""The law of later changes: attention is still there, or a warning or an error names its site at once.

For every kind of host and every tool that people apply to a model after the insertion: in each run one of the
tools of each sort, in the gate every tool with a kind of host or two and every kind of host with some tools,
and all pairs in the nightly run.
"""

from __future__ import annotations

import functools
import warnings

import pytest
import torch
from torch import Tensor, nn

from foveate.errors import FoveateError, SiteWarning
from foveate.insert.inserted_parts import gate_parameters, inserted
from foveate.insert.surgery import bypass, insert
from foveate.mechanisms.base import Mechanism
from tests.insert.changers import CHANGING, HOSTS, KEEPING, Tool

IMAGES = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@functools.cache
def plain(kind: str) -> nn.Module:
    return HOSTS[kind][0]()


def opened(kind: str) -> nn.Module:
    attended = insert(plain(kind), HOSTS[kind][1], example=IMAGES)
    for gate in gate_parameters(attended):
        nn.init.ones_(gate)
    return attended.eval()


def titles(model: nn.Module) -> list[str]:
    return [slot.title for holder in inserted(model).values() for slot in holder.slots if slot.name]


def changed(tool: Tool, model: nn.Module) -> tuple[object, str]:
    """Return what a tool makes of a model, and what was said of its sites."""
    names = titles(model)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            made = tool(model, IMAGES)
        except (FoveateError, RuntimeError) as error:
            assert any(name in str(error) for name in names), error
            return None, str(error)
    said = [str(w.message) for w in caught if isinstance(w.message, SiteWarning)]
    assert all(any(name in text for name in names) for text in said)
    return made, " ".join(said)


def output(made: object) -> Tensor:
    return made if isinstance(made, Tensor) else made(IMAGES)


# Those that copy, wrap, replace, trace, run in parts, call functionally, change the weights.
QUICK = {
    *("freeze_norms", "replace_layers", "wrap_layers", "checkpoint_blocks", "run_in_parts"),
    *("call_functionally", "average", "weight_norm_and_back", "trace_symbolically", "prune_weights"),
}
MAY_LOSE = {"freeze_norms", "replace_layers"}  # they put other layers in, and a warning names the site


def pairs(tools: tuple[Tool, ...]) -> list[object]:
    """Return every tool with every kind of host: with norms in each gate, with most others nightly."""

    def marks(tool: int, host: int, kind: str) -> list[pytest.MarkDecorator]:
        if kind == "norm":
            return [] if tools[tool].__name__ in QUICK else [pytest.mark.slow]
        in_gate = (tool + host) % len(HOSTS) == 0
        return [pytest.mark.slow if in_gate else pytest.mark.nightly]

    return [
        pytest.param(tool, kind, id=f"{tool.__name__}-{kind}", marks=marks(m, n, kind))
        for m, tool in enumerate(tools)
        for n, kind in enumerate(HOSTS)
    ]


@pytest.mark.parametrize(("tool", "kind"), pairs(KEEPING))
def test_attention_is_there_or_its_site_is_named(tool: Tool, kind: str) -> None:
    model = opened(kind)
    before = model(IMAGES).detach()
    assert not torch.allclose(before, plain(kind)(IMAGES), atol=1e-4)
    made, said = changed(tool, model)
    assert not said or tool.__name__ in MAY_LOSE
    if not said:
        torch.testing.assert_close(output(made).detach(), before, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("tool", "kind"), pairs(CHANGING))
def test_every_mechanism_still_runs(tool: Tool, kind: str) -> None:
    model = opened(kind)
    count = len(titles(model))
    made, said = changed(tool, model)
    assert not said
    runs: list[nn.Module] = []
    for path, module in made.named_modules():
        if isinstance(module, Mechanism) and path.split(".")[-2] == "foveate":
            module.register_forward_hook(lambda module, args, output: runs.append(module))
    attended = output(made).detach()
    assert len(set(runs)) == count
    with bypass(made):
        assert not torch.allclose(attended, output(made), atol=1e-4)
