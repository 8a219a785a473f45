"""What one interface promises beyond what all do."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from foveate.errors import OptionError, ShapeError
from foveate.mechanisms import mechanisms
from tests.contracts.contract import GATING, NAMES, STEPS, image, inputs, new, promised, redraw

READS = [name for name in NAMES if mechanisms[name].interface == "read"]
FUSES = [name for name in NAMES if mechanisms[name].interface == "fuse"]
GATES = [name for name in NAMES if mechanisms[name].interface == "gate"]


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("name", READS)
def test_a_masked_memory_is_not_read(name: str, training: bool) -> None:
    module = new(name).double().train(training)
    query, memory = inputs(module, 3, dtype=torch.float64)
    mask = torch.rand(memory.shape[:2], generator=torch.Generator().manual_seed(3)) > 0.4
    mask[1] = False
    redraw()
    context, weights = module(query, memory, mask)
    assert not weights.masked_select(~mask.unsqueeze(1)).any()
    assert not context[1].any() and not weights[1].any()
    torch.testing.assert_close(weights[0].sum(dim=-1), torch.ones(STEPS, dtype=torch.float64))
    junk = torch.where(mask.unsqueeze(2), memory, torch.full_like(memory, 1e6))
    redraw()
    torch.testing.assert_close(module(query, junk, mask)[0], context)
    redraw()
    total = module(query.requires_grad_(), memory, mask)[0].sum()
    if total.requires_grad:  # what a hard read chose has no slope
        grads = torch.autograd.grad(total, query, allow_unused=True)
        assert grads[0] is None or grads[0].isfinite().all()


@pytest.mark.parametrize("name", READS)
def test_reading_without_a_mask_is_reading_all(name: str) -> None:
    module = new(name).double()
    query, memory = inputs(module, dtype=torch.float64)
    everything = torch.ones(memory.shape[:2], dtype=torch.bool)
    for masked, plain in zip(module(query, memory, everything), module(query, memory), strict=True):
        torch.testing.assert_close(masked, plain)


@pytest.mark.parametrize("name", READS)
def test_a_wrong_mask_is_explained(name: str) -> None:
    module = new(name)
    query, memory = inputs(module)
    for mask in (torch.ones(2, 34, dtype=torch.bool), torch.ones(2, 35)):
        with pytest.raises(ShapeError, match=r"mask.*\(2, 35\)"):
            module(query, memory, mask)


@pytest.mark.parametrize("name", READS)
def test_a_query_may_be_of_another_width(name: str) -> None:
    try:
        module = new(name, 16, query=24)
    except OptionError as error:
        assert "24" in str(error) and "query" in str(error)
        return
    context, weights = module(*inputs(module))
    assert context.shape == (2, STEPS, 16) and weights.shape == (2, STEPS, 35)


@pytest.mark.parametrize("name", FUSES)
def test_maps_of_other_sizes_are_resized_to_the_first(name: str) -> None:
    module = new(name).double()
    first, *others = inputs(module, dtype=torch.float64)
    coarse = [nn.functional.interpolate(x, (4, 3), mode="bilinear", antialias=False) for x in others]
    resized = [nn.functional.interpolate(x, (7, 5), mode="bilinear", antialias=False) for x in coarse]
    if not module.pooled:
        torch.testing.assert_close(module([first, *coarse]), module([first, *resized]))
    assert tuple(module([first, *coarse]).shape) == promised(module, (first,))


@pytest.mark.parametrize("name", FUSES)
def test_another_number_of_maps_is_explained(name: str) -> None:
    module = new(name)
    tensors = inputs(module)
    for wrong in (list(tensors[:-1]), [*tensors, tensors[0]], tensors[0]):
        with pytest.raises(ShapeError, match=f"list of {len(tensors)} maps"):
            module(wrong)


@pytest.mark.parametrize("name", GATES)
def test_the_gating_map_may_have_any_size(name: str) -> None:
    module = new(name)
    x, _ = inputs(module)
    for size in ((1, 1), (3, 2), (7, 5), (9, 8)):
        assert tuple(module(x, image(2, GATING, *size)).shape) == promised(module, (x,))
