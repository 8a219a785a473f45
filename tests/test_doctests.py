"""Every example in a docstring is run."""

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

import foveate

MODULES = [
    found.name
    for found in pkgutil.walk_packages(foveate.__path__, "foveate.")
    if ">>> " in Path(found.module_finder.find_spec(found.name).origin).read_text(encoding="utf-8")
]


def marks(name):
    """Return the slow mark for whole models, but for some, and for what Numba compiles."""
    whole = name.startswith("foveate.models.") and name not in QUICK
    return [pytest.mark.slow] if whole else []


QUICK = ("foveate.models.names", "foveate.models.create", "foveate.models.classification.resnet")


def examples(module):
    return [test for test in doctest.DocTestFinder(exclude_empty=True).find(module) if test.examples]


@pytest.mark.parametrize("name", [pytest.param(name, marks=marks(name)) for name in MODULES])
def test_examples(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FOVEATE_CACHE", str(tmp_path))
    found = examples(importlib.import_module(name))
    assert found
    for test in found:
        failed, _ = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test)
        assert failed == 0, test.name


def test_there_are_many():
    assert len(MODULES) > 100
