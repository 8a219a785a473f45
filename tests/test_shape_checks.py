"""The shapes in the package's annotations are checked while the tests run, and a wrong one would be found."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from foveate.errors import ShapeError
from foveate.tasks.metrics.confusion import confusion
from tests.shape_checks import shape_checked

pytestmark = pytest.mark.skipif(os.environ.get("FOVEATE_SHAPES") == "0", reason="turned off")


@shape_checked
def halved(x: Float[Tensor, "b n"], y: Int64[np.ndarray, " n"] | None = None) -> Float[Tensor, "b n"]:
    if x.ndim == 1:
        raise ShapeError("the function's own error")
    return x[:, ::2] if x.shape[1] > 4 else x


def test_what_fits_passes_and_what_does_not_is_found():
    assert halved(torch.zeros(2, 3), np.zeros(3, np.int64)).shape == (2, 3)
    for wrong in (
        (torch.zeros(2, 6),),
        (torch.zeros(2, 3).long(),),
        (torch.zeros(2, 3), np.zeros(4, np.int64)),
    ):
        with pytest.raises(TypeError, match="halved: "):
            halved(*wrong)


def test_a_functions_own_error_comes_first():
    with pytest.raises(ShapeError, match="own error"):
        halved(torch.zeros(3))


def test_it_compiles_as_if_unchecked():
    compiled = torch.compile(halved, fullgraph=True, backend="eager")
    assert torch.equal(compiled(torch.ones(2, 3)), torch.ones(2, 3))


def test_the_packages_functions_are_checked():
    with pytest.raises(TypeError, match="confusion: labels"):
        confusion(torch.zeros(2, 3).int(), torch.zeros(2, 3).long(), 2)
    wrapped = [
        member
        for name, module in list(sys.modules.items())
        if name.startswith("foveate.tasks.")
        for member in vars(module).values()
        if hasattr(member, "__wrapped__")
    ]
    assert len(wrapped) > 20
