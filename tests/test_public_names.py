"""The public names are those that the documentation promises, whichever way one comes to them."""

import subprocess
import sys

import pytest

import foveate

PROMISED = {
    "Cost",
    "FoveateError",
    "Site",
    "Study",
    "Training",
    "bypass",
    "compare",
    "cost",
    "create_model",
    "explain",
    "explanations",
    "insert",
    "judge",
    "list_models",
    "load",
    "load_insert",
    "load_published",
    "select",
    "look",
    "mechanisms",
    "parameter_groups",
    "predict",
    "record",
    "remove",
    "save_insert",
    "score",
    "sites",
    "train",
}


def test_names_are_the_promised_ones():
    assert set(foveate.__all__) == PROMISED
    assert set(dir(foveate)) >= PROMISED


def test_names_resolve():
    for name in PROMISED:
        value = getattr(foveate, name)
        assert getattr(foveate, name) is value
        assert not isinstance(value, type(sys)), f"foveate.{name} is a folder, not what it holds"
        assert value.__doc__, name


def test_star_import_gives_the_names():
    space = {}
    exec("from foveate import *", space)
    assert set(space) >= PROMISED


# The verbs that share their name with a folder: whoever imports the folder first must not win.
SHADOWED = ["insert", "compare", "cost", "explain", "mechanisms", "train"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "second"),
    [("folder", "verb"), pytest.param("verb", "folder", marks=pytest.mark.nightly)],
)
def test_verbs_win_over_folders_in_any_order(first, second):
    steps = {
        "folder": "; ".join(f"importlib.import_module('foveate.{name}')" for name in SHADOWED),
        "verb": "; ".join(f"foveate.{name}" for name in SHADOWED),
    }
    code = (
        f"import importlib, types, foveate; {steps[first]}; {steps[second]}; "
        f"print([n for n in {SHADOWED} if isinstance(getattr(foveate, n), types.ModuleType)])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(AttributeError, match="insert"):
        _ = foveate.inset
