"""No option is ignored; a mechanism's file says what it is; mistakes are explained."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import get_type_hints

import pytest
import torch
from torch import Tensor, nn

from foveate.errors import FoveateError, OptionError, ShapeError
from foveate.mechanisms import mechanisms
from foveate.mechanisms.base import Mechanism, options_of
from foveate.mechanisms.header import header
from tests.contracts.contract import (
    EVERY,
    NAMES,
    ask,
    builds,
    inputs,
    loss,
    needed,
    new,
    redraw,
    tokens,
    told,
)
from tests.shape_checks import states_shape

HOME = Path(inspect.getfile(Mechanism)).parent
SHARED = ("kernels", "reading", "selecting")  # what several mechanisms compute with


def test_variants_cover_every_option() -> None:
    for name in NAMES:
        options = options_of(mechanisms[name])
        free = set(options) - set(needed(name))
        assert free <= set(mechanisms[name].variants) <= set(options), name
        assert all(options[o] != value for o, value in mechanisms[name].variants.items()), name


@EVERY
def test_no_option_is_ignored(name: str) -> None:
    plain = new(name, jitter=False).state_dict()
    shapes = {k: v.shape for k, v in plain.items()}
    for options in builds(name)[1:]:
        state = new(name, jitter=False, **options).state_dict()
        same = shapes == {k: v.shape for k, v in state.items()}
        if same and all(torch.equal(v, plain[k]) for k, v in state.items()):
            with told(options):
                assert changes_output(name, options), "it changes neither output nor state"


def changes_output(name: str, options: dict[str, object]) -> bool:
    plain, other = new(name), new(name, **options)
    look = pooled_and_slope if plain.interface == "select" else ask
    pairs = [[look(m.train(t), inputs(m)) for m in (plain, other)] for t in (False, True, False)]
    return any(a.shape != b.shape or not torch.allclose(a, b) for a, b in pairs)


def pooled_and_slope(module: Mechanism, tensors: tuple[Tensor, ...]) -> Tensor:
    """Return what a selection pools, and the slopes that it learns from."""
    redraw()
    found = module.select(*tensors)
    values = found.patches.flatten(2) if found.features is None else found.features
    pooled = module.pool(values, found.weights)
    learnt = list(module.parameters()) if pooled.requires_grad else []
    slopes = torch.autograd.grad(loss(pooled), learnt, allow_unused=True) if learnt else ()
    return torch.cat([x.flatten() for x in (pooled, *slopes) if x is not None]).detach()


@EVERY
def test_wrong_options_are_refused_by_name(name: str) -> None:
    with pytest.raises(OptionError, match="wdth") as caught:
        new(name, wdth=3)
    assert all(option in str(caught.value) for option in options_of(mechanisms[name]))
    wrong = {int: -1, str: "no such value"}
    for option, default in {**options_of(mechanisms[name]), **needed(name)}.items():
        if type(default) in wrong:
            with pytest.raises(OptionError, match=option):
                new(name, **{option: wrong[type(default)]})
    for channels in (0, -4, 2.5, "64"):
        with pytest.raises(OptionError, match="channels"):
            new(name, channels)


@EVERY
def test_is_built_where_and_as_asked(name: str) -> None:
    for options in builds(name):
        module = new(name, jitter=False, device="meta", dtype=torch.bfloat16, **options)
        tensors = [*module.parameters(), *module.buffers()]
        assert all(t.device.type == "meta" for t in tensors), options
        assert all(t.dtype == torch.bfloat16 for t in tensors if t.is_floating_point()), options
    module, twin = new(name, jitter=False, device="cpu", dtype=torch.float64), new(name, jitter=False)
    pairs = zip(module.state_dict().values(), twin.state_dict().values(), strict=True)
    assert all(torch.equal(a, b.to(a.dtype)) for a, b in pairs), "other draws than those of float32"
    assert all(t.dtype == torch.float64 for t in module.state_dict().values() if t.is_floating_point())


@pytest.mark.parametrize(
    "placed", [{"device": "gpu"}, {"device": 3.5}, {"dtype": "float16"}, {"dtype": torch.int64}], ids=str
)
def test_no_device_and_no_type_is_explained(placed: dict[str, object]) -> None:
    (option,) = placed
    with pytest.raises(OptionError, match=f"{option}: got"):
        new("se", **placed)


# The file (parity is each mechanism's own test)


@pytest.mark.parametrize("name", NAMES)
def test_the_file_says_what_it_is(name: str) -> None:
    cls = mechanisms[name]
    entries = header(cls)
    assert Path(inspect.getfile(cls)).stem == name
    assert not hasattr(nn.Module, name), "a child of this name would hide a method of its parent"
    assert entries.keys() == {"Summary", "Formula", "Paper", "Shapes", "Cost", "Differs"}
    assert all(entries.values())
    assert ">>> " in (cls.__doc__ or ""), "an example, which test_doctests.py runs"
    assert all(f"{option}:" in (cls.__doc__ or "") for option in ["channels", *options_of(cls)])


def test_states_the_shapes_of_what_it_takes_and_returns() -> None:
    """Every call in these tests is held against them: ``tests/shape_checks.py``."""
    for name in NAMES:
        hints = get_type_hints(inspect.unwrap(mechanisms[name].forward))
        assert "return" in hints and len(hints) > 1, name
        assert all(states_shape(hint) for hint in hints.values()), name


def test_every_file_is_in_the_table_of_contents() -> None:
    files = {path.stem: path.parent.name for path in HOME.glob("*/*.py") if path.stem != "__init__"}
    files = {stem: room for stem, room in files.items() if room not in SHARED}
    assert files.keys() == set(NAMES)
    tree = ast.parse((HOME / "__init__.py").read_text())
    listed = {
        alias.name: node.module
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    for stem, family in files.items():
        assert listed[stem] == f"foveate.mechanisms.{family}"


# Mistakes


@EVERY
def test_wrong_inputs_are_explained(name: str) -> None:
    module = new(name)
    tensors = inputs(module)
    changes: list[Callable[[Tensor], Tensor]] = [
        lambda t: t[0],
        lambda t: torch.zeros_like(t, dtype=torch.uint8),
        (lambda t: t[..., :8]) if module.interface == "read" else (lambda t: t[:, :8]),
    ]
    if module.interface in ("refine", "pool", "label"):
        changes.append(tokens)
    for change in changes:
        for position, x in enumerate(tensors):
            wrong = [*tensors[:position], change(x), *tensors[position + 1 :]]
            came = [
                str(tuple(wrong[position].shape)),
                str(wrong[position].dtype),
                str(wrong[position].shape[1]),
            ]
            with pytest.raises(ShapeError) as caught:
                module(wrong) if module.interface == "fuse" else module(*wrong)
            assert any(word in str(caught.value) for word in came), "what came is not said"
            expected = x.shape[-1] if module.interface == "read" else x.shape[1]
            assert str(expected) in str(caught.value), "what was expected is not said"
            assert isinstance(caught.value, FoveateError)
