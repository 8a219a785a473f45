"""The few mechanisms that ``make test`` holds to the contract stand for all."""

from __future__ import annotations

import inspect
import re
import sys

from foveate.mechanisms import mechanisms
from tests.contracts.contract import FEW, NAMES, modes, new

SOURCES = {name: inspect.getsource(sys.modules[mechanisms[name].__module__]) for name in NAMES}


def kernels(names: list[str]) -> set[str]:
    """Return the kernels that some mechanisms import."""
    return set(re.findall(r"kernels\.(\w+) import", " ".join(SOURCES[name] for name in names)))


def test_every_interface_every_kernel_and_every_way_of_weighing_is_among_them() -> None:
    assert {mechanisms[name].interface for name in FEW} == {cls.interface for cls in mechanisms.values()}
    assert {mechanisms[n].dims for n in FEW} == {cls.dims for cls in mechanisms.values()}
    assert {mechanisms[n].facets.weighting for n in FEW} == {c.facets.weighting for c in mechanisms.values()}
    assert {len(modes(new(name))) for name in FEW} == {1, 2}
    assert kernels(FEW) == kernels(NAMES) != set()
