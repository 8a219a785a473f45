"""The weights can be seen, are the ones that are used, and obey what the facets say."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor

from foveate.mechanisms import mechanisms
from foveate.mechanisms.base import Mechanism
from foveate.mechanisms.map_tap import MapTap
from tests.contracts.contract import (
    EVERY,
    NAMES,
    STEPS,
    ask,
    builds,
    each,
    inputs,
    modes,
    new,
    recording,
    size_for,
    taps,
    told,
)


@EVERY
def test_weights_are_seen_and_are_what_they_say_and_looking_changes_nothing(name: str) -> None:
    for options in builds(name):
        with told(options):
            check_recording(new(name, **options).double())


def check_recording(module: Mechanism) -> None:
    tensors = inputs(module, 2, 9, 12, dtype=torch.float64)
    for training in modes(module):
        plain = ask(copy.deepcopy(module).train(training), tensors)
        twin = copy.deepcopy(module).train(training)
        with recording(twin) as seen:
            output = ask(twin, tensors)
        torch.testing.assert_close(output, plain)
        assert seen.keys() == taps(twin).keys() != set()
        sizes = axis_sizes(twin, output)
        for path, weights in seen.items():
            check_weights(taps(twin)[path], weights, sizes)


def axis_sizes(module: Mechanism, output: Tensor) -> dict[str, int]:
    """Return how long the axes are whose length the call above decides."""
    space = size_for(module, 9, 12)
    sizes = {"b": 2, "n": math.prod(space), "t": STEPS, "q": output.shape[1], "1": 1}
    if module.interface == "select":  # what is weighed is an overview of the picture
        return {"b": 2, "t": module.count(*space), "x": 2}
    sizes |= dict(zip("dhw"[-len(space) :], space, strict=True))
    if module.interface in ("refine", "pool", "label"):
        sizes["c"] = 16
    elif module.interface == "fuse":
        sizes["s"] = len(module.widths)
    return sizes


def check_weights(tap: MapTap, weights: Tensor, sizes: dict[str, int]) -> None:
    axes = tap.axes.split()
    assert len(axes) == weights.ndim and axes[0] == "b"
    assert all(size == sizes.get(axis, size) for axis, size in zip(axes, weights.shape, strict=True))
    assert tap.low - 1e-6 <= weights.min() and weights.max() <= tap.high + 1e-6
    if tap.sums:
        total = weights.sum(dim=[axes.index(axis) for axis in tap.sums.split()])
        torch.testing.assert_close(total, torch.ones_like(total))


@EVERY
def test_the_weights_seen_are_the_weights_used(name: str) -> None:
    """What a tap returns is what the mechanism goes on with; a map only for show changes nothing."""
    module = new(name)
    tensors = inputs(module)
    with recording(module):
        plain = ask(module, tensors)
        for tap in taps(module).values():
            hook = tap.register_forward_hook(lambda _m, _i, out: torch.zeros_like(out))
            assert not torch.allclose(ask(module, tensors), plain)
            hook.remove()


@EVERY
def test_facets_agree_with_the_weights(name: str) -> None:
    letters = {
        "channels": "c",
        "positions": "hwnmp",
        "heads": "k",
        "classes": "q",
        "steps": "m",
        "patches": "t",
        **dict.fromkeys(("scales", "branches", "layers"), "s"),
    }
    cls = mechanisms[name]
    axes = {axis for tap in taps(new(name)).values() for axis in tap.axes.split()}
    for what in cls.facets.over:
        assert axes & set(letters[what]), f"says that it weighs {what}, but no map has such an axis"
    assert cls.facets.over and cls.facets.sites
    if cls.facets.weighting == "soft":
        ranges = [(tap.low, tap.high) for tap in taps(new(name)).values()]
        assert all(0 <= low <= high <= 1 or (low, high) == (-math.inf, math.inf) for low, high in ranges)


@pytest.mark.parametrize("name", each([name for name in NAMES if mechanisms[name].gate]))
def test_a_closed_gate_returns_the_input(name: str) -> None:
    assert mechanisms[name].interface == "refine"
    for training in (False, True):
        module = new(name, jitter=False).train(training)
        (x,) = inputs(module)
        assert not module.get_parameter(module.gate).any()
        assert torch.equal(module(x), x)
        module.get_parameter(module.gate).data += 0.5
        assert not torch.allclose(module(x), x), "the gate does not open"
