"""A model may be given as a function or a module: it is trained, compared and loaded as one by name."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import foveate as fv
from foveate.errors import CheckpointError, OptionError
from foveate.models.given import _given, name_of

DATA = "scenes(size=24, classes=3, train=24, val=0, test=12)"


def build(classes: int, width: int = 4) -> nn.Module:
    convolution = nn.Conv2d(3, width, 3, stride=4, padding=1)
    return nn.Sequential(
        convolution, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes)
    )


def test_a_name_is_itself_and_an_importable_function_its_path() -> None:
    assert name_of("resnet8") == "resnet8"
    assert name_of(nn.Conv2d).startswith("torch.nn.modules.conv:")
    assert name_of(build(3)).startswith("python/Sequential-")


def test_equal_modules_have_equal_names_and_others_do_not() -> None:
    torch.manual_seed(0)
    one = build(3)
    torch.manual_seed(0)
    same = build(3)
    assert name_of(one) == name_of(same)
    with torch.no_grad():
        one[0].weight[0] += 1
    assert name_of(one) != name_of(same)
    assert name_of(lambda classes: build(classes, 4)) != name_of(lambda classes: build(classes, 8))


def test_a_module_is_copied_and_left_alone() -> None:
    module = build(3)
    made = fv.create_model(name_of(module), classes=3)
    assert made is not module
    assert all(torch.equal(a, b) for a, b in zip(made.parameters(), module.parameters(), strict=True))
    before = {key: value.clone() for key, value in module.state_dict().items()}
    with torch.no_grad():
        next(made.parameters()).zero_()
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())


@pytest.mark.parametrize("given", [lambda classes: build(classes, 4), build(3)], ids=["function", "module"])
def test_a_given_model_is_trained_and_loaded(given: object, tmp_path: Path) -> None:
    done = fv.train(DATA, model=given, attention="se@0", epochs=1, out=tmp_path / "run")
    picture = torch.zeros(24, 24, 3, dtype=torch.uint8).numpy()
    assert torch.equal(fv.load(tmp_path / "run").predict(picture), done.predict(picture))
    _given.clear()  # as in another process
    with pytest.raises(CheckpointError, match="Pass it again"):
        fv.load(tmp_path / "run")
    assert torch.equal(fv.load(tmp_path / "run", model=given).predict(picture), done.predict(picture))


def test_a_given_model_is_studied(tmp_path: Path) -> None:
    plan = fv.compare(DATA, model=build, variants=["se@0"], seeds=2, epochs=1, dry_run=True)
    assert [v.name for v in plan.variants][:2] == ["baseline", "se@0"]
    study = fv.compare(
        DATA, model=build(3), variants=["se@0"], seeds=2, epochs=1, out=tmp_path / "study", control="none"
    )
    assert study.result["question"]["model"].startswith("python/Sequential-")
    assert study.best().classes == ("0", "1", "2")


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(OptionError, match="expected a name, a function"):
        name_of(17)
    with pytest.raises(OptionError, match="pretrained"):
        fv.create_model(name_of(build(3)), pretrained=True)
