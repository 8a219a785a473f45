from __future__ import annotations

import pytest
import torch

from foveate.errors import OptionError
from foveate.mechanisms.reading.doubly_stochastic import doubly_stochastic


def weights(batch: int = 3, steps: int = 4, places: int = 5) -> torch.Tensor:
    return torch.rand(batch, steps, places, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_equals_the_formula_in_loops_and_its_other_scales() -> None:
    a = weights()
    paper = sum((1 - sum(float(a[b, t, i]) for t in range(4))) ** 2 for b in range(3) for i in range(5)) / 3
    assert doubly_stochastic(a).item() == pytest.approx(paper, abs=1e-12)
    assert doubly_stochastic(a, "released").item() == pytest.approx(paper * 3 / 5, abs=1e-12)
    assert doubly_stochastic(a, "tutorial").item() == pytest.approx(paper / 5, abs=1e-12)


@pytest.mark.parametrize("kind", ["paper", "released", "tutorial"])
def test_padded_steps_and_places_do_not_count(kind: str) -> None:
    a, short = weights(), weights()[:, :2, :3]
    steps, mask = torch.arange(4).expand(3, 4) < 2, torch.arange(5).expand(3, 5) < 3
    torch.testing.assert_close(doubly_stochastic(a, kind, steps, mask), doubly_stochastic(short, kind))


def test_is_zero_where_every_place_is_looked_at_once() -> None:
    assert doubly_stochastic(torch.eye(5).expand(2, 5, 5)) == 0


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(OptionError, match="kind: got 'sum'"):
        doubly_stochastic(weights(), "sum")
