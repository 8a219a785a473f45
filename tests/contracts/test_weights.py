"""The weights can be seen, are the ones that are used, and obey what the facets say."""

from __future__ import annotations

import copy
import math

import torch

from foveate.mechanisms import mechanisms
from tests.contracts.contract import (
    EVERY,
    EVERY_BUILD,
    MODES,
    STEPS,
    ask,
    inputs,
    new,
    recording,
    size_for,
    taps,
)


@EVERY_BUILD
@MODES
def test_weights_are_seen_and_are_what_they_say(
    name: str, options: dict[str, object], training: bool
) -> None:
    module = new(name, **options).train(training)
    tensors = inputs(module)
    with recording(module) as seen:
        output = ask(module, tensors)
    space = size_for(module, 7, 5)
    sizes = {"b": 2, "n": math.prod(space), "t": STEPS, "q": output.shape[1], "1": 1}
    sizes |= dict(zip("dhw"[-len(space) :], space, strict=True))
    if module.interface in ("refine", "pool", "label"):
        sizes["c"] = 16
    elif module.interface == "fuse":
        sizes["s"] = len(module.widths)
    assert seen.keys() == taps(module).keys() != set()
    for path, weights in seen.items():
        tap = taps(module)[path]
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


@EVERY_BUILD
@MODES
def test_looking_changes_nothing(name: str, options: dict[str, object], training: bool) -> None:
    module = new(name, **options).double()
    tensors = inputs(module, 2, 9, 12, dtype=torch.float64)
    twin = copy.deepcopy(module)
    plain = ask(module.train(training), tensors)
    with recording(twin):
        torch.testing.assert_close(ask(twin.train(training), tensors), plain)


@EVERY
def test_facets_agree_with_the_weights(name: str) -> None:
    letters = {
        "channels": "c",
        "positions": "hwnmp",
        "heads": "k",
        "classes": "q",
        "steps": "m",
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


@EVERY
@MODES
def test_a_closed_gate_returns_the_input(name: str, training: bool) -> None:
    module = new(name, jitter=False).train(training)
    if module.gate is None or module.interface != "refine":
        return
    (x,) = inputs(module)
    assert not module.get_parameter(module.gate).any()
    assert torch.equal(module(x), x)
    module.get_parameter(module.gate).data += 0.5
    assert not torch.allclose(module(x), x), "the gate does not open"
