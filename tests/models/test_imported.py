import textwrap

import pytest
import torch

from foveate.errors import OptionError, UnknownNameError
from foveate.models import create_model

SOURCE = """
    import torch

    def build(classes, width=3):
        from beside import CHANNELS
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(CHANNELS * 16, classes))

    def of_classes(num_classes):
        return torch.nn.Linear(1, num_classes)

    def free(**options):
        return torch.nn.Linear(1, options["classes"])

    def fixed(width):
        return torch.nn.Linear(1, width)

    def wrong(classes):
        return "a model"

    VALUE = 3
"""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A current directory with the user's files, whose modules are forgotten afterwards."""
    name = f"own_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(textwrap.dedent(SOURCE))
    (tmp_path / "beside.py").write_text("CHANNELS = 3\n")
    monkeypatch.chdir(tmp_path)
    return name


def test_a_function_in_the_current_directory(here):
    assert create_model(f"{here}:build", classes=4)(torch.rand(2, 3, 4, 4)).shape == (2, 4)


@pytest.mark.parametrize("name", ["of_classes", "free"])
def test_other_ways_to_take_the_number_of_classes(here, name):
    assert create_model(f"{here}:{name}", classes=4).out_features == 4


def test_a_function_that_takes_no_classes(here):
    said = r"fixed\(width\) does not take the number of classes.*def fixed\(classes: int\)"
    with pytest.raises(OptionError, match=said):
        create_model(f"{here}:fixed", classes=4)


def test_an_option_that_it_does_not_take(here):
    with pytest.raises(OptionError, match=r'no option "depth". Its options: classes, width'):
        create_model(f"{here}:build", classes=4, depth=3)
    with pytest.raises(OptionError, match="pretrained"):
        create_model(f"{here}:build", classes=4, pretrained=True)


def test_something_else_than_a_model(here):
    with pytest.raises(OptionError, match="returned a str"):
        create_model(f"{here}:wrong", classes=4)


@pytest.mark.parametrize("name", ["biuld", "VALUE", ""])
def test_a_function_that_is_not_there(here, name):
    with pytest.raises(UnknownNameError, match=r"build|Known"):
        create_model(f"{here}:{name}")


def test_a_module_that_is_not_there(here):
    with pytest.raises(UnknownNameError, match=f"Nearest: {here}|Known: .*{here}"):
        create_model(f"{here}x:build")


def test_a_module_that_fails_to_import_tells_its_own_error(tmp_path):
    (tmp_path / "broken_import.py").write_text("import not_installed_anywhere\n")
    with pytest.raises(ModuleNotFoundError, match="not_installed_anywhere"):
        create_model("broken_import:build")


def test_the_import_path_is_left_as_it_was(here):
    import sys

    before = list(sys.path)
    create_model(f"{here}:free")
    assert sys.path == before
