"""``foveate serve --export``: what it writes gives the same model, and nothing is overwritten."""

import json
import tomllib
from pathlib import Path

import pytest
import torch

import foveate as fv
from foveate.cli.__main__ import main
from foveate.errors import OptionError
from foveate.infer.find_model import find_model
from foveate.serve.export_space import export_space
from tests.serve.small_model import photo, trained


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOVEATE_CACHE", str(folder / "cache"))
        trained(folder / "run")
        photo(folder / "a.png")
        photo(folder / "b.png", 1)
        yield folder


def test_a_training_becomes_a_space(home, capsys):
    space = home / "space"
    assert main(["serve", str(home / "run"), str(home / "a.png"), "--export", str(space), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {Path(path).name for path in told["files"]} >= {
        "app.py",
        "requirements.txt",
        "README.md",
        "01.png",
    }
    front = (space / "README.md").read_text(encoding="utf-8").split("---")[1]
    entries = dict(line.split(": ", 1) for line in front.strip().splitlines())
    assert (
        entries["sdk"] == "gradio" and entries["app_file"] == "app.py" and entries["sdk_version"][0].isdigit()
    )
    needs = (space / "requirements.txt").read_text(encoding="utf-8").splitlines()
    own = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert needs[-1:] == own["optional-dependencies"]["demo"]
    assert sorted(needs[:-1]) == sorted(own["dependencies"])
    compile((space / "app.py").read_text(encoding="utf-8"), "app.py", "exec")
    assert (space / "foveate" / "serve" / "templates" / "page.css.j2").exists()
    images = torch.rand(2, 3, 24, 24)
    assert torch.equal(fv.load(space / "model")(images), fv.load(home / "run")(images))
    assert main(["serve", str(home / "run"), "--export", str(space)]) == 0  # again


def test_a_model_by_name_is_written_with_its_weights(tmp_path):
    found = find_model("resnet8(width=4)", untrained=True, size=32, classes=3)
    export_space(found, tmp_path / "space", title="mine")
    images = torch.rand(2, 3, 32, 32)
    again = fv.load(tmp_path / "space" / "model")
    assert torch.equal(again(images), found.model(images)) and again.classes == (
        "class 0",
        "class 1",
        "class 2",
    )
    assert find_model(tmp_path / "space" / "model").form == found.form


def test_other_files_are_not_overwritten(home, tmp_path):
    (tmp_path / "mine.txt").write_text("keep me")
    with pytest.raises(OptionError, match="holds other files"):
        export_space(find_model(home / "run"), tmp_path, title="mine")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_code_of_the_users_own_is_not_exported(home, tmp_path):
    found = find_model("tests.serve.test_export_space:built", untrained=True, size=32, classes=2)
    with pytest.raises(OptionError, match="code of your own"):
        export_space(found, tmp_path / "space", title="mine")


def built(classes):
    return fv.create_model("resnet8(width=4)", classes=classes)


def test_json_goes_with_export_only(home, capsys, monkeypatch):
    monkeypatch.setattr("foveate.serve.page.find_spec", lambda name: object())
    assert main(["serve", str(home / "run"), "--json"]) == 2
    assert "--export" in capsys.readouterr().err
