"""A model may be given as a function or a module: it is trained, compared and loaded as one by name."""

from __future__ import annotations

import functools
import hashlib
import inspect
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

import foveate as fv
from foveate.errors import CheckpointError, OptionError
from foveate.models.given import _given
from foveate.models.given_names import name_of

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


def factory(kept: object, how: str = "closure") -> Callable[..., nn.Module]:
    """Return a function that keeps a value."""
    if how == "partial":
        return functools.partial(build, width=kept)
    if how == "default":
        return lambda classes, width=kept: build(classes)
    if how == "keyword":

        def named(classes: int, *, width: object = kept) -> nn.Module:
            return build(classes)

        return named
    if how == "method":

        class Net(nn.Sequential):
            def __init__(self, classes: int) -> None:
                super().__init__(build(classes))
                self.kept = kept

        return Net
    return lambda classes: build(classes + (0 if kept else 1))


@pytest.mark.parametrize("how", ["closure", "partial", "default", "keyword", "method"])
def test_what_a_function_keeps_is_in_its_name(how: str) -> None:
    values = [4, 8, "4", None, (4,), [4, {"a": 4.5}], build, nn.ReLU, torch, torch.ones(2), torch.zeros(2)]
    names = [name_of(factory(value, how)) for value in values]
    assert len(set(names)) == len(values)
    assert names == [name_of(factory(value, how)) for value in values]


def test_functions_of_one_factory_are_two_models() -> None:
    def make(width: int) -> Callable[[int], nn.Module]:
        return lambda classes: build(classes, width)

    narrow, wide = name_of(make(2)), name_of(make(6))
    assert [fv.create_model(name, classes=3)[0].out_channels for name in (narrow, wide)] == [2, 6]
    one, other = lambda classes: build(classes + 1), lambda classes: factory(classes + 1)
    assert name_of(one) != name_of(other)


def test_a_value_without_a_spelling_is_named() -> None:
    with pytest.raises(OptionError, match=r"model: its variable kept: got a object.*plain values"):
        name_of(factory(object()))


def test_a_plain_function_keeps_the_name_that_it_always_had() -> None:
    def plain(classes: int, width: int = 4) -> nn.Module:
        return nn.Linear(width, classes)

    code = plain.__code__
    text = f"{inspect.getsource(plain)} {code.co_code!r} {list(code.co_consts)}"
    assert name_of(plain) == f"python/plain-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def test_sets_that_are_equal_have_one_name_in_whatever_order_they_are_walked() -> None:
    one, other = {0, 8}, {8, 0}
    assert one == other and list(one) != list(other)
    assert name_of(functools.partial(build, width=one)) == name_of(functools.partial(build, width=other))


@pytest.mark.nightly  # a process of its own imports everything again
def test_a_partial_call_has_one_name_in_all_processes() -> None:
    program = (
        "import functools; from foveate.models.given_names import name_of;"
        "from foveate.models import create_model;"
        "print(name_of(functools.partial(create_model, 'resnet8', options={'a', 'b', 'c'})))"
    )
    there = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    here = name_of(functools.partial(fv.create_model, "resnet8", options={"a", "b", "c"}))
    assert there.stdout.strip() == here


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


@pytest.mark.slow
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
