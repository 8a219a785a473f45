"""``--plugin``: a package of the user's own has its say in every command."""

import json
import sys

import pytest

from foveate import plugins
from foveate.cli.__main__ import main
from foveate.models.names import models
from foveate.tasks import tasks

SOURCE = """
from torch import nn
from foveate.models.names import models
from foveate.tasks.base import tasks
from foveate.tasks.classification import Classification

@models.register("linear_plugin")
def build(*, classes: int, bias: bool = True):
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, classes, bias=bias))

@tasks.register("guessing")
class Guessing(Classification):
    \"\"\"One guess an image.\"\"\"
    name = "guessing"
"""


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """A folder with a plug-in in it, and registries that forget what it registers."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FOVEATE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(plugins, "_loaded", [])
    for registry in (models, tasks):
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    (tmp_path / "plugin_guess.py").write_text(SOURCE)
    yield
    sys.modules.pop("plugin_guess", None)


@pytest.mark.parametrize("words", [["--plugin", "plugin_guess"], ["--plugin=plugin_guess"]])
@pytest.mark.parametrize("first", [True, False])
def test_it_may_stand_anywhere_and_its_task_is_listed(words, first, capsys):
    assert main([*words, "list", "tasks"] if first else ["list", "tasks", *words]) == 0
    assert "One guess an image" in capsys.readouterr().out


def test_its_task_and_models_are_compared_and_the_plan_remembers_it(capsys):
    data = "scenes(size=24, classes=3, train=24, val=0, test=12)"
    said = ["--model", "linear_plugin", "--try", "linear_plugin(bias=False)", "--task", "guessing"]
    more = ["--seeds", "2", "--epochs", "1", "--dry-run", "--json", "--plugin", "plugin_guess"]
    assert main(["compare", data, *said, *more]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["plugins"] == ["plugin_guess"] and plan["task"] == "guessing"
    assert [variant["parameters"] for variant in plan["variants"]] == [12, 9]


@pytest.mark.parametrize("name", ["plugin_nowhere", ""])
def test_what_is_not_a_package_is_refused(name, capsys):
    assert main(["list", "tasks", "--plugin", name]) == 2
    printed = capsys.readouterr()
    assert f'plug-in "{name}"' in printed.err and printed.out == ""
