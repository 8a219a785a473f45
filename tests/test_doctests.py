"""Every example in a docstring is run."""

import doctest
import importlib
import pkgutil

import pytest

import foveate

MODULES = [
    found.name
    for found in pkgutil.walk_packages(foveate.__path__, "foveate.")
    if "__main__" not in found.name
]


def examples(module):
    return [test for test in doctest.DocTestFinder(exclude_empty=True).find(module) if test.examples]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FOVEATE_CACHE", str(tmp_path))
    module = importlib.import_module(name)
    for test in examples(module):
        failed, _ = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test)
        assert failed == 0, test.name


def test_there_are_many():
    assert sum(len(examples(importlib.import_module(name))) for name in MODULES) > 20
