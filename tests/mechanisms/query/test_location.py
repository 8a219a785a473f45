from __future__ import annotations

import pytest
import torch

from foveate.errors import OptionError
from foveate.mechanisms.query.location import LocationRead


def make(**options: object) -> LocationRead:
    torch.manual_seed(0)
    return LocationRead(6, **options).double()


@pytest.mark.parity("location")
@pytest.mark.parametrize("size", [5, 9])
def test_equals_the_formula_in_loops(inputs, loops, size: int) -> None:
    module, (query, memory) = make(size=size), inputs()
    scores = {}  # the score depends on the place alone: look it up by the entry
    for b in range(2):
        for j, entry in enumerate(memory[b]):
            scores[tuple(entry.tolist())] = module.places.weight[j]
    expected = loops(query, memory, lambda q, m: float(scores[tuple(m.tolist())] @ q))
    torch.testing.assert_close(module(query, memory), expected, rtol=0, atol=1e-12)


def test_what_stands_in_the_memory_does_not_matter(inputs) -> None:
    module, (query, memory) = make(), inputs()
    assert torch.equal(module(query, memory)[1], module(query, -3 * memory)[1])


def test_entries_behind_the_last_place_are_not_read(inputs) -> None:
    module, (query, memory) = make(size=3), inputs()
    context, weights = module(query, memory)
    assert not weights[:, :, 3:].any()
    torch.testing.assert_close(context, module(query, memory[:, :3])[0])
    only_behind = torch.tensor([[False, False, False, True, True]] * 2)
    assert not module(query, memory, only_behind)[1].any()


def test_stretched_scores_are_interpolated(inputs) -> None:
    module, (query, memory) = make(size=2, fit="stretch"), inputs(entries=4)
    first, second = module.places(query).unbind(dim=2)
    # Half-pixel centres: four entries lie at -0.25, 0.25, 0.75, 1.25 of the two places.
    scores = torch.stack([first, 0.75 * first + 0.25 * second, 0.25 * first + 0.75 * second, second], dim=2)
    torch.testing.assert_close(module(query, memory)[1], scores.softmax(dim=2))


def test_an_unknown_fit_is_refused() -> None:
    with pytest.raises(OptionError, match="fit: got 'crop', expected one of cut, stretch"):
        LocationRead(6, fit="crop")
