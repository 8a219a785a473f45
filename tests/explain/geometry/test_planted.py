"""For every family with places: what a planted pixel changes is where the geometry says it is."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from foveate.explain.recording.attention_map import AttentionMap
from tests.explain.geometry.planted import Case, cases, laid, planted, prepared
from tests.explain.geometry.planted_models import made

ROUNDING = 1e-6  # of float32, in which answers of several windows are added up


def check(case: Case) -> None:
    torch.manual_seed(0)
    model, given = made(case.model, case.picture)
    model = prepared(model)
    height, width = next(iter(given.values())).shape[-2:]
    given = {name: x[:1] for name, x in given.items()}
    for cell in case.cells:
        found, keys, queries = planted(case, model, given, cell)
        assert found.geometry is not None, found.note
        check_keys(case, found, keys, cell, (height, width))
        if case.queries:
            group, row = divmod(int(queries.flatten().argmax()), queries.shape[1])
            places = found.geometry.queries
            meant = found._entries(places, case.pixel(cell), (height, width), found.grouped().shape[1])
            assert (group, row) in meant, (found, cell, (group, row), meant)


def check_keys(
    case: Case, found: AttentionMap, keys: Tensor, cell: tuple[int, int], size: tuple[int, int]
) -> None:
    """The key that answers most covers the planted cell, and its cells are the maximum of the whole map.

    The maximum is exact, except that cells that several keys cover add up what these answered: where keys
    overlap, as in adaptive pooling to sides that do not divide the map's, the maximum lies where the
    strongest key meets another, so that it is inside of the strongest key's cells but not all of them.
    """
    strongest = torch.zeros_like(keys).flatten()
    strongest[keys.flatten().argmax()] = 1
    own = laid(found, strongest.view_as(keys), size) > 0
    assert own[case.pixel(cell)], (found, cell)
    shown = laid(found, keys, size).nan_to_num(-1.0)
    peak = shown >= (1 - ROUNDING) * shown.max()
    assert shown.max() > 0, found
    assert (peak & ~own).sum() == 0, (found, cell)
    if not overlapping(found):
        assert torch.equal(peak, own), (found, cell)


def overlapping(found: AttentionMap) -> bool:
    """Return whether several keys of one group cover one cell."""
    cells = found.geometry.keys.cells
    return any(int(group[group >= 0].bincount().max()) > 1 for group in cells if (group >= 0).any())


@pytest.mark.parametrize("case", cases("fast"), ids=lambda case: case.name)
def test_a_planted_pixel_is_where_the_geometry_says(case: Case) -> None:
    check(case)


@pytest.mark.nightly
@pytest.mark.parametrize("case", cases("nightly"), ids=lambda case: case.name)
def test_a_planted_pixel_is_where_the_geometry_says_in_every_family(case: Case) -> None:
    check(case)
